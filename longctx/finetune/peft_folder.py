"""The adapter once more, as peft writes one: for engines that take no GGUF (vLLM)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from longctx.errors import LongCtxError
from longctx.finetune.lora import lora_config


def write_peft_folder(path: Path, weights: Mapping[str, Tensor], rank: int, base: str) -> None:
    """Write the matrices as they were trained, in transformers' order of rows.

    Args:
        path: of the folder.
        weights: the matrices by their names in torch.
        rank: of them.
        base: the model's name.

    Raises:
        LongCtxError: it cannot be written.
    """
    config = lora_config(rank)
    config.inference_mode, config.base_model_name_or_path = True, base
    tensors = {
        name.replace(".default.", "."): weight.detach().contiguous()
        for name, weight in weights.items()
    }
    try:
        path.mkdir(parents=True, exist_ok=True)
        config.save_pretrained(str(path))
        save_file(tensors, path / "adapter_model.safetensors")
    except Exception as error:  # safetensors' own, where the disk is full
        raise LongCtxError(
            f"{path} cannot be written: {error}. Make room, and run the same command again: what "
            "was trained is kept"
        ) from error
