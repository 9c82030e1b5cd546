"""Watches whether what stood in the KV cache was found there again."""

from __future__ import annotations

import logging

from longctx.agents.events import CacheLost
from longctx.types import Completion, Message

logger = logging.getLogger("longctx")

TOLERANCE = 512
"""Tokens that are not worth a word: below it sessions make way for each other
(:mod:`longctx.cache.pool`), and templates write the newest turn otherwise than earlier ones."""


class CacheWatch:
    """Compares each step with the one before it."""

    def __init__(self) -> None:
        self._messages: tuple[Message, ...] = ()
        self._tokens = 0

    def forget(self) -> None:
        """Expect nothing of the next step: what was said before it has been taken back."""
        self._messages, self._tokens = (), 0

    def check(
        self, messages: tuple[Message, ...], completion: Completion, avoidable: str
    ) -> CacheLost | None:
        """Note a step; return what was lost although it need not have been.

        Args:
            messages: what the model was shown.
            completion: what came of it.
            avoidable: why a change of what stood in the cache need not have been; empty where
                none was made, or it had to be.
        """
        expected, goes_on = self._tokens, messages[: len(self._messages)] == self._messages
        self._messages, self._tokens = messages, completion.usage.prompt_tokens
        cached = completion.usage.cached_tokens
        tolerance = 0 if avoidable else TOLERANCE
        if expected - cached <= tolerance or not (goes_on or avoidable):
            return None
        reason = (
            avoidable
            or completion.window.method_changed
            or (
                "the model's cache went to another conversation or to make room in memory, or its "
                "chat template writes earlier turns otherwise once another follows"
            )
        )
        lost = CacheLost(expected_tokens=expected, cached_tokens=cached, reason=reason)
        logger.warning(
            "%d tokens were prefilled again, and need not have been: %s", expected - cached, reason
        )
        return lost
