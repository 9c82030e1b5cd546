"""Calibration on a real, if random, model: trials, interruption, and the plan that follows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longctx import DocumentError, LongContextLLM, ModelInfo, RequestError, UnsupportedModelError
from longctx.evaluate import calibrate, perplexity
from longctx.evaluate.calibration.search import (
    N_STRETCHES,
    Candidate,
    Searched,
    best_candidate,
    formula,
)
from longctx.planner import (
    Profile,
    ProfileParameters,
    TrialResult,
    plan_context,
    profile_path,
)
from longctx.rope import TrainedRope
from tests.cli.test_commands import run
from tests.conftest import TinyGguf
from tests.models import TINY
from tests.support.lora import write_lora
from tests.support.thorough import thorough

METHODS = ("ntk", "self-extend")
TEXT = "the cat sat on the mat and the dog saw it run to the hill. " * 400


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: Any, tmp_path: Path) -> None:
    """Profiles and trials of the test, not the user's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@thorough
def test_the_planner_uses_what_was_measured(tiny_gguf: TinyGguf) -> None:
    """The profile is stored by the model's hash, named in the reasons, and may be passed."""
    path = tiny_gguf("llama", n_ctx_train=512)
    rows: list[TrialResult] = []
    profile = calibrate(
        path, (1024,), METHODS, text=TEXT, budget_s=8, n_threads=1, on_trial=rows.append
    )
    assert profile.results == tuple(rows)
    assert {r.method for r in rows} == set(METHODS)
    (choice,) = profile.choices
    best = best_candidate([row for row in rows if not row.is_check])
    taken = Candidate(choice.method, choice.parameters)
    rope = TrainedRope(64, 10_000.0, 512)
    own = formula("self-extend", Searched(rope, 512, 1024))
    if choice.check is None:
        assert taken == best == own
    else:
        assert best != own
        assert taken == (best if choice.check.is_won else own)
        assert sum(row.is_check for row in rows) == 2 * choice.check.n_stretches
    assert (profile.method, profile.parameters) == (choice.method, choice.parameters)
    plan = plan_context(path, 1024, reserve_output=16)
    assert plan.profile == profile
    assert plan.method == choice.method
    assert str(profile.measured(choice)) in plan.reasons[0]
    profile_path(ModelInfo.from_gguf(path)).unlink()
    assert plan_context(path, 1024, reserve_output=16).profile is None
    with LongContextLLM(path, 1024, profile=profile, reserve_output=16, n_threads=1) as llm:
        assert llm.plan.profile == profile


def test_an_interrupted_calibration_goes_on(tiny_gguf: TinyGguf) -> None:
    """Trials made before Ctrl-C are not made again."""
    path = tiny_gguf("llama", n_ctx_train=512)
    options: dict[str, Any] = {"text": TEXT, "n_threads": 1, "budget_s": 1e-3}

    def interrupt(_row: TrialResult) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            calibrate(path, (1024,), METHODS, on_trial=interrupt, **{**options, "budget_s": 60})
    rows: list[TrialResult] = []
    profile = calibrate(path, (1024,), METHODS, on_trial=rows.append, **options)
    assert rows == []
    assert len(profile.results) == 2


