"""How the next token is drawn: every option with its range and its default, declared here once.

The names are llama.cpp's, and OpenAI's where it has one. What is left out is off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import inf
from numbers import Integral
from typing import Any, TypeAlias

from longctx import arguments
from longctx.errors import RequestError

Bias: TypeAlias = tuple[tuple[int | str, float], ...]
"""Tokens, by id or by text, and what is added to the logit of each."""

MAX_BIAS = 100.0
"""What OpenAI takes: enough to forbid any token, or to force it."""
DRY_BREAKERS = "\n", ":", '"', "*"
"""llama.cpp's."""
MAX_BREAKERS = 32
"""Each is looked for in the whole vocabulary."""
_BREAKER_BYTES = 40  # llama.cpp cuts off what is longer
_MOST = 2**31 - 1  # llama.cpp's int32
_WHOLE_TEXT = -1


@dataclass(frozen=True)
class Range:
    """Which numbers an option takes."""

    is_whole: bool = False
    least: float | None = None
    above: float | None = None
    most: float | None = None

    def check(self, name: str, value: Any) -> Any:
        """The number, as a plain one of Python's.

        Raises:
            RequestError: it is none, or outside of the range.
        """
        if self.is_whole:
            least, most = self.least, self.most
            return arguments.whole(
                name,
                value,
                least=None if least is None else int(least),
                most=None if most is None else int(most),
            )
        return arguments.real(name, value, least=self.least, above=self.above, most=self.most)


def _number(
    default: float,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """A number without a fraction where its default has none."""
    found = Range(isinstance(default, int), least, above, most)
    return field(default=default, metadata={"range": found})


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn, checked. Temperature 0 is greedy: bias, penalties and DRY still
    change which token is the most likely, and what narrows the choice changes nothing.

    :class:`longctx.options.SamplingOptions` says what each does. ``-1`` of a window of penalties
    is all of the text.
    """

    temperature: float = _number(0.0, least=0, most=arguments.MAX_TEMPERATURE)
    top_k: int = _number(0, least=0, most=_MOST)
    top_p: float = _number(1.0, above=0, most=1)
    min_p: float = _number(0.0, least=0, most=1)
    typical_p: float = _number(1.0, above=0, most=1)
    repeat_penalty: float = _number(1.0, least=0.01, most=100)
    repeat_last_n: int = _number(64, least=_WHOLE_TEXT, most=_MOST)
    presence_penalty: float = _number(0.0, least=-2, most=2)
    frequency_penalty: float = _number(0.0, least=-2, most=2)
    dry_multiplier: float = _number(0.0, least=0, most=100)
    dry_base: float = _number(1.75, least=1, most=100)
    dry_allowed_length: int = _number(2, least=0, most=_MOST)
    dry_penalty_last_n: int = _number(64, least=_WHOLE_TEXT, most=_MOST)
    dry_sequence_breakers: tuple[str, ...] = DRY_BREAKERS
    xtc_probability: float = _number(0.0, least=0, most=1)
    xtc_threshold: float = _number(0.1, least=0, most=1)
    mirostat: int = _number(0, least=0, most=2)
    mirostat_tau: float = _number(5.0, above=0, most=100)
    mirostat_eta: float = _number(0.1, above=0, most=1)
    logit_bias: Bias = ()
    seed: int | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Sampling:
        """What a call's options come to; None in any of them is the default, others are let pass.

        Raises:
            RequestError: one is out of its range.
        """
        given = {name: options[name] for name in SAMPLING if options.get(name) is not None}
        return cls(**{name: checked(name, value) for name, value in given.items()})

    @property
    def penalises(self) -> bool:
        """Whether a token that stood in the text before is less likely, or more."""
        changed = (self.repeat_penalty, self.presence_penalty, self.frequency_penalty) != (1, 0, 0)
        return changed and self.repeat_last_n != 0

    @property
    def is_dry(self) -> bool:
        """Whether tokens that would continue a repetition are made less likely (DRY)."""
        return self.dry_multiplier > 0 and self.dry_penalty_last_n != 0


SAMPLING = tuple(each.name for each in fields(Sampling))
"""Names of the options."""
RANGES: dict[str, Range] = {
    each.name: each.metadata["range"] for each in fields(Sampling) if "range" in each.metadata
}
"""Of those that are numbers with a range."""


def checked(name: str, value: Any) -> Any:
    """One option's value, by its name.

    Raises:
        RequestError: it is out of its range.
    """
    if name == "temperature":
        return arguments.temperature(value)
    if name == "seed":
        return arguments.seed(value)
    if name == "logit_bias":
        return _bias(value)
    if name == "dry_sequence_breakers":
        return _breakers(value)
    return RANGES[name].check(name, value)


def _bias(value: Any) -> Bias:
    if not isinstance(value, Mapping):
        raise RequestError(
            f"logit_bias is a {type(value).__name__}; pass a dict of token ids, or texts of one "
            "token, and numbers, such as {' Paris': 5, 1234: -100}"
        )
    return tuple((_token(token), _added(bias)) for token, bias in value.items())


def _breakers(value: Any) -> tuple[str, ...]:
    name = "dry_sequence_breakers"
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise RequestError(
            f"{name} is a {type(value).__name__}; pass a list of texts, such as ['\\n', ':']"
        )
    if len(value) > MAX_BREAKERS:
        raise RequestError(f"{name} has {len(value):,} texts; use {MAX_BREAKERS} or fewer")
    for text in value:
        n_bytes = len(text.encode("utf-8", "replace")) if isinstance(text, str) else 0
        if not 0 < n_bytes <= _BREAKER_BYTES or "\0" in text or not _is_text(text):
            raise RequestError(
                f"{name} has {text!r:.80}; use texts of 1 to {_BREAKER_BYTES} bytes, without NUL"
            )
    return tuple(value)


def _is_text(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _token(token: Any) -> int | str:
    """An id, as a number or in digits (JSON's keys are texts), or the text of a token."""
    if isinstance(token, Integral) and not isinstance(token, bool):
        return int(token)
    if isinstance(token, str) and token:
        return int(token) if token.isascii() and token.isdigit() and len(token) < 10 else token
    raise RequestError(
        f"logit_bias names the token {token!r:.80}; use its id, or its text, which is not empty"
    )


def _added(bias: Any) -> float:
    # llama.cpp's "never", which no JSON can write, is as good as OpenAI's.
    if isinstance(bias, float) and bias == -inf:
        return -MAX_BIAS
    return arguments.real("a logit_bias", bias, least=-MAX_BIAS, most=MAX_BIAS)


CONVERSATION: dict[str, float | int] = {
    "temperature": 0.5,
    "min_p": 0.1,
    "repeat_penalty": 1.1,
    "dry_multiplier": 0.8,
    "dry_penalty_last_n": 256,
}
"""How conversations are sampled where a model's file says nothing: tokens that are at all likely,
and rather not those that repeat what was just said, by word (the penalty, over llama.cpp's 64
tokens) or by sequence (DRY). docs/sampling.md has the figures behind it."""


def conversation_sampling(suggested: Mapping[str, float | int]) -> dict[str, Any]:
    """How conversations are sampled: as a model's file suggests, else as :data:`CONVERSATION`.

    Args:
        suggested: by the file; without a temperature it gets ours.
    """
    if not suggested:
        return dict(CONVERSATION)
    return {"temperature": CONVERSATION["temperature"], **suggested}
