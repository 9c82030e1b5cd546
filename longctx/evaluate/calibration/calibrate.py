"""Calibration: which method, with which parameters, serves this model best, as measured on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import pow
from pathlib import Path
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from longctx.arguments import real, whole
from longctx.errors import LongCtxError, RequestError, UnsupportedModelError
from longctx.evaluate.calibration.checking import N_CHECKS, judge, proposals, split
from longctx.evaluate.calibration.search import (
    CalibratedMethod,
    Candidate,
    Proposal,
    Searched,
    best_candidate,
    formula,
    propose,
    survivors,
)
from longctx.evaluate.calibration.trial import TRIAL_VERSION, run_trial
from longctx.evaluate.prompts.texts import python_reference, stretch
from longctx.files import alone_in, cache_folder, hash_parts, write_whole
from longctx.llm import LongContextLLM
from longctx.model_info import ModelInfo, longrope_obstacle
from longctx.models import find_model
from longctx.planner import (
    AdapterKeys,
    AdapterOption,
    Choice,
    ContextPlan,
    Profile,
    TrialResult,
    adapter_keys,
    elastic_method,
    plan_context,
    profile_path,
    self_extend_obstacle,
)
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
    adapters: Sequence[AdapterOption] | None = None,
    cache_dir: str | Path | None = None,
    on_trial: TrialCallback | None = None,
    on_progress: ProgressCallback | None = None,
) -> Profile:
    """Search method and parameters for a model, and keep the best where the planner finds it.

    Each trial prefills a window of the text with numbered facts in it, scores its last tokens
    and asks for the facts; the loss is the sum of both, in nats. At each window the best is
    refined over several stretches of the text; methods that are hopeless there are not tried at
    larger ones. What was found then has to beat the planner's own formula once more, on a part of
    the text that nothing was chosen on, by more than twice the error of the difference; else the
    formula is the choice. Trials are kept as they are made, so a calibration that was interrupted
    goes on where it stopped.

    Args:
        llm_or_path: the model, or one that is open already.
        windows: in tokens; None is twice and four times the trained window. Those within the
            trained one are left out: nothing is scaled there.
        methods: to choose from; longrope and self-extend are left out where the model cannot.
        text: prose like what you will read with the model; None is the Python reference.
        budget_s: seconds; a trial that would not end in time is not begun, but the first.
        seed: draws facts and the stretch of text.
        n_threads: as :class:`longctx.LongContextLLM` takes it.
        adapters: LoRA adapters to measure it with, as a plan takes them, beside those that an open
            model has: plans with just these use what comes of it.
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
    measured = _measured(llm_or_path, adapters or ())
    info, path = measured.info, measured.info.path
    windows = _past_the_training(windows, info)
    budget_s = real("budget_s", budget_s, least=0)
    remaining = _runnable(methods, windows, info)
    prose_text = python_reference() if text is None else text
    prose = _tokenize(llm_or_path, path, prose_text)
    stretch(prose, windows[-1], seed)  # a text that is too short is refused before the first trial
    keys = adapter_keys(measured.adapters)
    journal = _Journal(cache_dir, (info.sha256[:16], *_short(keys)), prose_text, seed)

    def measure(window: int, proposal: Proposal) -> TrialResult:
        chosen_on, checked_on, _ = split(prose, window)
        return run_trial(
            path,
            measured.adapters,
            window,
            proposal,
            checked_on if proposal.is_check else chosen_on,
            seed=seed,
            n_threads=n_threads,
            on_progress=on_progress,
        )

    journal.methods = tuple(remaining)
    trials = _Trials(journal, measure, time.monotonic() + budget_s, on_trial)
    choices: list[Choice] = []
    for i, window in enumerate(windows):
        at = _searched(info, window)
        trials.until = trials.deadline
        if not all(trials.make(window, Proposal(formula(m, at), 0)) for m in remaining):
            break  # the best of some methods is not the best of all
        trials.until = trials.share(windows[i:])
        # A check is two trials a stretch; machines are not steady, so that it has time for three.
        while (proposal := propose(remaining, journal.at(window), at)) is not None:
            if not trials.make(window, proposal, behind=3 * N_CHECKS):
                break
        is_other_text = split(prose, window)[2]
        choices.append(_choose(info, at, remaining, trials, is_other_text=is_other_text))
        remaining = survivors(remaining, journal.at(window))
        if not remaining:
            break
    profile = Profile(
        model_sha256=info.sha256,
        choices=tuple(choices) or (_unjudged(windows[0], journal),),
        results=tuple(journal.rows),
        text_sha256=_digest(prose_text),
        measured_with=keys,
    )
    profile.save(profile_path(info, keys))
    return profile


