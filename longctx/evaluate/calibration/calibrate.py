"""Calibration: which method, with which parameters, serves this model best, as measured on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from math import pow
from pathlib import Path
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from longctx.arguments import real, whole
from longctx.errors import LongCtxError, RequestError, UnsupportedModelError
from longctx.evaluate.calibration.search import (
    CalibratedMethod,
    Proposal,
    Searched,
    best_candidate,
    formula,
    propose,
    survivors,
)
from longctx.evaluate.calibration.trial import TRIAL_VERSION, run_trial
from longctx.evaluate.prompts.texts import python_reference, stretch
from longctx.files import cache_folder, hash_parts, write_whole
from longctx.llm import LongContextLLM
from longctx.model_info import ModelInfo, longrope_obstacle
from longctx.models import find_model
from longctx.planner import Profile, TrialResult, profile_path, self_extend_obstacle
from longctx.rope import Method, TrainedRope
from longctx.types import ProgressCallback

logger = logging.getLogger("longctx")

METHODS: tuple[CalibratedMethod, ...] = (
    "none",
    "linear",
    "ntk",
    "yarn",
    "longrope",
    "self-extend",
)
TrialCallback = Callable[[TrialResult], None]
_ROWS = TypeAdapter(list[TrialResult])


def calibrate(
    llm_or_path: LongContextLLM | str | Path,
    windows: Sequence[int] | None = None,
    methods: Sequence[CalibratedMethod] = METHODS,
    *,
    text: str | None = None,
    budget_s: float = 600.0,
    seed: int = 0,
    n_threads: int | None = None,
    cache_dir: str | Path | None = None,
    on_trial: TrialCallback | None = None,
    on_progress: ProgressCallback | None = None,
) -> Profile:
    """Search method and parameters for a model, and keep the best where the planner finds it.

    Each trial prefills a window of the text with numbered facts in it, scores its last tokens
    and asks for the facts; the loss is the sum of both, in nats. Small windows sort out hopeless
    methods; the rest of the budget refines the best at the largest window, where what is taken
    has won over several stretches of the text. Trials are kept as they are made, so a
    calibration that was interrupted goes on where it stopped.

    Args:
        llm_or_path: the model, or one that is open already.
        windows: in tokens; None is twice and four times the trained window. Those within the
            trained one are left out: nothing is scaled there.
        methods: to choose from; longrope and self-extend are left out where the model cannot.
        text: prose like what you will read with the model; None is the Python reference.
        budget_s: seconds; a trial that would not end in time is not begun, but the first.
        seed: draws facts and the stretch of text.
        n_threads: as :class:`longctx.LongContextLLM` takes it.
        cache_dir: where trials are kept; None is the user's cache folder.
        on_trial: called after each trial.
        on_progress: called after each prefilled batch.

    Returns:
        The profile, saved.

    Raises:
        RequestError: no window lies past the trained one, or an argument is nonsense.
        DocumentError: the text is shorter than a window.
        UnsupportedModelError: the model cannot be scaled.
    """
    path = (
        llm_or_path.info.path
        if isinstance(llm_or_path, LongContextLLM)
        else find_model(llm_or_path).path
    )
    info = ModelInfo.from_gguf(path)
    windows = _past_the_training(windows, info)
    budget_s = real("budget_s", budget_s, least=0)
    remaining = _runnable(methods, windows, info)
    prose_text = python_reference() if text is None else text
    prose = _tokenize(llm_or_path, path, prose_text)
    stretch(prose, windows[-1], seed)  # a text that is too short is refused before the first trial
    journal = _Journal(cache_dir, info, prose_text, seed)
    deadline = time.monotonic() + budget_s

    def try_out(window: int, proposal: Proposal) -> bool:
        """Measure, unless it was measured before or would end too late."""
        if journal.find(window, proposal) is None:
            if journal.rows and time.monotonic() + journal.expected_s(window) > deadline:
                return False
            row = run_trial(
                path, window, proposal, prose, seed=seed, n_threads=n_threads,
                on_progress=on_progress,
            )  # fmt: skip
            journal.add(row)
            if on_trial is not None:
                on_trial(row)
        return True

    judged = windows[0]
    for window in windows:
        formulas = [Proposal(formula(method, _searched(info, window)), 0) for method in remaining]
        if not all(try_out(window, proposal) for proposal in formulas):
            break  # the best of some methods is not the best of all
        judged = window
        if window != windows[-1]:
            remaining = survivors(remaining, journal.at(window))
    else:
        at = _searched(info, windows[-1])
        while (proposal := propose(remaining, journal.at(windows[-1]), at)) is not None:
            if not try_out(windows[-1], proposal):
                break
    profile = _best(journal, info, prose_text, judged)
    profile.save(profile_path(info))
    return profile


def _past_the_training(windows: Sequence[int] | None, info: ModelInfo) -> list[int]:
    """The windows to measure, smallest first; within the trained one nothing is scaled."""
    n_train = info.n_ctx_train
    if info.scaling_support == "none":
        raise UnsupportedModelError(
            f"{info.name} ({info.architecture}) cannot be scaled, so there is nothing to "
            f"calibrate: {info.notes[-1]}"
        )
    wanted = [whole("a window", w, least=1) for w in windows or (2 * n_train, 4 * n_train)]
    past = sorted({w for w in wanted if w > n_train})
    if not past:
        raise RequestError(
            f"calibration needs windows past the trained {n_train:,} tokens, not "
            f"{', '.join(map(str, windows or ()))}"
        )
    return past


def _runnable(
    methods: Sequence[CalibratedMethod], windows: Sequence[int], info: ModelInfo
) -> list[CalibratedMethod]:
    """The methods that this model can run; what it cannot is logged, with the reason."""
    known = (*get_args(Method), "self-extend")
    if unknown := [method for method in methods if method not in known]:
        raise RequestError(
            f"{', '.join(map(str, unknown))} cannot be calibrated; choose from {', '.join(METHODS)}"
        )
    if not methods:
        raise RequestError(f"calibration needs methods; choose from {', '.join(METHODS)}")
    reasons = {
        "longrope": longrope_obstacle(info),
        "self-extend": self_extend_obstacle(info, windows[-1]),
    }
    found: list[CalibratedMethod] = []
    for method in dict.fromkeys(methods):
        reason = reasons.get(method)
        if reason is None:
            found.append(method)
        else:
            logger.info("%s is not tried: %s", method, reason)
    if not found:
        said = "; ".join(f"{method}: {reasons[method]}" for method in methods)
        raise RequestError(f"none of the methods can be tried ({said}); choose others")
    return found


def _searched(info: ModelInfo, window: int) -> Searched:
    rope = TrainedRope(info.n_rot, info.rope_freq_base, info.n_ctx_train)
    return Searched(rope, info.n_ctx_train, window)


def _tokenize(llm_or_path: LongContextLLM | str | Path, path: Path, text: str) -> list[int]:
    if isinstance(llm_or_path, LongContextLLM):
        return llm_or_path.tokenize(text)
    with LongContextLLM(path, 256, reserve_output=0) as llm:
        return llm.tokenize(text)


def _best(journal: _Journal, info: ModelInfo, text: str, window: int) -> Profile:
    best = best_candidate(journal.at(window))
    return Profile(
        model_sha256=info.sha256,
        method=best.method,
        window=window,
        parameters=best.parameters,
        results=tuple(journal.rows),
        text_sha256=_digest(text),
    )


def _digest(text: str) -> str:
    return hash_parts([text.encode()])


class _Journal:
    """The trials so far, on disk after each."""

    def __init__(self, cache_dir: str | Path | None, info: ModelInfo, text: str, seed: int) -> None:
        name = f"{info.sha256[:16]}-{_digest(text)[:8]}-{seed}-{TRIAL_VERSION}.json"
        self._path = cache_folder("calibrations", cache_dir) / name
        self.rows: list[TrialResult] = []
        if self._path.exists():
            try:
                self.rows = _ROWS.validate_json(self._path.read_bytes())
            except (OSError, ValidationError) as error:
                logger.warning("trials in %s are not used: %s", self._path, error)

    def at(self, window: int) -> list[TrialResult]:
        """The trials of one window."""
        return [row for row in self.rows if row.window == window]

    def find(self, window: int, proposal: Proposal) -> TrialResult | None:
        """A trial that was made."""
        wanted = (proposal.candidate.method, proposal.candidate.parameters, proposal.stretch)
        made = ((row.method, row.parameters, row.stretch) for row in self.at(window))
        return next((r for r, m in zip(self.at(window), made, strict=True) if m == wanted), None)

    def expected_s(self, window: int) -> float:
        """Seconds of a trial, from the last: attention makes a prefill grow faster than text."""
        last = self.rows[-1]
        return last.seconds * pow(window / last.window, 1.5)

    def add(self, row: TrialResult) -> None:
        """Keep a trial."""
        self.rows.append(row)
        try:
            write_whole(self._path, _ROWS.dump_json(self.rows, indent=1), parents=True)
        except OSError as error:
            raise LongCtxError(
                f"trials cannot be kept in {self._path} ({error}); pass a cache_dir that can be "
                "written"
            ) from error
