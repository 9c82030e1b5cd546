"""A GGUF's weights in torch, through transformers, held against what llama.cpp computes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from longctx.errors import ModelFileError, UnsupportedModelError
from longctx.finetune.attention import ATTENTION, set_rope
from longctx.finetune.placement import place, unmoved
from longctx.finetune.torch_model import TorchModel
from longctx.model_info import ModelInfo
from longctx.rope import RopeConfig

SAME_NATS = 0.25
"""Mean nats a token by which the two may differ: llama.cpp multiplies quantised matrices in 8 bits
(SmolLM2 in Q4_1 and Q8_0: 0.06), and another model or another rotation is whole nats apart."""

NORM_ORDER = {"llama": True, "qwen2": False, "qwen3": False}
"""The architectures that can be fine-tuned, and whether their GGUF has the rows of q and k in the
order that llama.cpp's NORM rotation wants, pairs side by side (transformers' are halves)."""


def obstacle(info: ModelInfo) -> str | None:
    """Why a model cannot be fine-tuned here; None if it can."""
    if info.architecture not in NORM_ORDER:
        known = ", ".join(NORM_ORDER)
        return f"its architecture is {info.architecture}, and these are known: {known}"
    if set(info.layer_kinds) != {"full"} or info.rope_type not in ("norm", "neox"):
        return "not every layer sees the whole window with an ordinary RoPE"
    if len(info.files) > 1:
        return "it is split into several files, which transformers does not read; join them"
    return None


def check_loadable(info: ModelInfo, weights: Path | None = None) -> None:
    """Refuse what cannot be fine-tuned, by its header, and a folder that holds no weights.

    Raises:
        UnsupportedModelError: with the reason.
        ModelFileError: there is no such folder.
    """
    if why := obstacle(info):
        raise UnsupportedModelError(f"{info.name} cannot be fine-tuned: {why}")
    if weights is not None and not (weights / "config.json").is_file():
        raise ModelFileError(
            f"{weights} is no folder of a transformers model: it has no config.json"
        )


def load(
    info: ModelInfo, rope: RopeConfig, weights: Path | None = None, device: str = "cpu"
) -> TorchModel:
    """Load a model for training.

    Args:
        info: the model.
        rope: of the window that is trained.
        weights: a folder of transformers to take the weights from, where it has finer ones than
            the GGUF; None takes the GGUF's own, dequantised.
        device: torch's name of where it is trained.

    Raises:
        UnsupportedModelError: transformers cannot load it, or it cannot be fine-tuned here.
        ModelFileError: there is no such folder.
    """
    check_loadable(info, weights)
    where: dict[str, Any] = {"gguf_file": info.path.name} if weights is None else {}
    folder = info.path.parent if weights is None else weights
    try:
        with _quiet():
            module = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                attn_implementation=ATTENTION,
                local_files_only=True,
                **where,
            )
    except Exception as error:  # it raises whatever its parsers meet
        said = " ".join(str(error).split())[:300]
        raise UnsupportedModelError(
            f"transformers cannot load {info.path if weights is None else weights} "
            f"({type(error).__name__}: {said}). Give the original model's folder as weights, or "
            "take another model"
        ) from error
    module.requires_grad_(False)
    module.eval()
    module.to(device)
    return TorchModel(module, set_rope(module, rope, info.n_rot))


def check_same(
    model: TorchModel, info: ModelInfo, ids: list[int], nll: NDArray[np.float32]
) -> None:
    """Refuse a model that torch computes otherwise than llama.cpp: its adapter would not fit.

    Args:
        model: in the RoPE under which ``nll`` was measured.
        info: for the message.
        ids: a text within the trained window.
        nll: llama.cpp's negative log-likelihoods of ``ids[1:]``, float[n - 1].

    Raises:
        UnsupportedModelError: the two differ by more than rounding.
    """
    with torch.no_grad():
        log_probs = model.log_probs(ids, place(unmoved(len(ids)), None)).cpu().numpy()
    mine = -log_probs[np.arange(len(ids) - 1), ids[1:]]
    apart = float(np.abs(mine - nll).mean())
    if not apart < SAME_NATS:
        raise UnsupportedModelError(
            f"transformers and llama.cpp compute {info.name} otherwise ({apart:.3f} nats a token "
            f"apart, {SAME_NATS} may be rounding): what is learnt in one would not hold in the "
            "other. Other weights than the GGUF's, or an architecture that transformers reads "
            "wrong"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and the reports of transformers, whose errors we give ourselves."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
