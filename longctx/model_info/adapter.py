"""A LoRA adapter (Hu et al. 2021): what its file says, held against the model that it is for.

llama.cpp checks the same when it loads one, behind the weights and in its log. Here it is known
before, with a sentence for each case.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from longctx.errors import ModelFileError, UnsupportedModelError
from longctx.files import hash_files
from longctx.model_info.gguf_header import GgufHeader, TensorInfo, read_header
from longctx.model_info.info import ModelInfo
from longctx.model_info.shards import read_shards
from longctx.model_info.trained_for import TrainedFor, read_trained_for
from longctx.types import Frozen

_A, _B = ".lora_a", ".lora_b"
_NORM = "_norm.weight"
_TOKEN_EMBEDDING = "token_embd.weight"


class Adapter(Frozen):
    """A LoRA adapter of a plan.

    ``scale`` multiplies what it adds to the model, 1 as it was trained and 0 nothing. ``rank`` is
    the largest over its matrices, ``n_tensors`` how many of the model's it changes, ``n_bytes``
    what it takes in memory. ``trained_for`` is the map of positions that ``longctx finetune``
    taught it, None for any other adapter.
    """

    path: Path
    scale: float
    rank: int
    n_tensors: int
    n_bytes: int
    trained_for: TrainedFor | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Hash of the file, read once when first asked for."""
        try:
            return hash_files(self.path)
        except OSError as error:
            raise ModelFileError(f"{self.path} can no longer be read: {error}") from error

    def __str__(self) -> str:
        return f"{self.path.name} at {self.scale:g} (rank {self.rank}, {self.n_tensors} tensors)"


def read_adapter(path: Path, scale: float, info: ModelInfo) -> Adapter:
    """Read an adapter's header and hold it against the model's.

    Args:
        path: a GGUF, as ``convert_lora_to_gguf.py`` of llama.cpp writes it.
        scale: what its changes are multiplied by.
        info: the model.

    Raises:
        ModelFileError: the file is missing, truncated, damaged or no GGUF.
        UnsupportedModelError: it is no LoRA adapter, or one of another model.
    """
    header = read_header(path)
    _check_kind(header, info)
    pairs = _pairs(header)
    tensors = {name: t for shard in read_shards(info.path) for name, t in shard.tensors.items()}
    for name, (a, b) in pairs.items():
        _check_shapes(header.path, info, name, (a, b), tensors.get(name))
    trained = read_trained_for(header)
    if trained is not None and trained.base_norms_sha256 != info.norms_sha256:
        raise UnsupportedModelError(
            f"{path.name} was fine-tuned beside {trained.base_name}, and the norms of {info.name} "
            "are not that model's (any quantisation of it has them); use it with its own, or run "
            "`longctx finetune` on this one"
        )
    norms = sum(name.endswith(_NORM) for name in header.tensors)
    left_out = f"The adapter {path.name} has {norms} norms, which llama.cpp leaves out."
    return Adapter(
        path=path,
        scale=scale,
        rank=max(min(a.shape[1], b.shape[0]) for a, b in pairs.values()),
        n_tensors=len(pairs),
        n_bytes=sum(a.n_bytes + b.n_bytes for a, b in pairs.values()),
        trained_for=trained,
        notes=(left_out,) if norms else (),
    )


def _check_kind(header: GgufHeader, info: ModelInfo) -> None:
    path, metadata = header.path, header.metadata
    if metadata.get("general.type") != "adapter" or metadata.get("adapter.type") != "lora":
        kind = metadata.get("adapter.type") or metadata.get("general.type") or "model"
        raise UnsupportedModelError(
            f"{path.name} holds no LoRA adapter but a {str(kind)[:60]!r}; a PEFT folder is made "
            "one with llama.cpp's convert_lora_to_gguf.py"
        )
    architecture = metadata.get("general.architecture")
    if architecture != info.architecture:
        raise UnsupportedModelError(
            f"{path.name} is an adapter for the architecture {str(architecture)[:60]!r}, and "
            f"{info.name} is a {info.architecture!r}; use it with the model that it was trained on"
        )
    if "adapter.alora.invocation_tokens" in header.array_lengths:
        raise UnsupportedModelError(
            f"{path.name} is an activated LoRA, which begins to work in the middle of a prompt, at "
            "tokens of its own; longctx applies an adapter to the whole text. Use a plain LoRA"
        )


def _pairs(header: GgufHeader) -> dict[str, tuple[TensorInfo, TensorInfo]]:
    """The two matrices of each tensor that is changed, by its name."""
    found: dict[str, tuple[TensorInfo, TensorInfo]] = {}
    for name, tensor in header.tensors.items():
        base, suffix = name[: -len(_A)], name[-len(_A) :]
        if suffix == _A and base + _B in header.tensors:
            found[base] = (tensor, header.tensors[base + _B])
        elif suffix in (_A, _B) and {base + _A, base + _B} <= set(header.tensors):
            continue
        elif not name.endswith(_NORM):
            why = "half of a pair" if suffix in (_A, _B) else "no LoRA matrix"
            raise UnsupportedModelError(
                f"{header.path.name} has a tensor {name!r}, {why}; llama.cpp takes pairs of LoRA "
                "matrices alone. Convert the adapter again, without whole modules saved beside it"
            )
    if not found or any(len(t.shape) < 2 for pair in found.values() for t in pair):
        raise ModelFileError(f"{header.path} holds no LoRA matrices; convert the adapter again")
    return found


def _check_shapes(
    path: Path,
    info: ModelInfo,
    name: str,
    pair: tuple[TensorInfo, TensorInfo],
    base: TensorInfo | None,
) -> None:
    another = f"it was trained on another model than {info.name}"
    if base is None:
        raise UnsupportedModelError(f"{path.name} changes {name}, which is not there: {another}")
    a, b = pair[0].shape, pair[1].shape
    # llama.cpp looks embeddings up in A as it is, so there the two stand the other way round.
    fits = (
        (base.shape[0], base.shape[1]) == (b[1], a[1])
        if name.endswith(_TOKEN_EMBEDDING)
        else len(base.shape) > 1 and (base.shape[0], base.shape[1], a[1]) == (a[0], b[1], b[0])
    )
    if not fits:
        raise UnsupportedModelError(
            f"{path.name} changes {name} by matrices of {_shape(a)} and {_shape(b)}, and the "
            f"model's has {_shape(base.shape)}: {another}"
        )


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
