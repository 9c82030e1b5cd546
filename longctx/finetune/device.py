"""Where a training runs, and in which type it multiplies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from longctx.errors import RequestError

DeviceName: TypeAlias = Literal["auto", "cpu", "cuda"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Device:
    """``name`` is torch's; ``dtype`` that of products, while weights are kept in float32."""

    name: Literal["cpu", "cuda"]
    dtype: torch.dtype


def chosen_device(name: DeviceName, precision: Precision) -> Device:
    """The device that was asked for; left to us, a GPU where there is one, and in bfloat16.

    On a processor bfloat16 is the slower one, but for those few that multiply in it.

    Raises:
        RequestError: there is no such GPU, or it has no bfloat16.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise RequestError(
            f"torch {torch.__version__} finds no GPU: install its build for CUDA, or train on the "
            "processor (device='cpu')"
        )
    chosen: Literal["cpu", "cuda"] = "cuda" if has_gpu and name != "cpu" else "cpu"
    # An emulated one would be slower than float32.
    has_bfloat16 = chosen == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bfloat16" and not has_bfloat16:
        raise RequestError(
            f"{torch.cuda.get_device_name()} has no bfloat16: train in float32 (precision)"
        )
    fast = chosen == "cuda" and has_bfloat16
    halved = precision == "bfloat16" or (precision == "auto" and fast)
    return Device(chosen, torch.bfloat16 if halved else torch.float32)
