"""What a training was when it stopped: all that it needs to go on, and that its adapter needs."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longctx.errors import LongCtxError
from longctx.files import write_whole
from longctx.finetune.report import HeldOut


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training behind a step.

    ``loss`` is smoothed, None before the first step; ``weights`` are the LoRA matrices by their
    names in torch; ``held_out`` is what was measured on the way, and ``machine`` where it ran, on a
    text of ``text_tokens``.
    """

    step: int
    tokens: int
    seconds: float
    loss: float | None
    machine: str
    text_tokens: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    held_out: list[HeldOut] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write it, all of it or nothing.

        Raises:
            LongCtxError: it cannot be written.
        """
        buffer = io.BytesIO()
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        torch.save({**values, "held_out": [each.model_dump() for each in self.held_out]}, buffer)
        try:
            write_whole(path, buffer.getbuffer(), parents=True)
        except OSError as error:
            raise LongCtxError(
                f"the checkpoint cannot be written to {path}: {error}. Make room, and "
                "the same command goes on from the last one"
            ) from error

    @classmethod
    def read(cls, path: Path, device: torch.device) -> Checkpoint:
        """Read it again, into the memory of a device.

        Raises:
            LongCtxError: it is damaged.
        """
        try:
            saved: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
            held_out = [HeldOut(**each) for each in saved.pop("held_out")]
            return cls(**saved, held_out=held_out)
        except Exception as error:  # whatever a damaged archive makes torch raise
            raise LongCtxError(
                f"the checkpoint {path} cannot be read ({type(error).__name__}); "
                "remove it to begin anew"
            ) from error
