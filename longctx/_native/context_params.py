"""What llama.cpp fixes when a context is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

# ggml_type numbers of the KV types that we offer.
KV_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}
_SCALING_TYPES = {"from-model": -1, "none": 0, "linear": 1, "yarn": 2}
_FLASH = {"auto": -1, "off": 0, "on": 1}


@dataclass(frozen=True)
class ContextParams:
    """What llama.cpp fixes when a context is made.

    0 for ``n_ctx``, ``rope_freq_base``, ``rope_freq_scale`` and ``yarn_orig_ctx``, and negative
    values for the YaRN betas, mean "from the model". ``n_ctx`` is rounded up to 256 by
    llama.cpp; ask for multiples. ``kv_unified`` lets all sequences share ``n_ctx`` cells;
    without it each has so many of its own, and attention looks at no others.
    """

    n_ctx: int
    rope_scaling: Literal["from-model", "none", "linear", "yarn"] = "from-model"
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0
    yarn_orig_ctx: int = 0
    yarn_beta_fast: float = -1.0
    yarn_beta_slow: float = -1.0
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    flash_attention: Literal["auto", "off", "on"] = "auto"
    n_batch: int = 512
    n_ubatch: int = 512
    n_outputs: int = 1
    n_seq_max: int = 1
    kv_unified: bool = True
    n_threads: int = 1
    swa_full: bool = False
    offload_kv: bool = True
    op_offload: bool = True

    def apply(self, native: Any, *, n_outputs: int) -> None:
        """Fill in llama.cpp's own structure; ``n_outputs`` are the rows of logits that it keeps."""
        native.n_ctx = self.n_ctx * (1 if self.kv_unified else self.n_seq_max)
        native.n_batch = self.n_batch
        native.n_ubatch = self.n_ubatch
        native.n_outputs_max = n_outputs
        native.n_seq_max = self.n_seq_max
        native.n_threads = self.n_threads
        native.n_threads_batch = self.n_threads
        native.rope_scaling_type = _SCALING_TYPES[self.rope_scaling]
        native.rope_freq_base = self.rope_freq_base
        native.rope_freq_scale = self.rope_freq_scale
        native.yarn_orig_ctx = self.yarn_orig_ctx
        native.yarn_beta_fast = self.yarn_beta_fast
        native.yarn_beta_slow = self.yarn_beta_slow
        native.type_k = KV_TYPES[self.kv_type_k]
        native.type_v = KV_TYPES[self.kv_type_v]
        native.flash_attn_type = _FLASH[self.flash_attention]
        native.swa_full = self.swa_full
        native.kv_unified = self.kv_unified
        native.offload_kqv = self.offload_kv
        native.op_offload = self.op_offload
        native.no_perf = True
