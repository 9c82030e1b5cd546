"""Whether a calibrated plan beats the formulas on text that it was not calibrated on.

Calibrates on the first half of the Python reference; then the calibrated plan, the formulas of NTK
and YaRN, and the planner's own choice read the second half, with other facts in it. With
``--shipped`` it is the profile that ships with the demo model, which was calibrated on all of the
reference, and the text is the docstrings of Python's standard library.

    python benchmarks/calibration.py [--model tests/models/tiny-longctx.gguf] [--budget 120]
    python benchmarks/calibration.py --shipped --windows 16384 --repeats 3
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
from pathlib import Path
from statistics import mean

from machine import save

from longctx import LongContextLLM, ModelInfo, demo_model
from longctx.evaluate import calibrate, python_reference
from longctx.evaluate.calibration.calibrate import METHODS
from longctx.evaluate.calibration.search import Candidate, Proposal, Searched, formula
from longctx.evaluate.calibration.trial import run_trial
from longctx.packaged_model import fast_copy
from longctx.planner import Profile, profile_path
from longctx.planner.profile import find_profile
from longctx.rope import TrainedRope

sys.path.insert(0, str(Path(__file__).parents[1]))
from tools.tiny_model.corpus import docstrings

TINY = Path(__file__).parents[1] / "tests/models/tiny-longctx.gguf"


def calibrated(
    options: argparse.Namespace, info: ModelInfo, windows: list[int], text: str
) -> Profile:
    """Calibrate on a text, and leave the user's own profile as it was."""
    mine = profile_path(info)
    before = mine.read_bytes() if mine.exists() else None
    try:
        with tempfile.TemporaryDirectory() as folder:
            return calibrate(
                options.model, windows, options.methods.split(","), text=text,
                budget_s=options.budget, n_threads=options.threads, cache_dir=folder,
            )  # fmt: skip
    finally:
        mine.unlink(missing_ok=True)
        if before is not None:
            mine.write_bytes(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=TINY)
    parser.add_argument("--windows", type=int, nargs="+", help="default: 2 and 4 times the trained")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--save-as", default="calibration")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shipped", action="store_true", help="the demo model and its profile")
    parser.add_argument("--plans", nargs="+", help="only these of the table's")
    options = parser.parse_args()
    if options.shipped:
        options.model = fast_copy(demo_model())
    info = ModelInfo.from_gguf(options.model)
    windows = options.windows or [2 * info.n_ctx_train, 4 * info.n_ctx_train]
    if options.shipped:
        profile, _ = find_profile(info)
        assert profile is not None, "no profile of this model ships"
        text = "\n\n".join(docstrings(Path(sysconfig.get_paths()["stdlib"])))
    else:
        reference = python_reference()
        half = len(reference) // 2
        profile, text = calibrated(options, info, windows, reference[:half]), reference[half:]
    with LongContextLLM(options.model, 256, reserve_output=0) as llm:
        unseen = llm.tokenize(text[: 8 * 6 * windows[-1]])
    rope = TrainedRope(info.n_rot, info.rope_freq_base, info.n_ctx_train)
    at = Searched(rope, info.n_ctx_train, windows[-1])
    contenders = {
        "calibrated": None,  # each window has its own
        "NTK by its formula": formula("ntk", at),
        "YaRN by its formula": formula("yarn", at),
        "Self-Extend, not calibrated": formula("self-extend", at),
    }
    factors = [row for row in profile.results if row.method == "longrope"]
    if factors and profile.method != "longrope":
        last = [row for row in factors if row.window == windows[-1] and not row.is_check]
        best = min(last, key=lambda row: row.loss)
        contenders["longrope, as searched"] = Candidate("longrope", best.parameters)
    wanted = options.plans or list(contenders)
    if unknown := set(wanted) - set(contenders):
        parser.error(f"no such plan: {', '.join(unknown)}; choose from {', '.join(contenders)}")
    contenders = {name: contenders[name] for name in wanted}
    for choice in profile.choices:
        print(f"calibrated for {choice.window:,}: {choice.method}{choice.parameters}")
    print(f"{len(profile.results)} trials")
    print("| plan | window | perplexity | recall (nats a token) | loss |")
    print("| --- | --- | --- | --- | --- |")
    rows = []
    for window in windows:
        choice = profile.choice(window)
        assert choice is not None, f"{window:,} tokens were not calibrated"
        for name, contender in contenders.items():
            candidate = contender or Candidate(choice.method, choice.parameters)
            trials = [
                run_trial(
                    options.model, window, Proposal(candidate, 0), unseen,
                    seed=100 + seed, n_threads=options.threads, on_progress=None,
                )
                for seed in range(options.repeats)
            ]  # fmt: skip
            rows.append(
                {"plan": name, "trials": [trial.model_dump(mode="json") for trial in trials]}
            )
            print(
                f"| {name} | {window:,} | {mean(t.perplexity for t in trials):.2f} | "
                f"{mean(t.recall_nats or 0 for t in trials):.2f} | "
                f"{mean(t.loss for t in trials):.2f} |",
                flush=True,
            )
    figures = {"profile": profile.model_dump(mode="json"), "rows": rows}
    print("raw figures:", save(options.save_as, figures))


if __name__ == "__main__":
    main()
