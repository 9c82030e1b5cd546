"""Frequency factors of our own for a model, without rewriting its file.

llama.cpp divides the frequencies by a tensor ``rope_freqs.weight``, which it reads from the
model's files only. A model may come as several files, though: ours gets one more, of a few
hundred bytes, with nothing but that tensor, and metadata overrides that count it. The weights
are mapped from the user's file as ever.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

from longctx._native import Model, ModelParams
from longctx.errors import UnsupportedModelError
from longctx.model_info import ModelInfo, longrope_obstacle
from longctx.model_info.shards import read_shards
from longctx.rope import RopeConfig

_UINT16, _F32, _ALIGNMENT = 2, 0, 32


def load_with_factors(
    info: ModelInfo, rope: RopeConfig, *, params: ModelParams | None = None
) -> Model:
    """Load a model whose frequencies are divided by ``rope.frequency_factors``.

    Raises:
        UnsupportedModelError: llama.cpp reads no factors for this model, or it has its own.
        ModelFileError: llama.cpp cannot load it.
    """
    obstacle = longrope_obstacle(info)
    if obstacle is not None:
        raise UnsupportedModelError(f"longrope cannot serve {info.name}: {obstacle}")
    assert rope.frequency_factors is not None  # rope_config refuses longrope without
    headers = read_shards(info.path)
    overrides = {
        "split.no": 0,
        "split.count": len(headers) + 1,
        "split.tensors.count": sum(len(header.tensors) for header in headers) + 1,
        **attention_factor_override(info, rope.attention_factor),
    }
    # Loaded before the folder goes: what was mapped from it stays, and on the systems where a
    # mapped file cannot be removed, so does the file.
    with tempfile.TemporaryDirectory(prefix="longctx-", ignore_cleanup_errors=True) as folder:
        part = Path(folder) / "rope_freqs.gguf"
        part.write_bytes(factors_file(rope.frequency_factors, number=len(headers)))
        parts = [*info.files[1:], part]
        return Model(info.path, params=params, overrides=overrides, parts=parts)


def attention_factor_override(info: ModelInfo, factor: float) -> dict[str, float]:
    """The metadata key by whose value llama.cpp multiplies queries and keys."""
    return {f"{info.architecture}.rope.scaling.attn_factor": factor}


def factors_file(factors: Sequence[float], *, number: int) -> bytes:
    """A GGUF (version 3) that is file ``number`` (from 0) of a model and holds only factors."""
    header = b"".join(
        (
            b"GGUF",
            struct.pack("<IQQ", 3, 1, 1),
            _string("split.no"),
            struct.pack("<IH", _UINT16, number),
            _string("rope_freqs.weight"),
            struct.pack("<IQIQ", 1, len(factors), _F32, 0),
        )
    )
    padding = b"\0" * (-len(header) % _ALIGNMENT)
    data = struct.pack(f"<{len(factors)}f", *factors)
    return header + padding + data + b"\0" * (-len(data) % _ALIGNMENT)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()
