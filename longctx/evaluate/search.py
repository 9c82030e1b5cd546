"""What a calibration tries next: a function of what it has measured, so it can be interrupted.

Pure: no model is run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Literal

from longctx.errors import PlanError
from longctx.evaluate.factors import next_factors, starting_factors
from longctx.planner import ProfileParameters, SelfExtendConfig, TrialResult
from longctx.rope import Method, TrainedRope

CalibratedMethod = Method | Literal["self-extend"]

MAX_FACTOR = 4.0
_CLOSE = 1.08  # neighbouring factors beyond which a finer one tells nothing
_WORTH_REFINING = 0.1  # nats behind the best
_HOPELESS = 0.5  # nats behind the best at a smaller window
_GROUPS = (2, 4, 8, 16, 32)
_BLOCKS = (1 / 32, 1 / 16, 1 / 8, 1 / 4)
_STARTS = (0.5, 0.625, 0.75, 0.875, 1.0)


@dataclass(frozen=True)
class Candidate:
    """A method and its parameters."""

    method: CalibratedMethod
    parameters: ProfileParameters = field(default_factory=ProfileParameters)


@dataclass(frozen=True)
class Searched:
    """What is searched for: the model's trained RoPE, its trained window and the one wanted."""

    rope: TrainedRope
    n_ctx_train: int
    window: int

    @property
    def scale(self) -> float:
        """s of the window."""
        return self.window / self.n_ctx_train

    def with_factors(self, factors: tuple[float, ...]) -> Candidate:
        """Longrope with these factors."""
        parameters = ProfileParameters(frequency_factors=factors, factors_scale=self.scale)
        return Candidate("longrope", parameters)


def formula(method: CalibratedMethod, searched: Searched) -> Candidate:
    """What the planner would take without a calibration; for longrope, where its search begins."""
    n_ctx_train = searched.n_ctx_train
    if method == "longrope":
        return searched.with_factors(starting_factors(searched.rope, searched.scale))
    if method != "self-extend":
        return Candidate(method)
    far = _self_extend(n_ctx_train, 2, 3, 2)
    if far is None:
        raise PlanError(f"a trained window of {n_ctx_train:,} tokens is too short for self-extend")
    return Candidate(method, ProfileParameters(self_extend=far))


def survivors(
    methods: Sequence[CalibratedMethod], rows: Sequence[TrialResult]
) -> list[CalibratedMethod]:
    """The methods worth trying at a larger window, after ``rows`` at a smaller one."""
    best = {
        method: min((r.loss for r in rows if r.method == method), default=0.0) for method in methods
    }
    least = min(best.values(), default=0.0)
    return [method for method in methods if best[method] <= least + _HOPELESS]


def propose(
    methods: Sequence[CalibratedMethod], rows: Sequence[TrialResult], searched: Searched
) -> Candidate | None:
    """What to try next at one window.

    First each method by its formula; then the best method's parameters, and those of methods
    close behind it, by bisection (a factor on s) or step by step (group, block and start; the
    knots of a vector of factors).

    Args:
        methods: to choose from.
        rows: what was measured at this window.
        searched: the model and this window.

    Returns:
        None when nothing is left that would tell much.
    """
    tried = {(row.method, row.parameters) for row in rows}
    for method in methods:
        candidate = formula(method, searched)
        if (candidate.method, candidate.parameters) not in tried:
            return candidate
    best = {m: min((r for r in rows if r.method == m), key=lambda r: r.loss) for m in methods}
    if not best:
        return None
    least = min(row.loss for row in best.values())
    for method in sorted(methods, key=lambda m: best[m].loss):
        if best[method].loss > least + _WORTH_REFINING:
            break
        if method == "self-extend":
            found = _step(best[method], tried, searched.n_ctx_train)
        elif method == "longrope":
            found = _move_factors(best[method], rows, searched)
        elif method == "none":
            found = None
        else:
            found = _bisect(best[method], [r for r in rows if r.method == method])
        if found is not None:
            return found
    return None


def _move_factors(
    best: TrialResult, rows: Sequence[TrialResult], searched: Searched
) -> Candidate | None:
    """A neighbour of the best vector."""
    vectors = [row.parameters.frequency_factors for row in rows]
    here = best.parameters.frequency_factors
    assert here is not None
    found = next_factors(here, [v for v in vectors if v is not None], searched.scale)
    return None if found is None else searched.with_factors(found)


def _bisect(best: TrialResult, rows: Sequence[TrialResult]) -> Candidate | None:
    """Half way, as a ratio, into the wider gap beside the best factor on s."""
    factor = best.parameters.scale_factor
    factors = sorted({row.parameters.scale_factor for row in rows} | {1.0})
    below = max((f for f in factors if f < factor), default=factor)
    above = min((f for f in factors if f > factor), default=MAX_FACTOR)
    gaps = {below: factor / below, above: above / factor}
    towards = max(gaps, key=lambda f: gaps[f])
    if gaps[towards] < _CLOSE:
        return None
    wanted = round(sqrt(towards * factor), 3)
    return Candidate(best.method, ProfileParameters(scale_factor=wanted))


def _step(
    best: TrialResult, tried: set[tuple[CalibratedMethod, ProfileParameters]], n_ctx_train: int
) -> Candidate | None:
    """A neighbour of the best group, block and start that was not tried."""
    at = best.parameters.self_extend
    assert at is not None
    place = _Place(
        _GROUPS.index(at.group),
        min(range(len(_BLOCKS)), key=lambda i: abs(_BLOCKS[i] - at.block / n_ctx_train)),
        min(range(len(_STARTS)), key=lambda i: abs(_STARTS[i] - at.start / n_ctx_train)),
    )
    for axis in ("group", "start", "block"):
        for step in (1, -1):
            moved = replace(place, **{axis: getattr(place, axis) + step})
            far = _self_extend(n_ctx_train, moved.group, moved.block, moved.start)
            if far is None:
                continue
            parameters = ProfileParameters(self_extend=far)
            if ("self-extend", parameters) not in tried:
                return Candidate("self-extend", parameters)
    return None


@dataclass(frozen=True)
class _Place:
    """Indices into the grids of Self-Extend's parameters."""

    group: int
    block: int
    start: int


def _self_extend(n_ctx_train: int, group: int, block: int, start: int) -> SelfExtendConfig | None:
    """The configuration at these indices; None outside the grids or where it cannot be."""
    if not (0 <= group < len(_GROUPS) and 0 <= block < len(_BLOCKS) and 0 <= start < len(_STARTS)):
        return None
    tokens = g = _GROUPS[group]
    while 2 * tokens <= _BLOCKS[block] * n_ctx_train:
        tokens *= 2
    # One position must stay free for the token that is being decoded.
    begin = min(int(_STARTS[start] * n_ctx_train), n_ctx_train - 1)
    if begin < 2 * tokens or tokens > _BLOCKS[block] * n_ctx_train:
        return None
    return SelfExtendConfig(group=g, block=tokens, start=begin)
