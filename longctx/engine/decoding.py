"""A batch of answers: who shares it, how long its drafts are, and what threads it takes."""

from __future__ import annotations

import time
from collections.abc import Sequence

from longctx._native import CacheFullError
from longctx.backends import Backend, KVContext
from longctx.cache import Session
from longctx.engine.drafting import Drafting
from longctx.engine.slices import Slices
from longctx.engine.writing import Writing

TILE_ROWS = 64
"""From so many rows of a batch on, flash attention on a CPU works in tiles of them, and each looks
at every cell that any of its rows does (docs/engine.md)."""
Piece = tuple[Writing, Sequence[int]]
"""An answer, and the tokens that it gets in a batch."""


class Decoder:
    """Decodes batches, and learns from how long they take.

    Args:
        backend: the threads of decode, and what its caches can do.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._drafting = Drafting()
        self._slices = Slices(backend.info)
        # With a batch that a GPU computes on; a processor has done its work by then.
        self._comes_back_early = bool(backend.plan.placement.shares)

    def batches(self, here: Sequence[Writing]) -> list[list[Writing]]:
        """Who shares a batch, of the answers in one context.

        All; but on a CPU, no prompt that makes tiles of it with those who decode, for then each of
        them would look at the cells of all.
        """
        prompts = [writing for writing in here if writing.n_pending]
        n_rows = len(here) - len(prompts)
        if not prompts or not n_rows or not self._backend.attends_on_cpu:
            return [list(here)]
        apart = set[Writing]()
        for writing in sorted(prompts, key=lambda w: w.n_pending):
            n_rows += writing.n_pending
            if n_rows >= TILE_ROWS:
                apart.add(writing)
        # Each in the order in which they came: the oldest prompt has a right to its share.
        together = [writing for writing in here if writing not in apart]
        return [together, [w for w in here if w in apart]] if apart else [together]

    def slice_tokens(self, n_batch: int) -> int:
        """Tokens of prompts that a batch may have while others wait for their next token."""
        return self._slices.length(n_batch)

    def shares(self, pending: Sequence[int], n_slice: int, room: int) -> list[int]:
        """Tokens that each prompt gets of a batch, as :meth:`Slices.shares`."""
        return self._slices.shares(pending, n_slice, room)

    def draft_length(self, context: KVContext, writings: Sequence[Writing]) -> int:
        """Tokens that may be drafted for each answer of a batch."""
        if not self._backend.holds_sequences:
            return 0  # such a cache cannot take the wrong ones out again
        foretold = [writing.look() for writing in writings]
        return self._drafting.length(foretold, context.n_outputs)

    def decode(self, context: KVContext, pieces: list[Piece]) -> list[Piece]:
        """Decode a batch; what it was in the end, for nobody makes way for a draft.

        Raises:
            CacheFullError: there are too few free cells; nothing was appended.
            BackendError: llama.cpp refuses it; nothing was appended.
        """
        try:
            self._decode_timed(context, pieces)
        except CacheFullError:
            without = [(w, ids if w.n_pending else ids[:1]) for w, ids in pieces]
            if without == pieces:
                raise
            pieces = without
            self._decode_timed(context, pieces)
        return pieces

    def _decode_timed(self, context: KVContext, pieces: Sequence[Piece]) -> None:
        """Decode a batch, and note how long it took."""
        n_rows = sum(len(ids) for _, ids in pieces)
        if any(writing.n_pending for writing, _ in pieces):
            started = time.monotonic()
            _decode(pieces)
            # A processor reads no more in that time, and slices that depend on how busy it is would
            # round otherwise each time.
            if not self._backend.attends_on_cpu:
                context.wait()
                self._slices.record(n_rows, time.monotonic() - started)
            return
        # A single token is bound by memory, a batch by arithmetic: other counts are best.
        threads = self._backend.decode_threads if n_rows == 1 else None
        if threads is not None:
            context.set_threads(threads.current())
        started = time.monotonic()
        try:
            _decode(pieces)
            if self._comes_back_early:
                context.wait()
        finally:
            seconds = time.monotonic() - started
            if threads is not None:
                threads.record(seconds)
                context.set_threads(self._backend.n_threads)
        self._drafting.record(n_rows, seconds)


def _decode(pieces: Sequence[Piece]) -> None:
    Session.decode_beside(
        [
            # Of a prompt only what follows its last token is drawn, of a draft what follows each.
            (writing.session, ids, 1 if writing.n_pending else len(ids))
            for writing, ids in pieces
            if writing.session is not None
        ]
    )
