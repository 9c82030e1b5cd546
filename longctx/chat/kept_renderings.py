"""The conversations that a template rendered last, for those that go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longctx.chat.replay import Recorder, Recording
from longctx.chat.seen_values import n_same

KEPT_CHARACTERS = 4_000_000
"""Of text and of what turns read and set, of all conversations together."""
_TRIES, _PAUSE = 3, 30
"""After so many renderings of which next to nothing was replayed, so many are not recorded."""
_MOST_KEPT = 32
"""Conversations; each is compared with the next one that comes."""


class KeptRenderings:
    """Recordings of a template's renderings, the least recently used of which go first.

    Several threads may share one.
    """

    def __init__(self) -> None:
        self._recordings: list[Recording] = []
        self._n_in_vain = 0
        self._n_paused = 0
        self._lock = threading.Lock()

    def render(
        self, render: Callable[[Recorder | None], str], messages: Sequence[Mapping[str, Any]]
    ) -> str:
        """Render a conversation; turns that would be written as before are not rendered again.

        Raises:
            NotRecordableError: the template is none that can be recorded.
            TemplateError: it fails so, or at all.
        """
        with self._lock:
            recordings = list(self._recordings)
            is_paused = self._n_paused > 0
            self._n_paused -= is_paused
        if is_paused:
            return render(None)
        alike = [n_same(kept.messages, messages) for kept in recordings]
        n = max(alike, default=0)
        before = recordings[alike.index(n)] if n else None
        recorder = Recorder(messages, before, n)
        text = render(recorder)
        self._keep(recorder.recording(), before, n)
        if before is not None:
            self._learn(recorder.n_replayed >= n // 4)
        return text

    def _learn(self, paid: bool) -> None:
        """Some templates read the whole conversation in each turn, and recording has its price."""
        with self._lock:
            self._n_in_vain = 0 if paid else self._n_in_vain + 1
            if self._n_in_vain >= _TRIES:
                self._n_in_vain, self._n_paused = _TRIES - 1, _PAUSE
                self._recordings.clear()

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