class _Trials:
    """Trials that are made once, and within a time.

    Args:
        journal: those that were made.
        measure: makes one.
        deadline: of all, by ``time.monotonic``.
        on_trial: called after each.
    """

    def __init__(
        self,
        journal: _Journal,
        measure: Callable[[int, Proposal], TrialResult],
        deadline: float,
        on_trial: TrialCallback | None,
    ) -> None:
        self.journal = journal
        self.deadline = deadline
        self.until = deadline
        self._measure = measure
        self._on_trial = on_trial
        self._has_begun = False

    def make(self, window: int, proposal: Proposal, *, behind: int = 0) -> bool:
        """Measure, unless it was measured before; whether it is there.

        Args:
            window: in tokens.
            proposal: what to measure.
            behind: trials that must find time after it.
        """
        journal = self.journal
        if journal.find(window, proposal) is not None:
            return True
        # The first is made whatever it takes: one figure is better than none.
        takes = journal.expected_s(window) * (1 + behind) if journal.rows else 0.0
        is_known = self._has_begun or bool(journal.at(window))
        if is_known and time.monotonic() + takes > self.until:
            return False
        self._has_begun = True
        row = self._measure(window, proposal)
        journal.add(row)
        if self._on_trial is not None:
            self._on_trial(row)
        return True

    def share(self, windows: Sequence[int]) -> float:
        """Until when the first of these windows may take time, so that the others have theirs."""
        costs = [pow(window, 1.5) for window in windows]
        now = time.monotonic()
        return now + (self.deadline - now) * costs[0] / sum(costs)


def _choose(
    info: ModelInfo,
    at: Searched,
    methods: Sequence[CalibratedMethod],
    trials: _Trials,
    *,
    is_other_text: bool,
) -> Choice:
    """The best that was found at a window, if it beats the planner's own formula once more."""
    window = at.window
    best = best_candidate(trials.journal.at(window))
    own = elastic_method(info, window)[0]
    plain = formula(own if own in methods else best.method, at)
    check = None
    if best != plain and all(trials.make(window, each) for each in proposals(best, plain)):
        check = judge(best, plain, trials.journal.checks(window), is_other_text=is_other_text)
    taken = best if check is not None and check.is_won else plain
    return Choice(window=window, method=taken.method, parameters=taken.parameters, check=check)


def _unjudged(window: int, journal: _Journal) -> Choice:
    """Where the time was not enough for each method's formula: the best of those tried."""
    best = best_candidate(journal.at(window))
    return Choice(window=window, method=best.method, parameters=best.parameters)


def _measured(
    llm_or_path: LongContextLLM | str | Path, adapters: Sequence[AdapterOption]
) -> ContextPlan:
    """A plan of the model with its adapters, which were held against it.

    Raises:
        RequestError: an adapter was trained for one map, so that nothing is to be chosen.
    """
    own: tuple[AdapterOption, ...]
    if isinstance(llm_or_path, LongContextLLM):
        path = llm_or_path.info.path
        own = tuple((each.path, each.scale) for each in llm_or_path.plan.adapters)
    else:
        found = find_model(llm_or_path)
        path, own = found.path, found.adapters
    plan = plan_context(path, 256, adapters=[*own, *adapters], reserve_output=0)
    for adapter in plan.adapters:
        if adapter.trained_for is not None and adapter.scale:
            raise RequestError(
                f"{adapter.path.name} was trained for {adapter.trained_for}, and a plan with it "
                "runs that: there is nothing to calibrate"
            )
    return plan


def _short(adapters: AdapterKeys) -> list[str]:
    return [f"{sha256[:8]}x{scale:g}" for sha256, scale in adapters]


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


def _digest(text: str) -> str:
    return hash_parts([text.encode()])


def _proposed(row: TrialResult) -> Proposal:
    return Proposal(Candidate(row.method, row.parameters), row.stretch, row.is_check)


class _Journal:
    """The trials so far, on disk after each."""

    def __init__(
        self, cache_dir: str | Path | None, measured: Sequence[str], text: str, seed: int
    ) -> None:
        name = f"{'-'.join(measured)}-{_digest(text)[:8]}-{seed}-{TRIAL_VERSION}.json"
        self._path = cache_folder("calibrations", cache_dir) / name
        self.rows: list[TrialResult] = []
        self.methods: tuple[CalibratedMethod, ...] = METHODS
        try:
            self.rows = self._kept()
        except (OSError, ValidationError) as error:
            logger.warning("trials in %s are not used: %s", self._path, error)

    def _kept(self) -> list[TrialResult]:
        return _ROWS.validate_json(self._path.read_bytes()) if self._path.exists() else []

    def at(self, window: int) -> list[TrialResult]:
        """The trials of a window, of the methods asked for, on which something may be chosen."""
        return [
            row
            for row in self.rows
            if row.window == window and not row.is_check and row.method in self.methods
        ]

    def checks(self, window: int) -> list[TrialResult]:
        """Those that are to check the choice."""
        return [row for row in self.rows if row.window == window and row.is_check]

    def find(self, window: int, proposal: Proposal) -> TrialResult | None:
        """A trial that was made."""
        return next((r for r in self.rows if r.window == window and _proposed(r) == proposal), None)

    def expected_s(self, window: int) -> float:
        """Seconds of a trial, from the last: attention makes a prefill grow faster than text."""
        last = self.rows[-1]
        return last.seconds * pow(window / last.window, 1.5)

    def add(self, row: TrialResult) -> None:
        """Keep a trial, with those that another process made meanwhile."""
        self.rows.append(row)
        try:
            with alone_in(self._path.parent):
                mine = [(each.window, _proposed(each)) for each in self.rows]
                with suppress(ValidationError):  # it was said when it was opened
                    others = [r for r in self._kept() if (r.window, _proposed(r)) not in mine]
                    self.rows[:0] = others
                write_whole(self._path, _ROWS.dump_json(self.rows, indent=1))
        except OSError as error:
            raise LongCtxError(
                f"trials cannot be kept in {self._path} ({error}); pass a cache_dir that can be "
                "written"
            ) from error
