"""A checkpoint as a GGUF that llama.cpp and longctx read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tools.tiny_model.model import GemmaShape, Shape, shape_of
from tools.tiny_model.vocabulary import BOS, CONTROL_TOKENS, IM_END, Vocabulary

_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_gguf(saved: dict[str, Any], path: Path) -> None:
    """Write the model of a checkpoint, matrices in f16 and norms in f32.

    Without ``output.weight`` llama.cpp takes the embedding for both.
    """
    shape, vocabulary = shape_of(saved["shape"]), Vocabulary(saved["vocabulary"])
    writer = gguf.GGUFWriter(path, shape.architecture)
    _add_shape(writer, shape)
    _add_vocabulary(writer, vocabulary)
    for name, tensor in saved["model"].items():
        data = tensor.cpu().numpy()
        writer.add_tensor(name, data.astype(np.float16) if data.ndim == 2 else data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    slides = " sliding" if isinstance(shape, GemmaShape) else ""
    writer.add_name(f"longctx tiny{slides}")
    writer.add_license("Apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(shape.n_vocab)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_freq_base)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    if isinstance(shape, GemmaShape):
        writer.add_sliding_window(shape.sliding_window)
        writer.add_uint32("gemma3.attention.sliding_window_pattern", shape.sliding_pattern)
        writer.add_float32("gemma3.rope.freq_base_swa", shape.rope_freq_base_swa)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokens
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [
            gguf.TokenType.CONTROL if token in CONTROL_TOKENS else gguf.TokenType.NORMAL
            for token in tokens
        ]
    )
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(tokens.index(BOS))
    writer.add_eos_token_id(tokens.index(IM_END))
    writer.add_add_bos_token(True)
    writer.add_chat_template(_CHATML)
