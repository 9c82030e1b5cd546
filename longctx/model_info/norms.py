"""What tells a model from another whatever its quantisation: the norms, which nobody quantises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longctx.errors import ModelFileError
from longctx.files import hash_parts
from longctx.model_info.gguf_header import read_header


def hash_norms(files: Sequence[Path]) -> str:
    """SHA-256 of all norms of a model in F32, by name, in hexadecimal.

    Raises:
        ModelFileError: a file can no longer be read.
    """
    parts: dict[str, bytes] = {}
    for path in files:
        header = read_header(path)
        try:
            with path.open("rb") as file:
                for name, tensor in header.tensors.items():
                    if name.endswith("norm.weight") and tensor.type == "F32":
                        file.seek(tensor.offset)
                        parts[name] = file.read(tensor.n_bytes)
        except OSError as error:
            raise ModelFileError(f"{path} can no longer be read: {error}") from error
    return hash_parts(part for name in sorted(parts) for part in (name.encode(), parts[name]))
