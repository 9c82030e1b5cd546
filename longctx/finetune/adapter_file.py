"""The adapter as llama.cpp's GGUF, with what it was trained for; and a model with it merged in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from longctx.errors import LongCtxError, UnsupportedModelError
from longctx.files import replacing
from longctx.finetune.lora import Pair
from longctx.model_info import ModelInfo, TrainedFor
from longctx.planner import ContextPlan


def trained_for(plan: ContextPlan) -> TrainedFor:
    """What an adapter says of the plan that it was trained for."""
    far = plan.self_extend
    parameters = plan.parameters.model_copy(update={"self_extend": far})
    return TrainedFor(
        method=plan.method,
        target_ctx=plan.n_ctx,
        parameters=parameters.model_dump_json(exclude_defaults=True),
        base_name=plan.info.name,
        base_sha256=plan.info.sha256,
        base_norms_sha256=plan.info.norms_sha256,
    )


def write_adapter(
    path: Path, pairs: Mapping[str, Pair], alpha: float, info: ModelInfo, trained: TrainedFor
) -> None:
    """Write an adapter as llama.cpp's ``convert_lora_to_gguf.py`` does.

    Args:
        path: the file.
        pairs: A and B by the tensor that they change.
        alpha: LoRA's own scale is alpha / rank.
        info: of the model.
        trained: what it was trained for, which the planner reads again.

    Raises:
        LongCtxError: the file cannot be written.
    """
    with _written(path) as part:
        writer = gguf.GGUFWriter(part, info.architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        writer.add_name(f"{info.name}, {trained.method} to {trained.target_ctx} tokens")
        for key, value in trained.metadata().items():
            if isinstance(value, int):
                writer.add_uint32(key, value)
            else:
                writer.add_string(key, value)
        for name, (a, b) in sorted(pairs.items()):
            writer.add_tensor(f"{name}.lora_a", a)
            writer.add_tensor(f"{name}.lora_b", b)
        _write_out(writer)


def write_merged(path: Path, pairs: Mapping[str, Pair], scale: float, info: ModelInfo) -> None:
    """Write the model again with W + scale B A in place of W.

    What is changed is kept in F16, since an adapter's small numbers would be lost in a quantised
    matrix; all else stays as it is, metadata included.

    Args:
        path: the file.
        pairs: A and B by the tensor that they change.
        scale: alpha / rank.
        info: of the model.

    Raises:
        LongCtxError: the file cannot be written.
        UnsupportedModelError: it would take the model's own place.
    """
    if path.exists() and path.samefile(info.path):
        raise UnsupportedModelError(f"{path} is the model itself; name another file to merge into")
    reader = gguf.GGUFReader(info.path)
    with _written(path) as part:
        writer = gguf.GGUFWriter(part, info.architecture)
        for field in reader.fields.values():
            if field.name.startswith("GGUF.") or field.name == gguf.Keys.General.ARCHITECTURE:
                continue
            kind = field.types[0]
            items = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, items)
        for tensor in reader.tensors:
            if tensor.name in pairs:
                a, b = pairs[tensor.name]
                weights = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
                writer.add_tensor(tensor.name, _half(weights + scale * (b @ a)))
            else:
                writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        _write_out(writer)


def _half(weights: NDArray[np.float32]) -> NDArray[np.float16]:
    return weights.astype(np.float16)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    try:
        with replacing(path, parents=True) as part:
            yield part
    except OSError as error:
        raise LongCtxError(
            f"{path} cannot be written: {error}. Make room, and run the same command again: what "
            "was trained is kept"
        ) from error


def _write_out(writer: gguf.GGUFWriter) -> None:
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
