"""Random models of a few layers that llama.cpp loads and decodes: one for each RoPE pattern.

The weights are noise, so the text they write is noise too; the caches, rotations and layouts
are those of the real architectures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.support.tiny_layers import SPECIAL_LAYERS, Shapes
from tests.support.tiny_model import TinyModel
from tests.support.tiny_vocabulary import add_vocabulary

# What each architecture changes; keys without a dot are TinyModel's, "{arch}." ones metadata.
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "smollm3": {"n_layer": 4},
    "stablelm": {"n_rot": 8},
    "chatglm": {"n_rot": 16},
    "phi3": {},
    "gemma3": {
        "n_layer": 6,
        "rope_freq_base": 1_000_000.0,
        "vocabulary": "spm",
        "{arch}.attention.sliding_window": 64,
        "{arch}.attention.sliding_window_pattern": 3,
        "{arch}.rope.freq_base_swa": 10_000.0,
    },
    "qwen2vl": {"{arch}.rope.dimension_sections": [4, 6, 6, 0]},
    "deepseek2": {
        "n_head_kv": 1,
        "head_dim": 32 + 16,
        "n_rot": 16,
        "{arch}.attention.kv_lora_rank": 32,
        "{arch}.attention.q_lora_rank": 24,
        "{arch}.attention.key_length_mla": 32,
        "{arch}.attention.value_length_mla": 24,
        "{arch}.attention.value_length": 32,
        "{arch}.leading_dense_block_count": 3,
        "{arch}.expert_feed_forward_length": 16,
        "{arch}.expert_shared_count": 1,
    },
    "mamba": {
        "{arch}.ssm.conv_kernel": 4,
        "{arch}.ssm.inner_size": 128,
        "{arch}.ssm.state_size": 8,
        "{arch}.ssm.time_step_rank": 4,
    },
    "qwen3vl": {"{arch}.rope.dimension_sections": [7, 5, 4, 0]},
    "olmo2": {
        "n_layer": 4,
        "n_head_kv": 2,
        "{arch}.attention.sliding_window": 64,
    },
    "gpt-oss": {
        "n_layer": 4,
        "{arch}.attention.sliding_window": 64,
        "{arch}.expert_count": 4,
        "{arch}.expert_used_count": 2,
        "{arch}.expert_feed_forward_length": 32,
    },
    "lfm2": {
        "n_layer": 4,
        "{arch}.attention.head_count_kv": [0, 1, 0, 1],
        "{arch}.shortconv.l_cache": 3,
    },
    "granitehybrid": {
        "n_layer": 4,
        "{arch}.attention.head_count_kv": [0, 1, 0, 1],
        "{arch}.ssm.conv_kernel": 4,
        "{arch}.ssm.inner_size": 128,
        "{arch}.ssm.state_size": 16,
        "{arch}.ssm.time_step_rank": 4,
        "{arch}.ssm.group_count": 1,
    },
    "qwen35": {
        "n_layer": 4,
        "n_rot": 16,
        "{arch}.rope.dimension_sections": [3, 3, 2, 0],
        "{arch}.ssm.conv_kernel": 4,
        "{arch}.ssm.inner_size": 32,
        "{arch}.ssm.state_size": 16,
        "{arch}.ssm.time_step_rank": 2,
        "{arch}.ssm.group_count": 2,
    },
}
TINY_ARCHITECTURES = tuple(_ARCHITECTURES)


def write_tiny_gguf(path: Path, architecture: str = "llama", **changes: Any) -> Path:
    """Write a tiny random model.

    Args:
        path: the file to write; its folder must exist.
        architecture: one of :data:`TINY_ARCHITECTURES`.
        changes: fields of :class:`TinyModel` to set.

    Returns:
        ``path``.
    """
    special = _ARCHITECTURES[architecture]
    fields = {key: value for key, value in special.items() if "." not in key}
    metadata = {
        key.format(arch=architecture): value for key, value in special.items() if "." in key
    }
    model = replace(TinyModel(**fields), **changes)
    model = replace(model, metadata={**metadata, **model.metadata})

    writer = gguf.GGUFWriter(path, architecture)
    n_vocab = add_vocabulary(
        writer, model.vocabulary, model.chat_template, model.n_vocab_at_least, model.control
    )
    _add_metadata(writer, architecture, model, n_vocab)
    rng = np.random.default_rng(model.seed)
    for name, shape in _tensors(architecture, model, n_vocab).items():
        writer.add_tensor(name, _random_tensor(rng, name, shape))
    for name, factors in (
        ("rope_freqs", model.rope_freqs),
        ("rope_factors_short", model.rope_short),
        ("rope_factors_long", model.rope_long),
    ):
        if factors is not None:
            writer.add_tensor(f"{name}.weight", np.asarray(factors, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_metadata(
    writer: gguf.GGUFWriter, architecture: str, model: TinyModel, n_vocab: int
) -> None:
    writer.add_name(model.name)
    writer.add_vocab_size(n_vocab)
    writer.add_context_length(model.n_ctx_train)
    writer.add_embedding_length(model.n_embd)
    writer.add_block_count(model.n_layer)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    if architecture == "mamba":
        writer.add_feed_forward_length(0)
        writer.add_head_count(0)
    else:
        writer.add_feed_forward_length(model.n_ff)
        writer.add_head_count(model.n_head)
        writer.add_head_count_kv(model.n_head_kv)
        writer.add_key_length(model.head_dim)
        writer.add_rope_dimension_count(model.n_rot)
        writer.add_rope_freq_base(model.rope_freq_base)
        if f"{architecture}.attention.value_length" not in model.metadata:
            writer.add_value_length(model.head_dim)
    scaling = {f"{architecture}.rope.scaling.{k}": v for k, v in model.rope_scaling.items()}
    for key, value in {**model.metadata, **scaling}.items():
        _adder(writer, value)(key, value)


def _adder(writer: gguf.GGUFWriter, value: Any) -> Callable[[str, Any], None]:
    # bool before int: a bool is an int to Python.
    for kind, add in (
        (bool, writer.add_bool),
        (int, writer.add_uint32),
        (float, writer.add_float32),
        (str, writer.add_string),
    ):
        if isinstance(value, kind):
            return add
    return writer.add_array


def _tensors(architecture: str, model: TinyModel, n_vocab: int) -> Shapes:
    """Shapes in numpy's order: [out, in] for a matrix."""
    layer = SPECIAL_LAYERS.get(architecture)
    blocks: Shapes = {}
    for i in range(model.n_layer):
        shapes = layer(model, i) if layer else _attention_layer(architecture, model)
        blocks |= {f"blk.{i}.{name}": shape for name, shape in shapes.items()}
    head: Shapes = {
        "token_embd.weight": (n_vocab, model.n_embd),
        "token_embd_norm.weight" if architecture == "lfm2" else "output_norm.weight": (
            model.n_embd,
        ),
        "output.weight": (n_vocab, model.n_embd),
    }
    if architecture == "stablelm":
        head["output_norm.bias"] = (model.n_embd,)
    return head | blocks


