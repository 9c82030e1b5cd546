"""llama.cpp in this process: one set of weights, contexts on demand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from longctx import arguments
from longctx._native import Context, ContextParams, LoraAdapter, Model, supports_gpu_offload
from longctx.backends.frequency_factors import attention_factor_override, load_with_factors
from longctx.backends.threads import DecodeThreads, default_threads
from longctx.model_info import ModelInfo
from longctx.planner import ContextPlan, holds_sequences, padded
from longctx.rope import RopeConfig

logger = logging.getLogger("longctx")

_NO_GPU = (
    "n_gpu_layers has no effect: this llama.cpp finds no GPU, so all layers run on the processor. "
    "Install a build of llama-cpp-python with CUDA, Metal or Vulkan (`longctx doctor` says how), "
    "or leave n_gpu_layers at 0."
)
N_BATCH = 512
MAX_THREADS = 512
"""GGML_MAX_N_THREADS; where the system has no more threads, OpenMP ends the process."""
_INT32 = 2**31 - 1
N_FORKS = 16
"""Forks that may share a cache; each costs only a row of logits."""


class LlamaCppBackend:
    """The weights of one model, and contexts over them for any window and RoPE.

    Args:
        info: what the file says about itself.
        plan: KV types and LoRA adapters come from here; window and RoPE are given with each
            context. Kept with a warning where no layer can be placed on a GPU.
        n_threads: None measures what the machine bears.
        n_gpu_layers: layers to place on the GPU (-1 = all).
        checkpoint: called before each batch of one text; it may raise to end the work.

    Raises:
        ModelFileError: llama.cpp cannot load the file.
        UnsupportedModelError: nor an adapter for it.
        RequestError: a count of threads or layers is none.
    """

    def __init__(
        self,
        info: ModelInfo,
        plan: ContextPlan,
        *,
        n_threads: int | None = None,
        n_gpu_layers: int = 0,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        if n_threads is not None:
            n_threads = arguments.whole("n_threads", n_threads, least=1, most=MAX_THREADS)
        n_gpu_layers = arguments.whole("n_gpu_layers", n_gpu_layers, least=-1, most=_INT32)
        if n_gpu_layers and not supports_gpu_offload():
            plan = plan.model_copy(update={"warnings": (*plan.warnings, _NO_GPU)})
            logger.warning(_NO_GPU)
        self.info = info
        self.plan = plan
        self.checkpoint = checkpoint
        self.n_threads = n_threads or default_threads()
        self.decode_threads = DecodeThreads(self.n_threads) if n_threads is None else None
        self._n_gpu_layers = n_gpu_layers
        self._weights = self._adapted(Model(Path(info.path), n_gpu_layers=n_gpu_layers))
        self._with_metadata: tuple[RopeConfig, _Weights] | None = None

    @property
    def model(self) -> Model:
        """The loaded model, for its vocabulary."""
        return self._weights.model

    @property
    def holds_sequences(self) -> bool:
        """Whether a cache can hold several sequences at no cost but their cells.

        Sliding caches and recurrent states take their full size once for each.
        """
        return holds_sequences(self.info)

    @property
    def attends_on_cpu(self) -> bool:
        """Whether attention is the processor's work, for some layers at least."""
        n = self._n_gpu_layers
        return not supports_gpu_offload() or 0 <= n < self.info.n_layer

    def open(
        self, n_ctx: int, rope: RopeConfig, *, n_outputs: int, n_sequences: int = N_FORKS
    ) -> Context:
        """Create a context of ``n_ctx`` tokens whose keys are rotated as ``rope`` says.

        It has the cells that llama.cpp allocates for them, up to 255 more. So many sequences
        share them, where the model's layers let several stand in it.

        Raises:
            BackendError: llama.cpp cannot allocate it.
        """
        params = context_params(
            rope,
            n_ctx=padded(n_ctx),
            kv_type_k=self.plan.kv_type_k,
            kv_type_v=self.plan.kv_type_v,
            n_threads=self.n_threads,
            n_outputs=n_outputs,
        )
        if self.holds_sequences:
            params = replace(params, n_seq_max=n_sequences)
        weights = self._weights_for(rope)
        return Context(weights.model, params, weights.adapters)

    def _adapted(self, model: Model) -> _Weights:
        """An adapter's matrices belong to one loaded model, so each has its own."""
        used = [each for each in self.plan.adapters if each.scale]
        return _Weights(model, tuple(LoraAdapter(model, e.path, e.scale) for e in used))

    def _weights_for(self, rope: RopeConfig) -> _Weights:
        """The weights, mapped once more where a context's parameters cannot say it all.

        NTK-by-parts is YaRN without its temperature, which only metadata can cancel; longrope's
        factors are a tensor.
        """
        if rope.method not in ("ntk-by-parts", "longrope") or rope.scale == 1:
            return self._weights
        if self._with_metadata is None or self._with_metadata[0] != rope:
            self._with_metadata = (rope, self._adapted(self._load_for(rope)))
        return self._with_metadata[1]

    def _load_for(self, rope: RopeConfig) -> Model:
        if rope.method == "longrope":
            return load_with_factors(self.info, rope, n_gpu_layers=self._n_gpu_layers)
        return Model(
            Path(self.info.path),
            n_gpu_layers=self._n_gpu_layers,
            overrides=attention_factor_override(
                self.info, rope.attention_factor / rope.yarn_attention_factor
            ),
        )

    def close(self) -> None:
        """Free the weights; close every context before."""
        if self._with_metadata is not None:
            self._with_metadata[1].close()
        self._weights.close()


@dataclass(frozen=True)
class _Weights:
    """A loaded model, and what is added to it."""

    model: Model
    adapters: tuple[LoraAdapter, ...]

    def close(self) -> None:
        for adapter in self.adapters:
            adapter.close()
        self.model.close()


def context_params(
    rope: RopeConfig,
    *,
    n_ctx: int,
    kv_type_k: str = "f16",
    kv_type_v: str = "f16",
    n_threads: int = 1,
    n_outputs: int = 1,
) -> ContextParams:
    """Translate a :class:`RopeConfig` into what llama.cpp takes.

    ``none`` passes nothing at all, so that a file which is already scaled keeps its own
    values; nor does longrope, which is in the model (:func:`load_with_factors`). YaRN needs an
    explicit frequency scale: the type alone does nothing.
    """
    params = ContextParams(
        n_ctx=n_ctx,
        kv_type_k=kv_type_k,
        kv_type_v=kv_type_v,
        n_threads=n_threads,
        n_outputs=n_outputs,
        n_batch=N_BATCH,
        n_ubatch=N_BATCH,
    )
    if rope.method in ("none", "longrope") or rope.scale == 1:
        return params
    params = replace(params, rope_freq_base=rope.freq_base)
    if rope.method in ("ntk", "dynamic"):
        return params
    params = replace(params, rope_freq_scale=rope.freq_scale)
    if rope.method == "linear":
        return replace(params, rope_scaling="linear")
    return replace(
        params,
        rope_scaling="yarn",
        yarn_orig_ctx=rope.original_ctx,
        yarn_beta_fast=rope.beta_fast,
        yarn_beta_slow=rope.beta_slow,
    )
