"""Policies: what of a conversation the model is shown.

A policy is a pure function from the whole transcript to the messages that go into the window.
It never mutates the transcript, which the agent keeps and saves as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from longctx.types import Message

Transcript: TypeAlias = tuple[Message, ...]
"""System message (if any) first, then turns, oldest first."""

Policy: TypeAlias = Callable[[Transcript], Transcript]


def keep_everything(transcript: Transcript) -> Transcript:
    """Show the whole transcript.

    The window grows up to ``target_ctx``; what does not fit there raises
    :class:`longctx.ContextOverflowError`, and nothing is dropped.
    """
    return transcript


def default() -> Policy:
    """The policy of an agent that names none: :func:`keep_everything`, until compaction exists."""
    return keep_everything
