"""A native context: one RoPE, one window, one KV cache, and decoding in it."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longctx._native.adapter import LoraAdapter
from longctx._native.batch import Batch, Part
from longctx._native.context_params import ContextParams
from longctx._native.handle import Borrowed, NativeHandle
from longctx._native.library import last_errors, lib
from longctx._native.model import Model
from longctx.errors import BackendError

_PARTIAL = 1  # LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY


class CacheFullError(BackendError):
    """The KV cache has no cells left for a batch; nothing was decoded."""


class Context:
    """A KV cache of fixed size and RoPE over a model's weights.

    Args:
        model: the weights.
        params: what llama.cpp fixes when a context is made.
        adapters: what is added to the weights here, of this model.

    Raises:
        BackendError: llama.cpp cannot create it (most often: no memory).
    """

    def __init__(
        self, model: Model, params: ContextParams, adapters: Sequence[LoraAdapter] = ()
    ) -> None:
        self.model = model
        self.params = params
        native = lib.llama_context_default_params()
        params.apply(native, n_outputs=self.n_outputs)
        pointer = lib.llama_init_from_model(model.handle, native)
        if not pointer:
            raise BackendError(
                f"llama.cpp cannot create a context of {params.n_ctx} tokens with "
                f"{params.kv_type_k}/{params.kv_type_v} keys and values: {last_errors()}. "
                "Ask for a smaller target_ctx or kv_type='q8_0'."
            )
        handles = [adapter.handle for adapter in adapters]
        self._handle: NativeHandle | None = NativeHandle(
            pointer, lib.llama_free, *handles, model.handle
        )
        self._apply(adapters)
        self.n_ctx = int(lib.llama_n_ctx_seq(self._handle))
        self.n_batch = int(lib.llama_n_batch(self._handle))
        self._batch = Batch(self.n_batch)
        self._likeliest: dict[int, int | None] = {}
        self._last_view: tuple[int, int, NDArray[np.float32]] | None = None

    def _apply(self, adapters: Sequence[LoraAdapter]) -> None:
        if not adapters:
            return
        n = len(adapters)
        pointers = (lib.llama_adapter_lora_p_ctypes * n)(*(a.handle.pointer for a in adapters))
        scales = (ctypes.c_float * n)(*(adapter.scale for adapter in adapters))
        if lib.llama_set_adapters_lora(self._handle, pointers, n, scales) != 0:
            raise BackendError(f"llama.cpp cannot apply the adapters: {last_errors()}")

    def close(self) -> None:
        """Free the cache. Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.llama_synchronize(handle)  # a GPU may still write where it is freed
            handle.close()

    @property
    def n_sequences(self) -> int:
        """Sequences that may stand in the cache."""
        return self.params.n_seq_max

    @property
    def n_outputs(self) -> int:
        """Tokens of a batch whose logits can be read at once."""
        # llama.cpp aborts the process where there are fewer rows than sequences.
        return max(self.params.n_outputs, self.params.n_seq_max)

    @property
    def is_unified(self) -> bool:
        """Whether sequences share cells; else a copied sequence is a copy of its cells."""
        return self.params.kv_unified

    @property
    def handle(self) -> NativeHandle:
        """The ``llama_context *``.

        Raises:
            BackendError: the context is closed.
        """
        handle = self._handle
        if handle is None:
            raise BackendError("this KV cache is closed; open a new session")
        return handle

    @property
    def _memory(self) -> Borrowed:
        handle = self.handle
        return Borrowed(lib.llama_get_memory(handle), handle)

    # Decoding

    def decode(
        self,
        tokens: Sequence[int] | NDArray[np.int32],
        first_position: int,
        *,
        seq_id: int = 0,
        outputs: Literal["none", "last", "all"] = "last",
    ) -> None:
        """Run one batch: tokens at ``first_position``, ``first_position + 1``, …

        Logits are kept by llama.cpp until the next call; read them with :meth:`logits`.

        Raises:
            CacheFullError: there are too few free cells; nothing was decoded.
            BackendError: the batch is too long, or a token id is wrong.
        """
        n_outputs = {"none": 0, "last": 1, "all": len(tokens)}[outputs]
        self.decode_parts([Part(tokens, first_position, seq_id, n_outputs)])

    def decode_parts(self, parts: Sequence[Part]) -> list[int]:
        """Run one batch with some tokens of each of several sequences.

        Returns:
            The row of the logits that follow the last token of each: ``logits(row=…)``; those of
            the tokens before it stand in the rows before.

        Raises:
            CacheFullError: there are too few free cells; nothing was decoded.
            BackendError: there are more tokens or outputs than a batch takes, or a token id or a
                position is wrong.
        """
        lengths = [len(part.tokens) for part in parts]
        n = sum(lengths)
        if not 0 < n <= self.n_batch or len(parts) > self.n_sequences or not all(lengths):
            raise BackendError(
                f"a batch takes 1 to {self.n_batch} tokens, some of each of 1 to "
                f"{self.n_sequences} sequences, not {n} of {len(parts)}"
            )
        self._check_outputs(sum(part.n_outputs for part in parts))
        for part in parts:
            self._check_ids(int(min(part.tokens)), int(max(part.tokens)))
            if part.first_position < 0:
                raise BackendError(f"first_position is {part.first_position}; positions begin at 0")
        rows = self._batch.fill(parts)
        self._run(max(part.first_position for part in parts))
        return rows

    def _check_outputs(self, n: int) -> None:
        if n > self.n_outputs:
            raise BackendError(
                f"this context keeps logits of {self.n_outputs} tokens a batch, not {n}"
            )

    def _check_ids(self, smallest: int, largest: int) -> None:
        if smallest < 0 or largest >= self.model.n_vocab:
            raise BackendError(
                f"a token id lies outside the vocabulary (0 to {self.model.n_vocab - 1})"
            )

    def _run(self, position: int) -> None:
        self._likeliest = {}
        batch = self._batch.native
        status = lib.llama_decode(self.handle, batch)
        if status == 1:
            raise CacheFullError(
                f"the KV cache of {self.n_ctx} tokens has no room for {batch.n_tokens} more "
                f"at position {position}"
            )
        if status != 0:
            raise BackendError(f"llama.cpp failed to decode (status {status}): {last_errors()}")

    def logits(self, n_rows: int = 1, *, row: int = -1) -> NDArray[np.float32]:
        """Return float32[n_rows, n_vocab] of the last batch: a view, overwritten by the next.

        A single row is the last, or ``row``.
        """
        pointer = (
            lib.llama_get_logits_ith(self.handle, row)
            if n_rows == 1
            else lib.llama_get_logits(self.handle)
        )
        if not pointer:
            raise BackendError("the last batch kept no logits")
        address = ctypes.addressof(pointer.contents)
        # They stay in one place for long, and a view takes longer to make than to read.
        last = self._last_view
        if last is not None and last[:2] == (address, n_rows):
            return last[2]
        rows = (ctypes.c_float * self.model.n_vocab * n_rows).from_address(address)
        view = np.frombuffer(memoryview(rows), np.float32).reshape(n_rows, -1)
        self._last_view = address, n_rows, view
        return view

    def likeliest(self, row: int = -1) -> int | None:
        """The token whose logit is largest in a row of the last batch; None where one is NaN."""
        if not self._likeliest:
            # Of all rows at once: with a call for each, whoever waits for Python's lock would get
            # it in between.
            rows = self._batch.output_rows
            logits = self.logits(len(rows))
            for i, token in enumerate(logits.argmax(axis=1).tolist()):  # NaN counts as the largest
                is_number = not math.isnan(logits.item(i, token))
                self._likeliest[rows[i]] = self._likeliest[-1] = token if is_number else None
        return self._likeliest[row]

    def wait(self) -> None:
        """Come back when the last batch is computed; a GPU still works when it was sent."""
        lib.llama_synchronize(self.handle)

    def set_threads(self, n_threads: int) -> None:
        """Use another number of threads from the next batch on."""
        lib.llama_set_n_threads(self.handle, n_threads, n_threads)

    # The KV cache

    def clear(self) -> None:
        """Forget every sequence."""
        lib.llama_memory_clear(self._memory, True)

    def remove(self, first_position: int, end_position: int = -1, *, seq_id: int = 0) -> bool:
        """Drop the cells of positions [first, end); -1 is the end. False if it cannot be done.

        True is no promise on sliding-window models: ask :meth:`first_position` too.
        """
        return bool(lib.llama_memory_seq_rm(self._memory, seq_id, first_position, end_position))

    def copy_sequence(self, source: int, target: int) -> None:
        """Let ``target`` have all cells of ``source``: shared, or copied where each has its own."""
        lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def can_shift(self) -> bool:
        """Whether :meth:`shift` is allowed (llama.cpp aborts the process where it is not)."""
        return bool(lib.llama_memory_can_shift(self._memory))

    def shift(self, first_position: int, end_position: int, delta: int, *, seq_id: int = 0) -> None:
        """Move the positions [first, end) by ``delta``; the keys are re-rotated in the next decode.

        Raises:
            BackendError: this model's cache cannot be shifted.
        """
        if not self.can_shift():
            raise BackendError("this model's cache cannot be shifted")
        lib.llama_memory_seq_add(self._memory, seq_id, first_position, end_position, delta)

    def first_position(self, seq_id: int = 0) -> int:
        """Smallest position in the cache; -1 when empty."""
        return int(lib.llama_memory_seq_pos_min(self._memory, seq_id))

    def last_position(self, seq_id: int = 0) -> int:
        """Largest position in the cache; -1 when empty."""
        return int(lib.llama_memory_seq_pos_max(self._memory, seq_id))

    # The state of one sequence

    def get_state(self, seq_id: int = 0, *, partial: bool = False) -> NDArray[np.uint8]:
        """Copy a sequence's state out: uint8[n], as of a cache that has but this one.

        With ``partial``, only of the layers that cannot go back to it by themselves: those that
        slide, and recurrent ones.
        """
        flags = _PARTIAL if partial else 0
        size = int(lib.llama_state_seq_get_size_ext(self.handle, seq_id, flags))
        out = np.empty(size, dtype=np.uint8)
        pointer = out.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = int(lib.llama_state_seq_get_data_ext(self.handle, pointer, size, seq_id, flags))
        if written != size:
            raise BackendError(
                f"llama.cpp wrote {written} of {size} bytes of state: {last_errors()}"
            )
        return out if self.is_unified else _without_empty_streams(out, seq_id)

    def set_state(
        self, state: NDArray[np.uint8], seq_id: int = 0, *, partial: bool = False
    ) -> None:
        """Put a state in place of a sequence, or a ``partial`` one in place of that part of it.

        Raises:
            BackendError: it is damaged, of another shape, or does not fit.
        """
        data = np.ascontiguousarray(
            state if self.is_unified else _with_empty_streams(state, self.n_sequences)
        )
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        flags = _PARTIAL if partial else 0
        read = int(lib.llama_state_seq_set_data_ext(self.handle, pointer, data.size, seq_id, flags))
        if read != data.size:
            raise BackendError(
                f"llama.cpp took {read} of {data.size} bytes of state: {last_errors()}"
            )


