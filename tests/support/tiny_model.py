"""What a tiny model's file says about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.tiny_vocabulary import CHATML


@dataclass(frozen=True)
class TinyModel:
    """What a tiny file says about itself; :func:`write_tiny_gguf` takes each field by name.

    ``rope_scaling`` holds the keys below ``<arch>.rope.scaling.`` (``type``, ``factor``,
    ``original_context_length``, ``attn_factor``, …); ``metadata`` any other full keys;
    ``rope_freqs``, ``rope_short`` and ``rope_long`` are float32[n_rot/2] divisors.
    ``control`` are control tokens beside those of ChatML.
    """

    n_layer: int = 3
    n_embd: int = 64
    n_head: int = 2
    n_head_kv: int = 1
    head_dim: int = 32
    n_rot: int = 32
    n_ff: int = 96
    n_ctx_train: int = 1024
    rope_freq_base: float = 10_000.0
    rope_scaling: Mapping[str, Any] = field(default_factory=dict)
    rope_freqs: Sequence[float] | None = None
    rope_short: Sequence[float] | None = None
    rope_long: Sequence[float] | None = None
    vocabulary: str = "bpe"
    chat_template: str | None = CHATML
    n_vocab_at_least: int = 0
    control: Sequence[str] = ()
    name: str = "tiny"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
