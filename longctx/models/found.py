"""What lies on this machine already: every model that other programs and the user have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path

from longctx import arguments
from longctx.devices import Device, DeviceOptions
from longctx.errors import LongCtxError, ModelFileError
from longctx.model_info import ModelInfo
from longctx.model_info.shards import shard_of
from longctx.models.hub_cache import files_in, hub_cache, repositories, snapshot, snapshots
from longctx.models.names import HubName, OllamaName
from longctx.models.ollama import manifests, ollama_folders, read_manifest
from longctx.models.places import gpt4all_folders, llama_cpp_folders, lm_studio_folders
from longctx.models.variants import is_model_file, variants_of
from longctx.planner import Fitting, largest_window, machines_devices
from longctx.planner.memory_limit import resolve_memory_limit
from longctx.types import Frozen

_MOST_SCALE = 4
"""Past which every method costs much; windows are looked at no further."""


class FoundModel(Frozen):
    """A model on this machine, or a file that should be one.

    ``name`` opens it (:class:`longctx.LongContextLLM` and the commands take it); ``place`` is the
    program that it belongs to. ``n_ctx_train`` tokens it was trained on, ``largest_ctx`` fit the
    memory of now, GPUs' included, with 16-bit keys and values, up to four times as many; None where
    not even 256 do. ``problem`` says why it cannot be opened, and the other fields are None then.
    """

    place: str
    name: str
    path: Path
    n_bytes: int | None = None
    architecture: str | None = None
    weights_type: str | None = None
    n_ctx_train: int | None = None
    largest_ctx: int | None = None
    problem: str | None = None


def list_models(
    folders: Sequence[str | PathLike[str]] = (), *, memory_limit: int | str | None = None
) -> tuple[FoundModel, ...]:
    """Look through the caches of Hugging Face, llama.cpp, Ollama, LM Studio and GPT4All.

    Headers are read and nothing else; nothing is copied.

    Args:
        folders: others to look through.
        memory_limit: of the host's memory: bytes, a text such as ``"6GiB"``, or None for what is
            free now, less a margin. What GPUs have free counts besides.

    Returns:
        By place, then by name.

    Raises:
        PlanError: ``memory_limit`` is no size.
        RequestError: a folder is no path.
    """
    limit, _ = resolve_memory_limit(memory_limit)
    devices = machines_devices(DeviceOptions())
    own = [arguments.path("a folder", folder) for folder in folders]
    seen: set[tuple[str, Path]] = set()
    found = []
    for place, name, file in _all_files(own):
        # Two snapshots, or two names of a folder, may lead to one file; Ollama's names are theirs.
        key = (name if place == "Ollama" else "", Path(os.path.realpath(file)))
        if key not in seen:
            seen.add(key)
            found.append(_describe(place, name, file, limit, devices))
    return tuple(found)


def _all_files(own: Iterable[Path]) -> Iterator[tuple[str, str, Path]]:
    """Place, name and file of each; a file that is part of another is none."""
    yield from _hub_files(hub_cache())
    for folder in ollama_folders():
        for name, manifest in manifests(folder):
            yield "Ollama", str(OllamaName(name)), manifest
    places = {
        "llama.cpp": llama_cpp_folders(),
        "LM Studio": lm_studio_folders(),
        "GPT4All": gpt4all_folders(),
        "your folders": own,
    }
    for place, folders in places.items():
        for folder in folders:
            for path in _files_below(folder):
                yield place, str(path), path


def _hub_files(cache: Path) -> Iterator[tuple[str, str, Path]]:
    for repo in repositories(cache):
        main = snapshot(cache, repo, None)
        for folder in sorted(snapshots(cache, repo), key=lambda each: each != main):
            variants = variants_of(files_in(folder))
            labels = [each.label for each in variants]
            for each in variants:
                unique = each.label and labels.count(each.label) == 1
                revision = None if folder == main else folder.name
                name = HubName(repo, revision, each.label if unique else each.files[0])
                yield "Hugging Face", str(name), folder / each.files[0]


def _files_below(folder: Path) -> Iterator[Path]:
    """Models below a folder, through links, each folder once."""
    if folder.is_file():
        yield folder
    walked: set[str] = set()
    for parent, names, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in walked:
            names.clear()
            continue
        walked.add(real)
        names.sort()
        for file in sorted(files):
            shard = shard_of(file)
            if is_model_file(file) and (shard is None or shard[1] == 1):
                yield Path(parent) / file


def _describe(
    place: str, name: str, file: Path, limit: int, devices: tuple[Device, ...]
) -> FoundModel:
    try:
        path = read_manifest(file).path if place == "Ollama" else file
        if not path.exists():
            raise ModelFileError(f"{path} is a link to nothing: download it again")
        info = ModelInfo.from_gguf(path)
    except (LongCtxError, OSError) as error:
        return FoundModel(place=place, name=name, path=file, problem=str(error))
    fitting = Fitting(info, DeviceOptions(), devices, limit)
    return FoundModel(
        place=place,
        name=name,
        path=path,
        n_bytes=info.file_bytes,
        architecture=info.architecture,
        weights_type=info.weights_type,
        n_ctx_train=info.n_ctx_train,
        largest_ctx=largest_window(
            info,
            _MOST_SCALE * info.n_ctx_train + 1,
            limit_bytes=limit,
            estimate=partial(fitting.estimate, kv_type="f16"),
        ),
    )