@thorough
def test_two_processes_keep_the_trials_of_both(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Side by side, with a method each: what was measured stays, whoever writes last."""
    path = tiny_gguf("llama", n_ctx_train=512)
    code = (
        "import sys; from longctx.evaluate import calibrate; calibrate(sys.argv[1], (1024,),"
        f" (sys.argv[2],), text={TEXT!r}, budget_s=3, n_threads=1)"
    )
    working = [
        subprocess.Popen([sys.executable, "-c", code, str(path), method]) for method in METHODS
    ]
    assert [process.wait(120) for process in working] == [0, 0]
    (journal,) = (tmp_path / "cache" / "longctx" / "calibrations").glob("*.json")
    assert {row["method"] for row in json.loads(journal.read_bytes())} == set(METHODS)


def test_nonsense_is_refused(tiny_gguf: TinyGguf) -> None:
    """Windows within the training, no methods."""
    path = tiny_gguf("llama", n_ctx_train=512)
    with pytest.raises(RequestError, match="past the trained"):
        calibrate(path, (512,))
    with pytest.raises(DocumentError, match="longer text"):
        calibrate(path, (1024, 4096), ("ntk",), text="too short " * 200)
    with pytest.raises(UnsupportedModelError, match="nothing to calibrate"):
        calibrate(tiny_gguf("mamba", n_ctx_train=512), (1024,))
    with pytest.raises(RequestError, match=r"none of the methods .*longrope: llama.cpp reads no"):
        calibrate(tiny_gguf("gemma3", n_ctx_train=512), (1024,), ("longrope",))
    with pytest.raises(RequestError, match="needs methods"):
        calibrate(path, (1024,), ())
    with pytest.raises(RequestError, match="profile is a str"):
        LongContextLLM(path, 1024, profile="yarn")  # type: ignore[arg-type]  # nonsense on purpose


def test_what_a_model_cannot_run_is_left_out(tiny_gguf: TinyGguf) -> None:
    """Gemma takes no factors of ours; a window within the training needs no scaling."""
    path = tiny_gguf("gemma3", n_ctx_train=512)
    profile = calibrate(
        path, (512, 1024), ("longrope", "yarn"), text=TEXT, budget_s=1e-3, n_threads=1
    )
    assert [(row.window, row.method) for row in profile.results] == [(1024, "yarn")]


def test_unknown_methods_are_refused() -> None:
    """By name, before a trial; it was pydantic's own error."""
    with pytest.raises(RequestError, match="foo cannot be calibrated; choose from none, linear"):
        calibrate(TINY, (1024,), ("ntk", "foo"))  # type: ignore[arg-type]  # what is under test


def test_the_factors_are_searched_on_a_real_model() -> None:
    """Vectors of 32 factors, of which the planner then uses what was chosen."""
    rows: list[TrialResult] = []

    def enough(row: TrialResult) -> None:
        rows.append(row)
        if len(rows) > N_STRETCHES:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(TINY, (1024,), ("longrope",), budget_s=600, n_threads=1, on_trial=enough)
    profile = calibrate(TINY, (1024,), ("longrope",), budget_s=1e-3, n_threads=1)
    assert list(profile.results) == rows
    assert {len(row.parameters.frequency_factors or ()) for row in rows} == {32}
    assert len({row.parameters for row in rows}) == 2
    plan = plan_context(TINY, 1024, reserve_output=16)
    assert plan.method == "longrope"
    assert plan.rope.frequency_factors == pytest.approx(profile.parameters.frequency_factors)
    assert profile.parameters == rows[0].parameters, "the formula's, as nothing was checked"


@thorough
def test_a_budget_of_a_second_is_an_honest_partial_result(tiny_gguf: TinyGguf) -> None:
    """One trial was made and is said to be one; a window that was not judged decides nothing."""
    path, windows = tiny_gguf("llama", n_ctx_train=512), (768, 1024)
    options: dict[str, Any] = {"text": TEXT, "n_threads": 1}
    profile = calibrate(path, windows, ("ntk", "yarn"), budget_s=1e-3, **options)
    assert [row.method for row in profile.results] == ["ntk"]
    (choice,) = profile.choices
    assert (choice.window, choice.method, profile.n_stretches(choice)) == (768, "ntk", 1)
    more = calibrate(path, windows, ("ntk", "yarn"), budget_s=15, **options)
    assert more.results[0] == profile.results[0]
    assert [choice.window for choice in more.choices] == [768, 1024]
    for choice in more.choices:
        rows = [row for row in more.results if row.window == choice.window and not row.is_check]
        best = best_candidate(rows)
        assert best in (Candidate("ntk"), Candidate("yarn")) or choice.check is not None
        assert choice.parameters == ProfileParameters() or choice.check.is_won


def test_the_command(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Prints each trial on stderr and the profile on stdout."""
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    done = run(
        "calibrate", str(tiny_gguf("llama", n_ctx_train=512)), "--windows", "1024", "--methods",
        "ntk,yarn", "--budget", "0.01s", "--file", str(text), "--json",
    )  # fmt: skip
    profile = Profile.model_validate(json.loads(done.stdout))
    assert profile.window == 1024
    assert "1,024 ntk, stretch 1: perplexity" in done.stderr
    assert "a larger --budget" not in done.stdout
    bad = run("calibrate", "--budget", "soon", ok=False)
    assert "--budget is 'soon'" in bad.stderr


def test_what_an_earlier_run_tried_besides_is_not_chosen(tiny_gguf: TinyGguf) -> None:
    """Its trials are kept, and are of methods that were not asked for now, or of other windows."""
    path = tiny_gguf("llama", n_ctx_train=512)
    options: dict[str, Any] = {"text": TEXT, "n_threads": 1, "budget_s": 1e-3}
    calibrate(path, (1024,), ("ntk",), **options)
    other = calibrate(path, (768, 1024), ("none", "linear"), **options)
    assert {choice.method for choice in other.choices} <= {"none", "linear"}
    later = calibrate(path, (1536,), ("yarn",), **options)
    assert [(choice.window, choice.method) for choice in later.choices] == [(1536, "yarn")]


@thorough
def test_a_model_with_its_adapter_is_calibrated_by_itself(
    tiny_gguf: TinyGguf, tmp_path: Path
) -> None:
    """Plans with the adapter take what was measured with it, others what was measured without;
    and a command measures the model that an adapter makes."""
    rng = np.random.default_rng(0)
    model = ModelInfo.from_gguf(TINY)
    pair = (
        rng.standard_normal((1, model.n_embd), dtype=np.float32),
        rng.standard_normal((256, 1), dtype=np.float32),
    )
    lora = write_lora(tmp_path / "lora.gguf", {"blk.0.attn_q.weight": pair})
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    options: dict[str, Any] = {"text": TEXT, "n_threads": 1, "budget_s": 1e-3}
    calibrate(TINY, (1024,), ("ntk",), **options)
    run(
        "calibrate", str(TINY), "--windows", "1024", "--methods", "linear", "--budget", "0.01s",
        "--file", str(text), "--adapter", f"{lora}:0.8",
    )  # fmt: skip

    def planned(*adapters: Any) -> tuple[str, str]:
        plan = plan_context(TINY, 1024, adapters=adapters)
        return plan.method, " ".join(plan.reasons)

    for adapters, method, said in [
        ((), "ntk", "for this model at"),
        (((lora, 0.8),), "linear", "with its adapters"),
        (((lora, 0.5),), "ntk", "without its adapters"),
        (((lora, 0),), "ntk", "for this model at"),
    ]:
        chosen, reasons = planned(*adapters)
        assert chosen == method
        assert said in reasons
    with LongContextLLM(TINY, 512, adapters=[(lora, 0.8)], n_threads=1) as llm:
        again = calibrate(llm, (1024,), ("linear",), **options)
    assert len(again.results) == 1  # the command's trial is known
    assert len(again.measured_with) == 1
    other = plan_context(TINY, 1024, profile=again)
    assert any("with other LoRA adapters" in warning for warning in other.warnings)
    text.write_text(TEXT[:3000])
    shown = run(
        "demo", "--model", str(TINY), "--target-ctx", "2048", "--file", str(text), "--json",
        "--adapter", str(lora),
    )  # fmt: skip
    demo = json.loads(shown.stdout)
    assert [Path(each["path"]) for each in demo["plan"]["adapters"]] == [lora]
    measured = run(
        "eval", "perplexity", str(TINY), "--length", "600", "--methods", "none", "--marks", "600",
        "--json", "--adapter", str(lora),
    )  # fmt: skip
    (result,) = json.loads(measured.stdout)["results"]
    assert result["subject"]["model"].endswith(" + lora.gguf at 1")
    with LongContextLLM(TINY, 600, method="none", reserve_output=1, n_threads=1) as llm:
        plain = perplexity(llm, 600, marks=[600])
    assert result["perplexity"] > 1.05 * plain.perplexity
