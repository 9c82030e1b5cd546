"""Where other programs keep models on this machine, by their own variables and settings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import platformdirs

from longctx.files import at_home, user_folder


def llama_cpp_folders() -> Iterator[Path]:
    """The cache of ``llama-server -hf`` before it shared Hugging Face's."""
    chosen = os.environ.get("LLAMA_CACHE")
    if chosen:
        yield at_home(chosen)
    else:
        yield user_folder(platformdirs.user_cache_dir, "llama.cpp", opinion=False)


def lm_studio_folders() -> Iterator[Path]:
    """LM Studio's folder of models, and the one that its settings name instead."""
    pointer = at_home("~/.lmstudio-home-pointer")
    homes = [at_home("~/.lmstudio"), at_home("~/.cache/lm-studio")]
    with suppress(OSError, ValueError):
        homes.insert(0, Path(pointer.read_text().strip()))
    for home in dict.fromkeys(homes):
        yield home / "models"
        try:
            settings = json.loads((home / "settings.json").read_bytes())
        except (OSError, ValueError):
            continue
        chosen = settings.get("downloadsFolder") if isinstance(settings, dict) else None
        if isinstance(chosen, str) and chosen:
            yield Path(chosen)


def gpt4all_folders() -> Iterator[Path]:
    """GPT4All's folder, and that of its Python package."""
    yield user_folder(platformdirs.user_data_dir, "nomic.ai") / "GPT4All"
    yield at_home("~/.cache/gpt4all")
