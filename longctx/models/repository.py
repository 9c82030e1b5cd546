"""A model of Hugging Face: from the cache where it is there, else downloaded into it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longctx.errors import MissingExtraError, ModelFileError, RemoteError
from longctx.model_info import ModelInfo, format_bytes
from longctx.models.choice import Room, choose, none_fits
from longctx.models.hub_cache import files_in, hub_cache, repository_folder, snapshot
from longctx.models.names import HubName
from longctx.models.variants import Variant, matching, variants_of

if TYPE_CHECKING:
    from longctx.models.hub import Hub

_FIRST_HEAD, _LARGEST_HEAD = 4 << 20, 64 << 20
"""Headers are as large as their vocabularies, 2 to 20 MiB."""


@dataclass(frozen=True)
class Fetched:
    """A model's file in the cache, and why that one, in sentences."""

    path: Path
    reasons: tuple[str, ...]


def fetch(name: HubName, room: Room, announce: Callable[[str], None]) -> Fetched:
    """Bring a model into the cache.

    Where the hub cannot be reached, or its library is not installed, the cache alone is asked.

    Args:
        name: what was asked for.
        room: what it is to fit, where no quantisation is named.
        announce: called with a line before a download of files that are not there.

    Raises:
        ModelFileError: there is no such repository, revision or file; the message says what
            there is.
        PlanError: no quantisation fits.
        RemoteError: the hub refuses, failed, or cannot be reached, and the cache has no such file.
        MissingExtraError: as when it cannot be reached.
    """
    from longctx.models.hub import Hub  # with its bar of progress, which a file here does not need

    cache = hub_cache()
    folder = snapshot(cache, name.repo, name.revision)
    here = {} if folder is None else files_in(folder)
    try:
        hub = Hub(cache)
        listing = hub.listing(name)
    except (RemoteError, MissingExtraError) as error:
        if folder is None or not _asked_for(name, variants_of(here)):
            raise
        variant, why = _choose(name, folder, here, room)
        return Fetched(folder / variant.files[0], (*why, f"From the cache: {error}."))
    variants = variants_of(listing.files)
    found = _asked_for(name, variants)
    if not found:
        raise _nothing(name, variants, sorted(listing.files))
    reasons: tuple[str, ...] = ()
    if name.wanted:
        variant = _only(name, found)
    else:
        # What is here already and fits is not downloaded again in another size.
        current = folder is not None and folder.name == listing.commit
        ready = [each for each in found if current and set(each.files) <= set(here)]
        info = _info(hub, name, folder, ready, found)
        chosen = choose(ready, info, room) or choose(found, info, room)
        if chosen is None:
            raise none_fits(str(name), found, info, room)
        variant, why_this = chosen
        reasons = (why_this,)
    place = repository_folder(cache, name.repo) / "snapshots" / listing.commit
    missing = [each for each in variant.files if not (place / each).exists()]
    if missing:
        size = format_bytes(sum(listing.files[each] for each in missing))
        for line in reasons:
            announce(line)
        announce(f"Downloading {len(missing)} files, {size}, of {name.repo} into {cache}.")
    for file in missing:
        hub.download(name, file)
    return Fetched(place / variant.files[0], reasons)


def _asked_for(name: HubName, variants: Sequence[Variant]) -> tuple[Variant, ...]:
    return matching(variants, name.wanted) if name.wanted else tuple(variants)


def _only(name: HubName, found: Sequence[Variant]) -> Variant:
    if len(found) > 1:
        files = ", ".join(each.files[0] for each in found)
        raise ModelFileError(f"{name} may be {len(found)} models: name one of {files}")
    return found[0]


def _choose(
    name: HubName, folder: Path, here: dict[str, int], room: Room
) -> tuple[Variant, tuple[str, ...]]:
    found = _asked_for(name, variants_of(here))
    if name.wanted or len(found) == 1:
        return _only(name, found), ()
    info = ModelInfo.from_gguf(folder / found[-1].files[0])
    chosen = choose(found, info, room)
    if chosen is None:
        raise none_fits(str(name), found, info, room)
    return chosen[0], (chosen[1],)


def _info(
    hub: Hub, name: HubName, folder: Path | None, ready: Sequence[Variant], all_: Sequence[Variant]
) -> ModelInfo:
    """The model by a file that is here, or else by the beginning of the smallest."""
    if folder is not None and ready:
        return ModelInfo.from_gguf(folder / ready[-1].files[0])
    file, size = all_[-1].files[0], _FIRST_HEAD
    with tempfile.TemporaryDirectory(prefix="longctx-") as scratch:
        path = Path(scratch) / Path(file).name
        path.write_bytes(hub.head(name, file, n_bytes=size))
        while True:
            try:
                return ModelInfo.from_head(path)
            except ModelFileError:
                if size >= _LARGEST_HEAD or path.stat().st_size < size:
                    raise
            with path.open("ab") as part:
                part.write(hub.head(name, file, begin=size, n_bytes=3 * size))
            size *= 4


def _nothing(name: HubName, variants: Sequence[Variant], files: Sequence[str]) -> ModelFileError:
    if not variants:
        what = ", ".join(files[:8]) or "nothing"
        return ModelFileError(
            f"{name.repo} has no GGUF file, but {what}: look for a repository of the same model "
            "whose name ends in -GGUF"
        )
    there = ", ".join(f"{each.short} ({format_bytes(each.n_bytes)})" for each in variants)
    return ModelFileError(f"{name.repo} has no {name.wanted}: there is {there}")
