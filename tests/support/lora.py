"""LoRA adapters for small models, and the models that they come to, merged with numpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def write_lora(
    path: Path,
    pairs: Mapping[str, Pair],
    *,
    architecture: str = "llama",
    alpha: float | None = None,
    changes: Mapping[str, Any] | None = None,
    others: Mapping[str, NDArray[np.float32]] | None = None,
) -> Path:
    """Write an adapter as convert_lora_to_gguf.py does.

    Args:
        path: the file.
        pairs: A [rank, in] and B [out, rank] by the tensor that B A is added to.
        architecture: of the model.
        alpha: LoRA's own scale is alpha / rank; None is 1.
        changes: metadata instead of the usual, None for a key that is left out.
        others: tensors that are no pairs.
    """
    writer = gguf.GGUFWriter(path, architecture)
    usual = {"general.type": "adapter", "adapter.type": "lora"}
    for key, value in {**usual, **(changes or {})}.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif value is not None:
            writer.add_array(key, value)
    writer.add_float32("adapter.lora.alpha", 0.0 if alpha is None else alpha)
    for name, (a, b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    for name, tensor in (others or {}).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_f32(
    source: Path, target: Path, added: Mapping[str, NDArray[np.float32]] | None = None
) -> Path:
    """Write a model again with all its weights in float32, some of them changed.

    Args:
        source: a GGUF.
        target: the file to write.
        added: to tensors, by name, each in its shape.
    """
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        items = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, items)
    for tensor in reader.tensors:
        weights = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        weights = weights + (added or {}).get(tensor.name, np.float32(0))
        writer.add_tensor(tensor.name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
