"""From a model's name to its file on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from longctx import arguments
from longctx.devices import DeviceOptions
from longctx.models.choice import Room
from longctx.models.names import HubName, OllamaName, parse_name
from longctx.models.ollama import find_ollama
from longctx.models.repository import fetch

logger = logging.getLogger("longctx")

DEFAULT_CTX = 32_768


@dataclass(frozen=True)
class ModelFile:
    """A model's file.

    Attributes:
        path: the GGUF, or the first of several, where it lies.
        adapters: LoRA adapters that belong to it, as Ollama's models may have.
        reasons: why this file of several, in sentences.
    """

    path: Path
    adapters: tuple[Path, ...] = ()
    reasons: tuple[str, ...] = ()


def find_model(
    model: str | PathLike[str],
    target_ctx: int | None = None,
    *,
    memory_limit: int | str | None = None,
    devices: DeviceOptions | None = None,
    announce: Callable[[str], None] = logger.warning,
) -> ModelFile:
    """Find a model's file by any of its names; what is not here yet is downloaded.

    Args:
        model: ``hf:owner/repo`` of Hugging Face (extra ``hub``), perhaps with a quantisation or a
            file (``hf:owner/repo:Q4_K_M``, ``hf:owner/repo:*q8_0.gguf``) and a revision
            (``hf:owner/repo@main``); ``ollama:name`` of Ollama's models here; or a path, which is
            taken as it is.
        target_ctx: the window in tokens that it is to fit, where a repository has several
            quantisations and none is named; None is 32,768.
        memory_limit: of the host's memory: bytes, a text such as ``"6GiB"``, or None for what is
            free now, less a margin. What GPUs have free counts besides.
        devices: what goes to GPUs; None is as much as fits.
        announce: called with lines before a download.

    Raises:
        RequestError: it is no name of these, or ``target_ctx`` is no window.
        ModelFileError: there is no such repository, file or model; the message says what there is.
        PlanError: no quantisation fits.
        RemoteError: the hub refuses or cannot be reached, and the cache has no such file.
        MissingExtraError: the extra ``hub`` is not installed, and the cache has no such file.
    """
    name = parse_name(model)
    if isinstance(name, HubName):
        n_ctx = DEFAULT_CTX if target_ctx is None else target_ctx
        n_ctx = arguments.whole("target_ctx", n_ctx, least=1)
        room = Room(n_ctx, memory_limit, devices or DeviceOptions())
        fetched = fetch(name, room, announce)
        return ModelFile(fetched.path, reasons=fetched.reasons)
    if isinstance(name, OllamaName):
        found = find_ollama(name)
        return ModelFile(found.path, adapters=found.adapters)
    return ModelFile(name)
