"""Ctrl-C while a training runs: at once where nothing is half done, and else a moment later."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class CtrlC:
    """Holds Ctrl-C back where it would leave half a step behind, or a lock that nobody gives back.

    Python raises KeyboardInterrupt between any two of its instructions. Only what computes, and may
    take minutes, is interrupted there; so is all the rest when it is pressed again. One that is
    lost, for it was raised where Python cannot pass it on, is raised at the next check.
    """

    def __init__(self) -> None:
        self._is_pressed = False
        self._is_at_once = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it back, where Python's own handler is there: not in other threads than the main."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let it interrupt what stands here.

        Raises:
            KeyboardInterrupt: it was pressed, before or now.
        """
        try:
            self._is_at_once = True
            self.check()
            yield
        finally:
            self._is_at_once = False
        self.check()

    def check(self) -> None:
        """Obey it.

        Raises:
            KeyboardInterrupt: it was pressed.
        """
        if self._is_pressed:
            raise KeyboardInterrupt

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        is_again, self._is_pressed = self._is_pressed, True
        if self._is_at_once or is_again:
            raise KeyboardInterrupt
