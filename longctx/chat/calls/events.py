"""What an answer turns out to be, while it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Said:
    """Words for the user."""

    text: str


@dataclass(frozen=True)
class Thought:
    """Words of the model's reasoning."""

    text: str


@dataclass(frozen=True)
class CallBegun:
    """A call of a tool that was offered; its arguments follow."""

    name: str
    call_id: str = ""


@dataclass(frozen=True)
class CallWritten:
    """A piece of the arguments of the call that began last, as JSON text."""

    text: str


@dataclass(frozen=True)
class CallEnded:
    """The call that began last is whole."""


@dataclass(frozen=True)
class CallBroken:
    """What began last was no call after all, or was cut off; its text is said instead."""


Heard: TypeAlias = Said | Thought | CallBegun | CallWritten | CallEnded | CallBroken
