"""A model's words as they come: as they are, or as Markdown."""

from __future__ import annotations

from typing import Protocol

from longctx.cli.output import out, show_words
from longctx.cli.streams import writes_unicode


class Words(Protocol):
    """Shows an answer's text."""

    def add(self, text: str) -> None:
        """Some more of it."""

    def pause(self) -> None:
        """Something else is drawn for a while."""

    def end(self) -> None:
        """Something else follows."""


class PlainWords:
    """Text as it is, piece by piece."""

    def __init__(self) -> None:
        self._is_open = False

    def add(self, text: str) -> None:
        """Some more of it."""
        show_words(text)
        self._is_open = True

    def pause(self) -> None:
        """What is printed stays."""

    def end(self) -> None:
        """The line ends."""
        if self._is_open:
            out.print()
            self._is_open = False


def answer_words(*, markdown: bool) -> Words:
    """What shows answers on standard output: Markdown where that is wanted and can be drawn."""
    if not (markdown and out.file.isatty() and not out.is_dumb_terminal and writes_unicode()):
        return PlainWords()
    # No other command waits for what draws it.
    from longctx.cli.chat.markdown_words import MarkdownWords

    return MarkdownWords(out)
