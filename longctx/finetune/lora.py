"""LoRA (Hu et al. 2021) beside the attention of a model, and its matrices as a GGUF names them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from longctx.finetune.loading import NORM_ORDER
from longctx.model_info import ModelInfo

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
"""A [rank, in] and B [out, rank]: what is added is alpha / rank times B A."""

_NAMES = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output"}
_MODULE = re.compile(r"layers\.(\d+)\.self_attn\.(\w+_proj)\.lora_([AB])\.")


def with_lora(module: nn.Module, rank: int, seed: int) -> Any:
    """Put LoRA matrices beside q, k, v and o of every layer: peft's model.

    B is zero, so that nothing changes before the first step.
    """
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        # peft asks transformers by a name that a later version will not have.
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(module, lora_config(rank))


def lora_config(rank: int) -> LoraConfig:
    """peft's description of the matrices."""
    return LoraConfig(
        r=rank, lora_alpha=alpha(rank), target_modules=list(_NAMES), task_type="CAUSAL_LM"
    )


def alpha(rank: int) -> int:
    """LoRA's own scale is alpha / rank, which is 2 whatever the rank."""
    return 2 * rank


def matrices(module: nn.Module) -> dict[str, Tensor]:
    """The LoRA matrices by their names in torch, which training moves."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def gguf_pairs(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Pair]:
    """The pairs by the tensor of the GGUF that they are added to, in its order of rows."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, weight in state.items():
        match = _MODULE.search(name)
        assert match is not None
        tensor = f"blk.{match[1]}.{_NAMES[match[2]]}.weight"
        data = weight.detach().float().cpu().numpy()
        if match[3] == "B" and NORM_ORDER[info.architecture] and match[2] in ("q_proj", "k_proj"):
            data = _pairs_side_by_side(data, info.head_dim)
        found.setdefault(tensor, {})[match[3]] = np.ascontiguousarray(data)
    return {tensor: (pair["A"], pair["B"]) for tensor, pair in found.items()}


def _pairs_side_by_side(rows: NDArray[np.float32], head_dim: int) -> NDArray[np.float32]:
    """Rows (i, i + d/2) of each head to (2i, 2i + 1), as llama.cpp's converter does."""
    heads = rows.reshape(-1, 2, head_dim // 2, rows.shape[1])
    return heads.swapaxes(1, 2).reshape(rows.shape)
