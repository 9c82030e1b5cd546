"""Strings that end an answer, across the tokens in which they come."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class StopWatcher:
    """Holds back text that may be the beginning of a stop string; ``reached`` is the one that
    came."""

    stops: tuple[str, ...]
    reached: str | None = field(default=None, init=False)
    _held: str = field(default="", init=False)

    def push(self, text: str) -> tuple[str, bool]:
        """Take new text; return what may be shown now, and whether a stop string was reached."""
        if not self.stops:
            return text, False
        self._held += text
        found = [(self._held.index(stop), stop) for stop in self.stops if stop in self._held]
        if found:
            begins, self.reached = min(found, key=lambda each: each[0])
            shown, self._held = self._held[:begins], ""
            return shown, True
        keep = max(
            (
                n
                for stop in self.stops
                for n in range(1, min(len(stop), len(self._held) + 1))
                if self._held.endswith(stop[:n])
            ),
            default=0,
        )
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown, False

    def flush(self) -> str:
        """Return what was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held
