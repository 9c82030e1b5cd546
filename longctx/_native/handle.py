"""One owner for each thing that llama.cpp allocates."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class Borrowed:
    """A pointer into something that has an owner, which it keeps alive.

    It is passed to llama.cpp as it is: ctypes holds the object during the call.
    """

    __slots__ = ("_as_parameter_", "_owner")

    def __init__(self, pointer: Any, owner: object) -> None:
        self._as_parameter_ = pointer
        self._owner = owner


class NativeHandle:
    """A pointer of llama.cpp's, freed exactly once.

    ``close()`` frees it; so does the last reference that goes. Passed to llama.cpp as it is, it
    is held by ctypes during the call, so that nothing is freed under a call. Whatever may be
    raised in the middle, Ctrl-C or a signal's exception included, nothing is freed twice:
    ``weakref.finalize`` forgets what to call before it calls it.

    Args:
        pointer: what llama.cpp returned.
        free: frees it.
        keeps: what it is built upon (a context on its model), which must outlive it.
    """

    __slots__ = ("__weakref__", "_as_parameter_", "_finalizer")

    def __init__(self, pointer: Any, free: Callable[[Any], object], *keeps: object) -> None:
        self._as_parameter_ = pointer
        self._finalizer = weakref.finalize(self, _free, free, pointer, keeps)
        # At exit threads may still be decoding; the model's thread is ended first, and frees.
        self._finalizer.atexit = False

    @property
    def pointer(self) -> Any:
        """What llama.cpp returned, for an array of pointers; hold the handle during the call."""
        return self._as_parameter_

    @property
    def is_open(self) -> bool:
        """Whether it has not been freed."""
        return self._finalizer.alive

    def close(self) -> None:
        """Free it now. Idempotent."""
        self._finalizer()


def _free(free: Callable[[Any], object], pointer: Any, _keeps: tuple[object, ...]) -> None:
    free(pointer)
