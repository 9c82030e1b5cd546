"""The tensors of a GGUF, dequantised."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray


def tensors_of(path: Path) -> dict[str, NDArray[np.float32]]:
    """By name, as rows."""
    return {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        for tensor in gguf.GGUFReader(path).tensors
    }
