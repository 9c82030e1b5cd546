"""A model of transformers in the RoPE of a window, and its loss on a batch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from longctx.finetune.batch import Batch, Seen, seen_by
from longctx.finetune.placement import Placement

ROWS = 4096
"""Places at a time whose next token is told, so that no table of all places by the vocabulary is
ever held: 32,768 by 49,152 would be 6 GiB."""


@dataclass(frozen=True)
class TorchModel:
    """A model, the frequencies that it runs, and the type in which it multiplies.

    ``inv_freq`` is float32[n_rot / 2], on the model's device. Under ``bfloat16`` weights and the
    residual stream stay in float32, as llama.cpp's activations are.
    """

    module: nn.Module
    inv_freq: Tensor
    dtype: torch.dtype = torch.float32

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.inv_freq.device

    def log_probs(self, ids: list[int], placement: Placement) -> Tensor:
        """Log-probabilities of the token after each of a sequence, float32[n, n_vocab].

        Args:
            ids: one sequence.
            placement: where its tokens stand.
        """
        own = torch.from_numpy(placement.own).to(self.device)
        with self._autocast():
            seen = seen_by([placement]).on(self.device)
            hidden = self._hidden(torch.tensor(ids, device=self.device), own, seen)
            logits: Tensor = self._head(hidden)
        return logits.float().log_softmax(-1)

    def losses(self, batch: Batch) -> Tensor:
        """Negative log-likelihoods, weighted: float32[rows].

        Args:
            batch: on the model's device.
        """
        with self._autocast():
            hidden = self._hidden(batch.ids, batch.positions, batch.seen)
            hidden = hidden.index_select(0, batch.rows)
            parts = [
                # What a part's logits are is computed again when its gradient is wanted.
                checkpoint(self._nll, part, wanted, use_reentrant=False, preserve_rng_state=False)
                for part, wanted in zip(
                    torch.split(hidden, ROWS), torch.split(batch.wanted, ROWS), strict=True
                )
            ]
        return torch.cat(parts) * batch.weights

    def _hidden(self, ids: Tensor, positions: Tensor, seen: Seen) -> Tensor:
        causal_lm: Any = self._causal_lm()
        out = causal_lm.model(
            input_ids=ids[None],
            position_ids=positions[None],
            blocks=seen.blocks(self.inv_freq),
            use_cache=False,
        )
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def _nll(self, hidden: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(self._head(hidden).float(), wanted, reduction="none")

    def _head(self, hidden: Tensor) -> Tensor:
        head: Any = self._causal_lm()
        logits: Tensor = head.lm_head(hidden)
        return logits

    def _causal_lm(self) -> nn.Module:
        """transformers' own model, without peft's around it."""
        base = getattr(self.module, "get_base_model", None)
        return self.module if base is None else base()

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16
        )
