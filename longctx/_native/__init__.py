"""The only room that imports llama_cpp.

It sets the environment before the library loads, checks what would abort the process, and
turns llama.cpp's failures into our errors. Everything here is a thin object over low-level
functions; the `Llama` class is not used (it copies logits into every saved state, shortens
`max_tokens` in silence, and overrides the model's own YaRN values).
"""

from longctx._native.aborting import tell_aborts
from longctx._native.adapter import LoraAdapter
from longctx._native.batch import Part
from longctx._native.bias import biased_tokens
from longctx._native.buffers import Buffer, captured_buffers
from longctx._native.context import CacheFullError, Context
from longctx._native.context_params import KV_TYPES, ContextParams
from longctx._native.devices import list_devices, lock_obstacle, spread_over_nodes
from longctx._native.guidance import guidance_tokenizer
from longctx._native.library import (
    backend_names,
    build_id,
    captured_log,
    cpu_features,
    quantize,
    supports_gpu_offload,
    trim_memory,
)
from longctx._native.model import Model, TokenAttr
from longctx._native.model_params import ModelParams
from longctx._native.numbers import NumberType, number_type
from longctx._native.sampler import Sampler

__all__ = [
    "KV_TYPES",
    "Buffer",
    "CacheFullError",
    "Context",
    "ContextParams",
    "LoraAdapter",
    "Model",
    "ModelParams",
    "NumberType",
    "Part",
    "Sampler",
    "TokenAttr",
    "backend_names",
    "biased_tokens",
    "build_id",
    "captured_buffers",
    "captured_log",
    "cpu_features",
    "guidance_tokenizer",
    "list_devices",
    "lock_obstacle",
    "number_type",
    "quantize",
    "spread_over_nodes",
    "supports_gpu_offload",
    "trim_memory",
]

tell_aborts()