def _attention_layer(architecture: str, model: TinyModel) -> Shapes:
    n_embd, n_ff = model.n_embd, model.n_ff
    n_q, n_kv = model.n_head * model.head_dim, model.n_head_kv * model.head_dim
    gated_up = architecture in ("phi3", "chatglm")  # gate and up in one matrix
    shapes: Shapes = {
        "attn_norm.weight": (n_embd,),
        "attn_output.weight": (n_embd, n_q),
        "ffn_norm.weight": (n_embd,),
        "ffn_up.weight": (2 * n_ff if gated_up else n_ff, n_embd),
        "ffn_down.weight": (n_embd, n_ff),
    }
    if not gated_up:
        shapes["ffn_gate.weight"] = (n_ff, n_embd)
    if architecture == "phi3":
        shapes["attn_qkv.weight"] = (n_q + 2 * n_kv, n_embd)
    else:
        shapes |= {
            "attn_q.weight": (n_q, n_embd),
            "attn_k.weight": (n_kv, n_embd),
            "attn_v.weight": (n_kv, n_embd),
        }
    if architecture in ("qwen2", "qwen2vl"):
        shapes |= {"attn_q.bias": (n_q,), "attn_k.bias": (n_kv,), "attn_v.bias": (n_kv,)}
    if architecture == "stablelm":
        shapes |= {"attn_norm.bias": (n_embd,), "ffn_norm.bias": (n_embd,)}
    if architecture in ("gemma3", "qwen3"):
        shapes |= {
            "attn_q_norm.weight": (model.head_dim,),
            "attn_k_norm.weight": (model.head_dim,),
        }
    if architecture == "gemma3":
        shapes |= {
            "post_attention_norm.weight": (n_embd,),
            "post_ffw_norm.weight": (n_embd,),
        }
    return shapes


def _random_tensor(
    rng: np.random.Generator, name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape, dtype=np.float32)
    if name.endswith("ssm_a"):  # a recurrence decays: its rates are negative
        return -np.abs(noise)
    if name.endswith("norm.weight"):
        return 1 + 0.1 * noise
    if len(shape) == 1:
        return 0.1 * noise
    return noise / np.float32(np.sqrt(shape[-1]))
