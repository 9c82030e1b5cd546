"""Typed look-ups in a header's metadata, under the architecture's prefix."""

from __future__ import annotations

from longctx.errors import ModelFileError
from longctx.model_info.gguf_header import GgufHeader

MAX_LAYERS = 512
"""llama.cpp's LLAMA_MAX_LAYERS; more abort the process."""


class ArchitectureKeys:
    """The keys ``<architecture>.…`` of one file.

    Each getter raises ModelFileError when the key is there with another type, or out of range.
    """

    def __init__(self, header: GgufHeader, architecture: str) -> None:
        self.header = header
        self.architecture = architecture

    def _full(self, key: str) -> str:
        return f"{self.architecture}.{key}"

    def __contains__(self, key: str) -> bool:
        return self._full(key) in self.header.metadata

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number, 0 or more. Without a default the key is required."""
        value = self.header.metadata.get(self._full(key), default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
            raise self._wrong(key, "a whole number")
        return value

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self.header.metadata.get(self._full(key), default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise self._wrong(key, "a number")
        return float(value)

    def text(self, key: str, default: str) -> str:
        """A text."""
        value = self.header.metadata.get(self._full(key), default)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A boolean."""
        value = self.header.metadata.get(self._full(key), default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def is_array(self, key: str) -> bool:
        """Whether the key holds an array."""
        return isinstance(self.header.metadata.get(self._full(key)), tuple)

    def per_layer(self, key: str, n_layer: int, default: int | None = None) -> tuple[int, ...]:
        """A whole number for every layer, whether the file gives one or an array."""
        if not self.is_array(key):
            return (self.integer(key, default),) * n_layer
        values = self.header.metadata[self._full(key)]
        if not (
            isinstance(values, tuple)
            and len(values) >= n_layer
            and all(isinstance(value, int) and 0 <= value < 1 << 32 for value in values)
        ):
            raise self._wrong(key, f"{n_layer} whole numbers")
        return tuple(int(value) for value in values[:n_layer])

    def array_length(self, key: str) -> int:
        """The length of an array, 0 where there is none."""
        return self.header.array_lengths.get(self._full(key), 0)

    def _wrong(self, key: str, due: str) -> ModelFileError:
        full = self._full(key)
        found = self.header.metadata.get(full)
        what = "is missing" if found is None else f"is {str(found)[:60]}"
        return ModelFileError(
            f"{self.header.path}: metadata key {full} {what} where {due} is due. "
            "The file is damaged or incomplete; convert or download it again"
        )
