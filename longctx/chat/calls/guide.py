"""What holds an answer to calls that are whole: nothing until one begins, then its grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from longctx.chat.calls.answer_reader import AnswerFormat
from longctx.chat.calls.channels import is_in_header
from longctx.chat.calls.format import ObjectBody
from longctx.errors import RequestError
from longctx.grammar import Grammar, GrammarMatcher, Guide, TokenTable

_FENCE = "```"


class AnswerGuide(Guide):
    """Steers one answer of a model that may think, and then must or may call.

    Args:
        tokens: the model's.
        style: how it writes answers.
        calls: the grammar of calls, from their mark on; None lets the rest of the answer be
            anything.
        also: the same of ``style.also``.
        forced: a grammar that the answer is held to once it has thought: calls that must come, or
            a schema; None waits for the mark of a call. It may have the mark of reasoning in it.
        after: the same without that mark, for what follows reasoning; None is ``forced``.
        names: of the tools, for formats whose calls have no mark.
        head: what the prompt ends with of the answer: the mark of reasoning, perhaps.
        closing: the grammar of what closes reasoning, held to once ``budget`` tokens of it are
            written; None lets it think as long as it likes.
        budget: of tokens.
    """

    def __init__(
        self,
        tokens: TokenTable,
        style: AnswerFormat,
        *,
        calls: Grammar | None = None,
        also: Grammar | None = None,
        forced: Grammar | None = None,
        after: Grammar | None = None,
        names: Sequence[str] = (),
        head: str = "",
        closing: Grammar | None = None,
        budget: int = 0,
    ) -> None:
        self._style = style
        self._close, self._budget = closing, budget
        self._n_thought = 0
        self._tokens = tokens
        self._calls = calls
        self._after = forced if after is None else after
        self._opening, self._closing = (
            (mark.strip() for mark in style.thinking) if style.thinking else ("", "")
        )
        forms = [(style, calls)]
        if style.also is not None:
            forms.append((replace(style, calls=style.also, in_header=None), also))
        self._marks = tuple(
            (mark, held) for form, held in forms if held is not None for mark in _triggers(form)
        )
        self._bare = _bare_call(style, names) if calls is not None else None
        self._matcher: GrammarMatcher | None = None
        self._text = ""
        self._ids: list[tuple[int, int]] = []  # (token, where its text begins), since _from
        self._from = 0
        self._thinks = bool(self._opening) and head.strip() == self._opening
        if not self._thinks and forced is not None:
            self._matcher = GrammarMatcher(tokens, forced)

    def mask(self) -> NDArray[np.uint32] | None:
        """As :class:`~longctx.grammar.Guide` has it."""
        return None if self._matcher is None else self._matcher.mask()

    @property
    def has_ended(self) -> bool:
        """Whether calls that were begun are whole, and nothing may follow."""
        return self._matcher is not None and self._matcher.has_ended

    def accept(self, token: int) -> None:
        """Go past a token, and see what it begins or ends."""
        self._ids.append((token, len(self._text)))
        self._text += self._tokens.text(token)
        if self._matcher is not None:
            self._matcher.accept(token)
            if self._thinks and self._matcher.has_ended:
                self._matcher = None  # the thought is closed: what follows it begins
                self._go_on_from_thought()
                return
            if self._opening and self._matcher.has_ended and self._written() == self._opening:
                self._matcher, self._thinks = None, True
                self._move(len(self._text))
            return
        if self._thinks:
            self._n_thought += 1
            if self._closing in self._text[self._from :]:
                self._go_on_from_thought()
            elif self._close is not None and self._n_thought >= self._budget:
                self._matcher = GrammarMatcher(self._tokens, self._close)
            return
        self._look()

    def _go_on_from_thought(self) -> None:
        """The mark that closes reasoning was written: hold what follows it."""
        self._thinks = False
        self._move(self._text.index(self._closing, self._from) + len(self._closing))
        if self._after is not None:
            # White space behind the mark is the model's own.
            self._start(self._after, self._after_space())
            if self._matcher is None:  # what came with the mark does not fit: from here, then
                self._matcher = GrammarMatcher(self._tokens, self._after)
        else:
            self._look()

    def _look(self) -> None:
        """Start the grammar where a call begins, thinking where that begins."""
        if self._opening and self._written().startswith(self._opening):
            self._thinks = True
            self._move(self._text.find(self._opening, self._from) + len(self._opening))
            return
        if self._calls is None:
            return
        if self._bare is not None:
            found = self._bare.match(self._text, self._from)
            if found:
                self._start(self._calls, found.start(1))
                return
        for mark, calls in self._marks:
            at = self._text.find(mark, self._from)
            if at < 0:
                continue
            if self._may_begin(at):
                self._start(calls, at)
                if self._matcher is not None:
                    return
            self._move(at + len(mark))

    def _may_begin(self, at: int) -> bool:
        """Whether a call's mark means a call here: not in code, and with channels in a header."""
        if self._style.in_header is not None:
            return is_in_header(self._text[:at])
        return self._text.count(_FENCE, 0, at) % 2 == 0

    def _start(self, grammar: Grammar, at: int) -> None:
        """Hold the answer to a grammar from a place on; where it is past it already, do not."""
        matcher = GrammarMatcher(self._tokens, grammar)
        try:
            for i, (token, start) in enumerate(self._ids):
                end = self._ids[i + 1][1] if i + 1 < len(self._ids) else len(self._text)
                if start >= at:
                    matcher.accept(token)
                elif end > at:
                    matcher.accept_bytes(self._text[at:end].encode())
        except RequestError:
            return
        self._matcher = matcher
        self._move(at)

    def _after_space(self) -> int:
        rest = self._text[self._from :]
        return self._from + len(rest) - len(rest.lstrip())

    def _written(self) -> str:
        return self._text[self._from :].strip()

    def _move(self, at: int) -> None:
        self._from = at


def _triggers(style: AnswerFormat) -> tuple[str, ...]:
    """Marks that surely begin a call: a tag, else the whole of what stands before a name."""
    calls = style.calls
    if style.in_header is not None:
        return (style.in_header.opening.rstrip("."),)
    first = (calls.section if calls.section.strip() else calls.opening).strip()
    head = calls.begins[0] if calls.begins else ""
    return (head if head[:1] in "<[" else first,) if head else ()


def _bare_call(style: AnswerFormat, names: Sequence[str]) -> re.Pattern[str] | None:
    """The beginning of an answer that is a call without a mark."""
    body = style.calls.body
    if style.calls.begins or not isinstance(body, ObjectBody) or not body.name:
        return None
    either = "|".join(map(re.escape, names))
    return re.compile(rf'\s*(\{{"{re.escape(body.name)}": "(?:{either})")')
