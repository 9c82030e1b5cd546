"""Large models come as several files; only the first describes the model."""

from __future__ import annotations

import re
from pathlib import Path

from longctx.errors import ModelFileError
from longctx.model_info.gguf_header import MAGIC, GgufHeader, read_header

_MAX_PADDING = 1 << 16  # larger alignments than 32 are rare, larger ones than this absurd
_SHARD_NAME = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")


def shard_of(name: str) -> tuple[str, int, int] | None:
    """What a file's name says of a split model: its stem, the file's number from 1, how many.

    None where it names the only file of a model.
    """
    match = _SHARD_NAME.match(name)
    return match and (match["stem"], int(match["number"]), int(match["count"]))


def read_shards(path: Path) -> tuple[GgufHeader, ...]:
    """Read the header of a model's file, or of each of its files, the describing one first.

    Raises:
        ModelFileError: a file is missing or bad, or ``path`` is not the first of several.
    """
    first = read_header(path)
    count = first.metadata.get("split.count", 1)
    if not isinstance(count, int) or count < 2:
        return (first,)
    name = _SHARD_NAME.match(path.name)
    if _has_another_behind(first):
        raise ModelFileError(
            f"{path} is the {count} files of a split model put behind each other (with cat or "
            "copy), which llama.cpp cannot read: keep the files apart and pass the first, or join "
            "them with `llama-gguf-split --merge FIRST JOINED`"
        )
    if name is None or int(name["count"]) != count:
        raise ModelFileError(
            f"{path} is one of {count} files of a split model, and its name does not end in "
            f"-00001-of-{count:05d}.gguf, by which llama.cpp finds the others: rename it"
        )
    if int(name["number"]) != 1:
        raise ModelFileError(
            f"{path} is file {int(name['number'])} of {count} of a split model: "
            f"pass {name['stem']}-00001-of-{count:05d}.gguf"
        )
    others = (
        path.with_name(f"{name['stem']}-{number:05d}-of-{count:05d}.gguf")
        for number in range(2, count + 1)
    )
    return (first, *(read_header(other) for other in others))


def _has_another_behind(header: GgufHeader) -> bool:
    """Whether another GGUF begins where the tensors end, or after what pads them."""
    with header.path.open("rb") as file:
        file.seek(header.n_bytes)
        behind = file.read(_MAX_PADDING + len(MAGIC))
    return behind.lstrip(b"\0").startswith(MAGIC)
