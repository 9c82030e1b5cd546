"""Models of sentence-transformers, loaded as a program loads them that others look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from longctx.errors import MissingExtraError, RequestError


def load_sentence_model(
    kind: Literal["SentenceTransformer", "CrossEncoder"],
    name: str | Path,
    *,
    role: str,
    purpose: str,
    instead: str,
) -> Any:
    """Load one on the CPU, without progress bars.

    Args:
        kind: its class.
        name: a folder, or a name that sentence-transformers knows (which it may download).
        role: what it is here, with its article; for what is said when it cannot be loaded.
        purpose: what it is needed for.
        instead: what to give that can be loaded.

    Raises:
        RequestError: the model cannot be loaded.
        MissingExtraError: sentence-transformers is not installed.
    """
    try:
        import sentence_transformers
        from transformers.utils import logging as progress
    except ImportError as error:
        raise MissingExtraError(
            f'to {purpose} run `pip install "longctx-sdk[rag]"` '
            f"(it needs sentence-transformers), or pass {role} of your own"
        ) from error
    shows_bars = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()
    try:
        make = getattr(sentence_transformers, kind)
        return make(str(name), device="cpu", local_files_only=Path(name).is_dir())
    except Exception as error:
        # Whatever the hub, the files or torch stumble on: the name is the user's.
        raise RequestError(
            f"the {role.split()[-1]} {str(name)!r} cannot be loaded ({error}); give {instead}"
        ) from error
    finally:
        if shows_bars:
            progress.enable_progress_bar()
