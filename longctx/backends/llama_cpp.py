"""llama.cpp in this process: one set of weights, contexts on demand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from longctx import arguments
from longctx._native import (
    Buffer,
    Context,
    ContextParams,
    LoraAdapter,
    Model,
    ModelParams,
    captured_buffers,
    spread_over_nodes,
)
from longctx.backends.frequency_factors import attention_factor_override, load_with_factors
from longctx.backends.taken import compared, total_bytes
from longctx.backends.threads import FEEDING_THREADS, DecodeThreads, default_threads
from longctx.devices import DeviceOptions
from longctx.model_info import ModelInfo
from longctx.planner import NO_GPU, ContextPlan, holds_sequences, padded
from longctx.rope import RopeConfig

logger = logging.getLogger("longctx")

MAX_THREADS = 512
"""GGML_MAX_N_THREADS; where the system has no more threads, OpenMP ends the process."""
N_FORKS = 16
"""Forks that may share a cache; each costs only a row of logits."""


class LlamaCppBackend:
    """The weights of one model, and contexts over them for any window and RoPE.

    Args:
        info: what the file says about itself.
        plan: KV types, LoRA adapters, and which layers lie on which device; window and RoPE are
            given with each context.
        n_threads: None measures what the machine bears.
        checkpoint: called before each batch of one text; it may raise to end the work.

    Raises:
        ModelFileError: llama.cpp cannot load the file.
        UnsupportedModelError: nor an adapter for it.
        RequestError: a count of threads is none.
    """

    def __init__(
        self,
        info: ModelInfo,
        plan: ContextPlan,
        *,
        n_threads: int | None = None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        if n_threads is not None:
            n_threads = arguments.whole("n_threads", n_threads, least=1, most=MAX_THREADS)
        for warning in plan.warnings:
            if warning == NO_GPU:
                logger.warning(warning)
        if plan.devices.numa is not None:
            spread_over_nodes(plan.devices.numa)
        self.info = info
        self.plan = plan
        self.checkpoint = checkpoint
        # Asked with every batch, and both walk over all layers.
        self._holds_sequences = holds_sequences(info)
        self._attends_on_cpu = plan.placement.attends_on_cpu
        self.host_threads = n_threads or default_threads()
        self.n_threads = self.host_threads
        if n_threads is None and plan.placement.is_whole:
            self.n_threads = min(self.n_threads, FEEDING_THREADS)
        self.decode_threads = DecodeThreads(self.n_threads) if n_threads is None else None
        self._params = model_params(plan)
        with captured_buffers() as self._loaded:
            self._weights = self._adapted(Model(Path(info.path), params=self._params))
        self._opened: list[Buffer] = []
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
        return self._holds_sequences

    @property
    def attends_on_cpu(self) -> bool:
        """Whether attention is the processor's work, for some layers at least."""
        return self._attends_on_cpu

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """What llama.cpp said that it allocated: for the weights, and for the largest context."""
        return (*self._loaded, *self._opened)

    def open(
        self,
        n_ctx: int,
        rope: RopeConfig,
        *,
        n_outputs: int,
        n_sequences: int = N_FORKS,
        unified: bool = True,
    ) -> Context:
        """Create a context of ``n_ctx`` tokens whose keys are rotated as ``rope`` says.

        It has the cells that llama.cpp allocates for them, up to 255 more. So many sequences
        share them, where the model's layers let several stand in it; or each has as many
        (not ``unified``).

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
            devices=self.plan.devices,
        )
        if self.holds_sequences:
            params = replace(params, n_seq_max=n_sequences, kv_unified=unified)
        weights = self._weights_for(rope)
        with captured_buffers() as buffers:
            context = Context(weights.model, params, weights.adapters)
        if total_bytes(buffers) > total_bytes(self._opened):
            self._opened = buffers
            logger.info("%s", compared(self.plan, self.buffers))
        return context

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
            return load_with_factors(self.info, rope, params=self._params)
        return Model(
            Path(self.info.path),
            params=self._params,
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


def model_params(plan: ContextPlan) -> ModelParams:
    """Translate a plan's placement into what llama.cpp takes."""
    placement, options = plan.placement, plan.devices
    shares = placement.shares
    return ModelParams(
        devices=tuple(share.device.name for share in shares),
        gpu_layers=placement.gpu_layers,
        split=tuple(float(share.n_layers) for share in shares),
        expert_layers=placement.expert_layers,
        mmap=options.mmap,
        mlock=options.mlock,
    )


def context_params(
    rope: RopeConfig,
    *,
    n_ctx: int,
    kv_type_k: str = "f16",
    kv_type_v: str = "f16",
    n_threads: int = 1,
    n_outputs: int = 1,
    devices: DeviceOptions | None = None,
) -> ContextParams:
    """Translate a :class:`RopeConfig` into what llama.cpp takes.

    ``none`` passes nothing at all, so that a file which is already scaled keeps its own
    values; nor does longrope, which is in the model (:func:`load_with_factors`). YaRN needs an
    explicit frequency scale: the type alone does nothing.
    """
    devices = devices or DeviceOptions()
    params = ContextParams(
        n_ctx=n_ctx,
        kv_type_k=kv_type_k,
        kv_type_v=kv_type_v,
        n_threads=n_threads,
        n_outputs=min(n_outputs, devices.n_batch),
        n_batch=devices.n_batch,
        n_ubatch=devices.tokens_at_once,
        flash_attention=devices.flash_attention,
        offload_kv=devices.kv_on_gpu,
        op_offload=devices.op_offload,
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
