"""The conversations that a template rendered last, for those that go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longctx.chat.replay import Recorder, Recording, n_same

KEPT_CHARACTERS = 4_000_000
"""Of text, of all conversations together."""
_MOST_KEPT = 32
"""Conversations; each is compared with the next one that comes."""


class KeptRenderings:
    """Recordings of a template's renderings, the least recently used of which go first.

    Several threads may share one.
    """

    def __init__(self) -> None:
        self._recordings: list[Recording] = []
        self._lock = threading.Lock()

    def render(
        self, render: Callable[[Recorder], str], messages: Sequence[Mapping[str, Any]]
    ) -> str:
        """Render a conversation; turns that would be written as before are not rendered again.

        Raises:
            NotRecordableError: the template is none that can be recorded.
            TemplateError: it fails so, or at all.
        """
        with self._lock:
            recordings = list(self._recordings)
        alike = [n_same(kept.messages, messages) for kept in recordings]
        n = max(alike, default=0)
        before = recordings[alike.index(n)] if n else None
        recorder = Recorder(messages, before, n)
        text = render(recorder)
        self._keep(recorder.recording(), before, n)
        return text

    def _keep(self, new: Recording, before: Recording | None, n: int) -> None:
        with self._lock:
            # What goes on takes the place of what it goes on from; a fork stands beside it.
            if before in self._recordings and n >= len(before.messages) - 1:
                self._recordings.remove(before)
            self._recordings.append(new)
            while (
                len(self._recordings) > _MOST_KEPT
                or sum(kept.n_characters for kept in self._recordings) > KEPT_CHARACTERS
            ):
                self._recordings.pop(0)
