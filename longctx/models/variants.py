"""The models among many GGUF files: split ones together, each with its quantisation."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath

from longctx.model_info.shards import shard_of

_NO_MODEL = re.compile(r"mmproj|imatrix", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:^|[-._])(?P<label>(?:UD-)?I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|FP?(?:16|32))"
    r"(?=[-._]|$)",
    re.IGNORECASE,
)
_FLOATS = {"BF16": 16, "F16": 16, "F32": 32}


@dataclass(frozen=True)
class Variant:
    """One model of several.

    Attributes:
        files: its file, or all files of a split one, the describing one first.
        n_bytes: of all of them.
        label: its quantisation as its name says it, such as ``Q4_K_M``; "" where it does not.
    """

    files: tuple[str, ...]
    n_bytes: int
    label: str

    @property
    def bits(self) -> int:
        """Of a weight, about; 8 where the name does not say."""
        digit = re.search(r"\d", self.label)
        return _FLOATS.get(self.label) or (int(digit[0]) if digit else 8)

    @property
    def short(self) -> str:
        """The quantisation, or else the file."""
        return self.label or self.files[0]


def is_model_file(name: str) -> bool:
    """Whether a file can be a model, or part of one: not so vision encoders and statistics."""
    return name.lower().endswith(".gguf") and not _NO_MODEL.search(PurePosixPath(name).name)


def variants_of(files: Mapping[str, int]) -> tuple[Variant, ...]:
    """The models among files, largest first; split ones of which a file is missing are none.

    Args:
        files: sizes in bytes by name, which may have folders.
    """
    shards: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    groups: list[tuple[str, ...]] = []
    for name in filter(is_model_file, files):
        shard = shard_of(name)
        if shard is None:
            groups.append((name,))
        else:
            stem, number, count = shard
            shards[stem, count][number] = name
    for (_, count), found in shards.items():
        if set(found) == set(range(1, count + 1)):
            groups.append(tuple(found[i] for i in range(1, count + 1)))
    found_variants = (
        Variant(group, sum(files[name] for name in group), label_of(group[0])) for group in groups
    )
    return tuple(sorted(found_variants, key=lambda each: (-each.n_bytes, each.files)))


def label_of(name: str) -> str:
    """The quantisation that a file's name says, as llama.cpp writes it; "" where it says none."""
    shard = shard_of(name)
    stem = PurePosixPath(shard[0] if shard else name.removesuffix(".gguf")).name
    labels = [match["label"].upper() for match in _LABEL.finditer(stem)]
    return labels[-1].replace("FP", "F") if labels else ""


def matching(variants: Sequence[Variant], wanted: str) -> tuple[Variant, ...]:
    """Those that a quantisation, a file or a pattern names.

    Args:
        variants: to choose from.
        wanted: as people write it, in any case; patterns as those of a shell.
    """
    if re.search(r"[*?\[]|\.gguf$", wanted, re.IGNORECASE):
        return tuple(
            each for each in variants if any(_is_named(file, wanted) for file in each.files)
        )
    exact = tuple(each for each in variants if each.label == wanted.upper())
    # Unsloth's dynamic files beside plain ones: Q4_K_XL is UD-Q4_K_XL where no other has it.
    return exact or tuple(
        each for each in variants if each.label.removeprefix("UD-") == wanted.upper()
    )


def _is_named(file: str, pattern: str) -> bool:
    file, pattern = file.lower(), pattern.lower()
    return fnmatch(file, pattern) or fnmatch(PurePosixPath(file).name, pattern)
