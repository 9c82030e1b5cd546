"""What a model may be called: a file, a repository of Hugging Face, a model of Ollama."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

from longctx import arguments
from longctx.errors import RequestError

HUB, OLLAMA = "hf:", "ollama:"
_HUB_NAME = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:@]+))?(?::(?P<wanted>[^:]+))?", re.ASCII
)


@dataclass(frozen=True)
class HubName:
    """A model in a repository.

    Attributes:
        repo: ``owner/name``.
        revision: a branch, tag or commit; None is the main branch.
        wanted: a quantisation such as ``Q4_K_M``, a file or a pattern; None leaves the choice.
    """

    repo: str
    revision: str | None = None
    wanted: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.repo}{revision}" + (f":{self.wanted}" if self.wanted else "")


@dataclass(frozen=True)
class OllamaName:
    """A model of Ollama's, as ``ollama list`` calls it."""

    name: str

    def __str__(self) -> str:
        return f"{OLLAMA}{self.name}"


ModelName: TypeAlias = HubName | OllamaName | Path


def parse_name(model: str | PathLike[str]) -> ModelName:
    """What a model's name stands for.

    Args:
        model: ``hf:owner/repo``, ``hf:owner/repo:Q4_K_M``, ``hf:owner/repo@revision:*q8_0.gguf``,
            ``ollama:name``, or a path.

    Raises:
        RequestError: it is none of these.
    """
    path = arguments.path("the model", model)
    text = fspath(model)
    if text.startswith(OLLAMA) and len(text) > len(OLLAMA):
        return OllamaName(text.removeprefix(OLLAMA))
    if text.lower().startswith(("http://", "https://")):
        raise RequestError(
            f"{text!r:.200} is an address: download the file and pass its path, or name a "
            "repository of Hugging Face: hf:owner/repo"
        )
    if not text:
        raise RequestError(
            "the model's name is empty; give a GGUF file, hf:owner/repo or ollama:name"
        )
    if not text.startswith(HUB):
        return path
    match = _HUB_NAME.fullmatch(text.removeprefix(HUB))
    if match is None:
        raise RequestError(
            f"the model is {text!r}; name a repository and perhaps a quantisation or a file: "
            "hf:owner/repo, hf:owner/repo:Q4_K_M, hf:owner/repo:*q8_0.gguf"
        )
    # llama.cpp's and Ollama's word for "no particular one".
    wanted = None if match["wanted"] == "latest" else match["wanted"]
    return HubName(match["repo"], match["revision"], wanted)
