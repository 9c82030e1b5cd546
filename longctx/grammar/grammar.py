"""What an answer may be, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field

from longctx.grammar import compile as compiling
from longctx.grammar.matcher import GrammarMatcher
from longctx.grammar.tokens import TokenTable


@dataclass(frozen=True)
class Grammar:
    """A grammar in llguidance's dialect of Lark.

    Its rule ``start`` is the answer. Rules may hold ``%json {…}`` (write it with
    :func:`~longctx.grammar.json_rule`), ``%regex {…}``, regular expressions between slashes,
    and special tokens by name (``<|im_end|>``) or number (``<[2]>``). Special are those that an
    answer's text does not show, and no text between quotes matches them. A tag that is shown, as
    ``<tool_call>`` is by many models, is text: ``"<tool_call>"`` matches it as one token and as
    several.

    Args:
        lark: the grammar.
        levels: how deep the schemas in it stand in each other, references followed.
        warnings: what of its schemas does not hold the answer, each as a sentence.

    Source:
        llguidance's docs/syntax.md.
    """

    lark: str
    levels: int = field(default=0, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def has_json(self) -> bool:
        """Whether JSON schemas are a part of it."""
        return "%json" in self.lark

    def check(self) -> tuple[str, ...]:
        """Compile it, in any thread; what llguidance ignores of it.

        Raises:
            RequestError: it is malformed, or too large.
        """
        return compiling.check(self)

    def start(self, tokens: TokenTable) -> GrammarMatcher:
        """The guide of one answer that is this from its first token; in the model's thread.

        Raises:
            RequestError: it is malformed, or names a token that the model does not have.
        """
        return GrammarMatcher(tokens, self)
