"""Ollama's models: manifests that name blobs, which are GGUF files under their hashes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from longctx.errors import ModelFileError
from longctx.files import at_home, must_be_file
from longctx.models.names import OllamaName
from longctx.types import first_problem

_HOST, _OWNER = "registry.ollama.ai", "library"
_MODEL, _ADAPTER = (f"application/vnd.ollama.image.{kind}" for kind in ("model", "adapter"))
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_SERVICE = Path("/usr/share/ollama/.ollama/models")
"""Where Linux's service keeps them."""


class _Layer(BaseModel):
    mediaType: str
    digest: str


class _Manifest(BaseModel):
    layers: tuple[_Layer, ...]


@dataclass(frozen=True)
class OllamaModel:
    """A model's weights, and the LoRA adapters that belong to it."""

    path: Path
    adapters: tuple[Path, ...]


def ollama_folders() -> tuple[Path, ...]:
    """Where Ollama keeps models, by its own variable or its usual places."""
    chosen = os.environ.get("OLLAMA_MODELS")
    if chosen:
        return (at_home(chosen),)
    return (at_home("~/.ollama/models"), _SERVICE)


def manifests(folder: Path) -> Iterator[tuple[str, Path]]:
    """The models of a folder: names as ``ollama list`` has them, and their manifests."""
    root = folder / "manifests"
    for path in sorted(root.glob("*/*/*/*")):
        host, owner, model, tag = path.relative_to(root).parts
        if path.is_file():
            yield _shown(host, owner, model, tag), path


def find_ollama(name: OllamaName, folders: Sequence[Path] | None = None) -> OllamaModel:
    """Find a model of Ollama's, where it lies.

    Args:
        name: as ``ollama list`` calls it; the tag is ``latest`` where it has none.
        folders: None are the usual ones.

    Raises:
        ModelFileError: there is none of that name, or its manifest or a blob is missing; the
            message says what there is.
    """
    folders = ollama_folders() if folders is None else folders
    known = {each: path for folder in reversed(folders) for each, path in manifests(folder)}
    wanted = name.name if ":" in name.name.rsplit("/", 1)[-1] else f"{name.name}:latest"
    # Ollama itself does not look at case either; an exact match goes first.
    for found in (wanted, *(each for each in known if each.lower() == wanted.lower())):
        if found in known:
            return read_manifest(known[found])
    there = f"there is {', '.join(sorted(known))}" if known else "there is none"
    places = ", ".join(map(str, folders))
    raise ModelFileError(
        f"Ollama has no model {wanted} in {places}: {there}. Run `ollama pull {name.name}`, or set "
        "OLLAMA_MODELS to its folder"
    )


def read_manifest(path: Path) -> OllamaModel:
    """The files that a manifest names.

    Raises:
        ModelFileError: it cannot be read, names no weights, or names a blob that is missing.
    """
    try:
        must_be_file(path)
        layers = _Manifest.model_validate_json(path.read_bytes()).layers
    except OSError as error:
        raise ModelFileError(f"the manifest {path} cannot be read: {error}") from error
    except ValidationError as error:
        why = first_problem(error, "the file")
        raise ModelFileError(f"{path} is no manifest of Ollama's ({why}): pull it again") from error
    blobs = path.parents[4] / "blobs"
    weights = [_blob(blobs, each) for each in layers if each.mediaType == _MODEL]
    if len(weights) != 1:
        raise ModelFileError(
            f"the manifest {path} names {len(weights)} files of weights, where one is due: models "
            "that run elsewhere, or come as several files, cannot be opened here"
        )
    adapters = tuple(_blob(blobs, each) for each in layers if each.mediaType == _ADAPTER)
    return OllamaModel(weights[0], adapters)


def _blob(folder: Path, layer: _Layer) -> Path:
    match = _DIGEST.fullmatch(layer.digest)
    if match is None:
        raise ModelFileError(f"a manifest names the blob {layer.digest[:80]!r}: pull it again")
    path = folder / f"sha256-{match[1]}"
    if not path.exists():
        raise ModelFileError(f"the blob {path} is missing: pull the model again")
    return path


def _shown(host: str, owner: str, model: str, tag: str) -> str:
    """A name without what Ollama adds to it by itself."""
    parts = [host, owner, model]
    if host == _HOST:
        parts = parts[2:] if owner == _OWNER else parts[1:]
    return f"{'/'.join(parts)}:{tag}"
