"""What a calibration tries next: a function of what it has measured, so it can be interrupted.

Pure: no model is run here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from statistics import mean
from typing import Literal

from longctx.errors import RequestError
from longctx.evaluate.calibration.factors import next_factors, starting_factors
from longctx.planner import ProfileParameters, SelfExtendConfig, TrialResult
from longctx.rope import Method, TrainedRope

CalibratedMethod = Method | Literal["self-extend"]

N_STRETCHES = 3
"""Stretches of text, with facts of their own, over which a candidate must win."""

MAX_FACTOR = 4.0
_CLOSE = 1.08  # neighbouring factors beyond which a finer one tells nothing
_WORTH_CONFIRMING = 0.25  # nats behind the best on one stretch
_WORTH_REFINING = 0.1  # nats behind the best over all
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
class Proposal:
    """A candidate to measure, on which stretch of text, and whether only to check a choice."""

    candidate: Candidate
    stretch: int
    is_check: bool = False


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
    """What the planner would take without a calibration; for longrope, where its search begins.

    Raises:
        RequestError: self-extend does not reach the window.
    """
    n_ctx_train = searched.n_ctx_train
    if method == "longrope":
        return searched.with_factors(starting_factors(searched.rope, searched.scale))
    if method != "self-extend":
        return Candidate(method)
    far = _self_extend(n_ctx_train, 2, 3, 2)
    if far is None:
        raise RequestError(
            f"a trained window of {n_ctx_train:,} tokens is too short for self-extend"
        )
    if far.max_tokens < searched.window:
        raise RequestError(
            f"self-extend reaches {far.max_tokens:,} tokens from a trained window of "
            f"{n_ctx_train:,}, not {searched.window:,}"
        )
    return Candidate(method, ProfileParameters(self_extend=far))


def survivors(
    methods: Sequence[CalibratedMethod], rows: Sequence[TrialResult]
) -> list[CalibratedMethod]:
    """The methods worth trying at a larger window, after ``rows`` at a smaller one."""
    best: dict[str, float] = {}
    for row in rows:
        if not row.stretch:
            best[row.method] = min(row.loss, best.get(row.method, row.loss))
    least = min(best.values(), default=0.0)
    return [method for method in methods if best.get(method, least) <= least + _HOPELESS]


def propose(
    methods: Sequence[CalibratedMethod], rows: Sequence[TrialResult], searched: Searched
) -> Proposal | None:
    """What to try next at one window.

    A single stretch of text flatters what happens to suit it, so nothing is taken that did not
    win over :data:`N_STRETCHES` of them. First each method by its formula on the first stretch;
    then those close to the best on the others. Then neighbours of the best: a factor on s by
    bisection; group, block and start, and the knots of a vector of factors, step by step. Most
    neighbours lose on the first stretch, which costs one trial; one that is ahead is tried on the
    next as well, and takes the place of the best when it is ahead over all.

    Args:
        methods: to choose from.
        rows: what was measured at this window.
        searched: the model and this window.

    Returns:
        None when nothing is left that would tell much.
    """
    formulas = {method: formula(method, searched) for method in methods}
    losses = _losses(rows)
    for candidate in formulas.values():
        if candidate not in losses:
            return Proposal(candidate, 0)
    if not formulas:
        return None
    least = min(losses[candidate][0] for candidate in formulas.values())
    close = [m for m in methods if losses[formulas[m]][0] <= least + _WORTH_CONFIRMING]
    for stretch in range(1, N_STRETCHES):
        for method in close:
            if stretch not in losses[formulas[method]]:
                return Proposal(formulas[method], stretch)
    best = {method: _best_of(method, losses) for method in close}
    for method in close:
        for candidate, found in losses.items():
            if candidate.method == method and len(found) < N_STRETCHES:
                against = [losses[best[method]][stretch] for stretch in found]
                if mean(found.values()) < mean(against):
                    return Proposal(candidate, len(found))
    over_all = {method: mean(losses[best[method]].values()) for method in close}
    for method in sorted(close, key=lambda m: over_all[m]):
        if over_all[method] > min(over_all.values()) + _WORTH_REFINING:
            break
        tried = [c.parameters for c in losses if c.method == method]
        neighbour = _neighbour(best[method], tried, searched)
        if neighbour is not None:
            return Proposal(neighbour, 0)
    return None


def best_candidate(rows: Sequence[TrialResult]) -> Candidate:
    """The best over all stretches; over the first where the budget reached no further."""
    losses = _losses(rows)
    whole = [c for c, found in losses.items() if len(found) == N_STRETCHES]
    if whole:
        return min(whole, key=lambda c: mean(losses[c].values()))
    return min(losses, key=lambda c: losses[c][0])


def _losses(rows: Sequence[TrialResult]) -> dict[Candidate, dict[int, float]]:
    """The losses of each candidate by stretch, in the order in which they were measured."""
    found: dict[Candidate, dict[int, float]] = {}
    for row in rows:
        found.setdefault(Candidate(row.method, row.parameters), {})[row.stretch] = row.loss
    return found


def _best_of(
    method: CalibratedMethod, losses: Mapping[Candidate, Mapping[int, float]]
) -> Candidate:
    whole = [c for c, f in losses.items() if c.method == method and len(f) == N_STRETCHES]
    return min(whole, key=lambda c: mean(losses[c].values()))


def _neighbour(
    best: Candidate, tried: Sequence[ProfileParameters], searched: Searched
) -> Candidate | None:
    """Something close to the best of a method that was not tried."""
    parameters: ProfileParameters | None = None
    if best.method == "self-extend":
        parameters = _step(best.parameters, tried, searched)
    elif best.method == "longrope":
        parameters = _move_factors(best.parameters, tried, searched)
    elif best.method != "none":
        parameters = _bisect(best.parameters, tried)
    return None if parameters is None else Candidate(best.method, parameters)


def _move_factors(
    here: ProfileParameters, tried: Sequence[ProfileParameters], searched: Searched
) -> ProfileParameters | None:
    """A neighbour of the best vector."""
    assert here.frequency_factors is not None
    vectors = [other.frequency_factors for other in tried if other.frequency_factors is not None]
    found = next_factors(here.frequency_factors, vectors, searched.scale)
    return None if found is None else searched.with_factors(found).parameters


def _bisect(
    here: ProfileParameters, tried: Sequence[ProfileParameters]
) -> ProfileParameters | None:
    """Half way, as a ratio, into the wider gap beside the best factor on s."""
    factor = here.scale_factor
    factors = sorted({other.scale_factor for other in tried} | {1.0})
    below = max((f for f in factors if f < factor), default=factor)
    above = min((f for f in factors if f > factor), default=MAX_FACTOR)
    gaps = {below: factor / below, above: above / factor}
    towards = max(gaps, key=lambda f: gaps[f])
    if gaps[towards] < _CLOSE:
        return None
    return ProfileParameters(scale_factor=round(sqrt(towards * factor), 3))


def _step(
    here: ProfileParameters, tried: Sequence[ProfileParameters], searched: Searched
) -> ProfileParameters | None:
    """A neighbour of the best group, block and start that reaches the window, and was not tried."""
    n_ctx_train = searched.n_ctx_train
    at = here.self_extend
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
            if far is None or far.max_tokens < searched.window:
                continue
            parameters = ProfileParameters(self_extend=far)
            if parameters not in tried:
                return parameters
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
