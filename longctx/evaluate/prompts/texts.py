"""Natural text to measure on: the packaged one, and stretches of it at exact token counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from longctx.errors import DocumentError
from longctx.evaluate.prompts.random_numbers import generator

if TYPE_CHECKING:
    from longctx.llm import LongContextLLM

ADJECTIVES = (
    "amber", "brass", "coral", "dusty", "eager", "faded", "gentle", "hollow", "ivory", "jolly",
)  # fmt: skip
NOUNS = (
    "falcon", "badger", "lantern", "anchor", "violin", "cactus", "pebble", "turbine", "harbour",
    "orchid",
)  # fmt: skip
"""What hidden numbers are called: an adjective and a noun, a hundred names."""


def python_reference() -> str:
    """The Python language reference that ships with Python, some 460 KB of English."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics))


def text_ids(llm: LongContextLLM, text: str | None) -> list[int]:
    """The token ids of a text; None is the Python reference."""
    return llm.tokenize(python_reference() if text is None else text)


def prose(llm: LongContextLLM, text: str | None, n_tokens: int, seed: int) -> str:
    """A stretch of a text as characters, without the halves of any it was cut through.

    Raises:
        DocumentError: the text is shorter than ``n_tokens``.
    """
    return llm.detokenize(stretch(text_ids(llm, text), n_tokens, seed)).strip("\ufffd")


def stretch(ids: Sequence[int], n_tokens: int, seed: int) -> list[int]:
    """Take ``n_tokens`` consecutive tokens of a text, from a place that the seed draws.

    Raises:
        DocumentError: the text is shorter.
    """
    spare = len(ids) - n_tokens
    if spare < 0:
        raise DocumentError(
            f"the text is {len(ids):,} tokens and {n_tokens:,} are needed: pass a longer text, or "
            "measure a shorter length"
        )
    begin = int(generator(seed).integers(0, spare + 1))
    return list(ids[begin : begin + n_tokens])
