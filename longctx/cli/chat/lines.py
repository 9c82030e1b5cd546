"""Where a chat's lines come from: a pipe, a terminal that can do nothing, or a prompt."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from longctx.cli.output import errors


class Lines(Protocol):
    """Gives messages, one after another."""

    @property
    def has_keys(self) -> bool:
        """Whether it can be edited by keys, which ``/help`` names then."""

    def read(self) -> str | None:
        """The next message; None is the end."""

    def ask(self, question: str) -> str | None:
        """What is answered to a question; None where nobody is there."""


class PipedLines:
    """Each line is a message; Ctrl-C ends them."""

    has_keys = False

    def read(self) -> str | None:
        """The next line."""
        try:
            return input()
        except (EOFError, KeyboardInterrupt):
            return None

    def ask(self, question: str) -> None:
        """The next line is a message, and no answer."""


class PlainLines:
    """A terminal without cursor keys: a backslash at the end of a line goes on in the next."""

    has_keys = False

    def read(self) -> str | None:
        """The next message; Ctrl-C begins it anew."""
        lines: list[str] = []
        while True:
            try:
                lines.append(_typed("  " if lines else "> "))
            except EOFError:
                return None
            except KeyboardInterrupt:
                errors.print("\n(Ctrl-D ends)")
                lines = []
                continue
            if not lines[-1].endswith("\\"):
                return "\n".join(lines)
            lines[-1] = lines[-1][:-1]

    def ask(self, question: str) -> str:
        """What is answered to a question."""
        return _typed(question)


def _typed(prompt: str) -> str:
    """A line from the terminal; what stands before it goes where it is read, and into no file."""
    if sys.stdout.isatty():
        return input(prompt)
    errors.print(prompt, end="", markup=False)
    return input()


def is_interactive() -> bool:
    """Whether somebody types, and reads what is answered."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def open_lines(status: Callable[[], str], *, keeps_history: bool) -> Iterator[Lines]:
    """The lines of standard input.

    Args:
        status: a line about the conversation, shown below the prompt.
        keeps_history: find what was typed in earlier sessions, and keep what is typed in this one.
    """
    if not sys.stdin.isatty():
        yield PipedLines()
    elif not is_interactive() or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        yield PlainLines()
    else:
        # Not where lines are piped: it takes as long to load as the rest of the command line.
        from longctx.cli.chat.prompt import Prompt, silent_keys

        with silent_keys():
            yield Prompt(status, keeps_history=keeps_history)
