"""What makes training faster and lighter, and changes no result but by rounding."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from longctx.errors import RequestError
from longctx.finetune.batch import packed
from longctx.finetune.mixture import TrainingSequence
from longctx.finetune.placement import place, unmoved
from longctx.finetune.torch_model import ROWS, TorchModel
from longctx.model_info import ModelInfo
from longctx.types import Frozen

_PROBED = 64, 192  # tokens
_BESIDE = 1.3  # what is held over what is saved: gradients, and what a layer computes with
_SHARE = {"cpu": 0.5, "cuda": 0.85}  # of the memory that is free
_LOGITS_BYTES = 14  # of each: in the type of the product, in float32, its softmax, its gradient


class Parts(Frozen):
    """How sequences go through a model: so many tokens together, and what is kept of them.

    ``checkpointed`` keeps what goes into each layer and computes the layer again for its gradient.
    """

    n_tokens: int
    checkpointed: bool


class _Norm(nn.Module):
    """RMSNorm in one kernel, whose result is cast once and not by each product that reads it."""

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = weight, eps

    def forward(self, hidden: Tensor) -> Tensor:
        normed = F.rms_norm(hidden.float(), self.weight.shape, self.weight, self.eps)
        kind = hidden.device.type
        if torch.is_autocast_enabled(kind):
            return normed.to(torch.get_autocast_dtype(kind))
        return normed


def made_lean(module: nn.Module) -> None:
    """Take out of a model what autocast would cast again and again, LoRA's inputs included.

    Frozen weights of products are kept as they would be cast; all else stays in float32.
    """
    each: Any
    for path, each in list(module.named_modules()):
        # The head's are often the embedding's, whose sums are in float32.
        is_frozen = isinstance(each, nn.Linear) and not each.weight.requires_grad
        if is_frozen and not path.endswith("lm_head"):
            each.to(torch.bfloat16)
        for name in ("input_layernorm", "post_attention_layernorm"):
            norm: Any = getattr(each, name, None)
            if hasattr(norm, "variance_epsilon"):
                setattr(each, name, _Norm(norm.weight, norm.variance_epsilon))
        if hasattr(each, "cast_input_dtype_enabled"):
            each.cast_input_dtype_enabled = False


def saved_bytes(forward: Callable[[], Tensor]) -> int:
    """What a computation keeps for its gradients: bytes, each memory counted once."""
    seen: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        kept = forward()  # while it lives, no memory is used twice
        del kept
    return sum(seen.values())


def parts_for(model: TorchModel, info: ModelInfo, sequence_tokens: int, step_tokens: int) -> Parts:
    """How many tokens go through the model together, by the memory that is free now.

    Args:
        model: with its LoRA matrices.
        info: of the model.
        sequence_tokens: of the longest sequence, which goes through as a whole.
        step_tokens: more than these are not needed.

    Raises:
        RequestError: not even one sequence has room.
    """
    probe(model, _PROBED[0])  # what is found out once is not counted
    few, many = (saved_bytes(partial(probe, model, n)) for n in _PROBED)
    a_token = _BESIDE * (many - few) / (_PROBED[1] - _PROBED[0])
    once = few + _LOGITS_BYTES * min(ROWS, sequence_tokens) * info.n_vocab
    room = _SHARE[model.device.type] * free_bytes(model.device) - once
    # On a processor several together are no faster than one after the other.
    wanted = max(sequence_tokens, step_tokens if model.device.type == "cuda" else 0)
    if room >= a_token * sequence_tokens:
        return Parts(n_tokens=min(wanted, int(room / a_token)), checkpointed=False)
    # Kept is what goes into each layer, in float32, beside all of one layer.
    a_token = a_token / info.n_layer + 4 * info.n_embd * info.n_layer
    if room < a_token * sequence_tokens:
        raise RequestError(
            f"a sequence of {sequence_tokens:,} tokens takes "
            f"{a_token * sequence_tokens / 2**30:.1f} GiB, and {max(0.0, room) / 2**30:.1f} GiB "
            "are free for it: train on shorter ones (sequence_tokens, without full_length)"
        )
    return Parts(n_tokens=min(wanted, int(room / a_token)), checkpointed=True)


def fewer(parts: Parts, sequence_tokens: int) -> Parts:
    """The next smaller way, where memory did not suffice after all.

    Raises:
        RequestError: there is none.
    """
    if parts.n_tokens > sequence_tokens:
        return parts.model_copy(update={"n_tokens": max(sequence_tokens, parts.n_tokens // 2)})
    if not parts.checkpointed:
        return parts.model_copy(update={"checkpointed": True})
    raise RequestError(
        f"the GPU's memory does not suffice for a sequence of {sequence_tokens:,} tokens: train on "
        "shorter ones (sequence_tokens, without full_length)"
    )


def checkpoint_layers(module: Any) -> None:
    """Keep what goes into each layer only, and compute the layer again for its gradient."""
    module.train()  # no dropout is in it; transformers asks for this
    with warnings.catch_warnings():
        # The name that every version of transformers 5 has; later ones have a second.
        warnings.simplefilter("ignore", FutureWarning)
        module.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False, "preserve_rng_state": False}
        )


def free_bytes(device: torch.device) -> int:
    """The memory that a device has left."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    return int(psutil.virtual_memory().available)


def probe(model: TorchModel, n: int) -> Tensor:
    """The losses of so many tokens, whichever."""
    ids = np.zeros(n, np.int64)
    sequence = TrainingSequence("probe", ids, np.ones(n, np.float32), place(unmoved(n), None))
    return model.losses(packed([sequence]).on(model.device))
