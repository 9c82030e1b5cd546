"""A LoRA adapter beside a model's weights."""

from __future__ import annotations

import os
from pathlib import Path

from longctx._native.handle import NativeHandle
from longctx._native.library import last_errors, lib
from longctx._native.model import Model
from longctx.errors import BackendError, UnsupportedModelError


class LoraAdapter:
    """The matrices of one adapter, loaded for one model; contexts are made with it.

    Args:
        model: whose weights it is added to, in every context that is given it.
        path: a GGUF; check it before: llama.cpp's own messages are poor.
        scale: what its changes are multiplied by.

    Raises:
        UnsupportedModelError: llama.cpp does not take it for this model.
    """

    def __init__(self, model: Model, path: Path, scale: float) -> None:
        last_errors()  # of what was before
        pointer = lib.llama_adapter_lora_init(model.handle, os.fsencode(path))
        if not pointer:
            raise UnsupportedModelError(
                f"llama.cpp does not take the adapter {path} for {model.path}: {last_errors()}"
            )
        self._handle: NativeHandle | None = NativeHandle(
            pointer, lib.llama_adapter_lora_free, model.handle
        )
        self.scale = scale

    def close(self) -> None:
        """Let go of it: it is freed with the last context that was made with it. Idempotent."""
        self._handle = None

    @property
    def handle(self) -> NativeHandle:
        """The ``llama_adapter_lora *``.

        Raises:
            BackendError: it is closed.
        """
        handle = self._handle
        if handle is None:
            raise BackendError("this adapter is closed; construct a new LongContextLLM")
        return handle