# A cache whose sequences have cells of their own writes a count of cells for each, 0 for all but
# the one asked for, behind the state's head (magic, sequence) and the number of such streams.
_HEAD_BYTES = 8
_COUNT = np.dtype("<u4")


def _without_empty_streams(state: NDArray[np.uint8], seq_id: int) -> NDArray[np.uint8]:
    """The state of a stream as that of a cache with one, in place: uint8[m]."""
    head, counts = state[:_HEAD_BYTES].copy(), state[_HEAD_BYTES:]
    n_streams = int(counts[:4].view(_COUNT)[0])
    alone = state[4 * seq_id : state.size - 4 * (n_streams - 1 - seq_id)]
    alone[:_HEAD_BYTES] = head
    alone[_HEAD_BYTES : _HEAD_BYTES + 4] = np.ones(1, _COUNT).view(np.uint8)
    return alone


def _with_empty_streams(state: NDArray[np.uint8], n_streams: int) -> NDArray[np.uint8]:
    """The state of a cache with one stream as that of one with several: uint8[n]."""
    count = np.array([n_streams], _COUNT).view(np.uint8)
    empty = np.zeros(4 * (n_streams - 1), np.uint8)
    return np.concatenate([state[:_HEAD_BYTES], count, state[_HEAD_BYTES + 4 :], empty])
