"""Training: seeded steps within a budget, and a checkpoint from which a killed run goes on."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longctx.errors import LongCtxError, RequestError
from longctx.files import write_whole
from longctx.finetune.budget import JUDGED_AT, LEAST_STEPS, Budget
from longctx.finetune.loading import TorchModel
from longctx.finetune.lora import matrices, with_lora
from longctx.finetune.mixture import Mixture, TrainingSequence
from longctx.finetune.recipe import Recipe
from longctx.finetune.report import FinetuneProgress

ProgressCallback = Callable[[FinetuneProgress], None]

_SAVE_EVERY_S = 60.0
_PACE_STEPS = 20  # over which the pace is a mean
_WARMUP, _LAST_RATE = 0.05, 0.02  # of the run, of the peak
_SMOOTH = 0.9  # of the loss that is shown


class Trainer:
    """Trains LoRA matrices beside a model, from the start or from the checkpoint that is there.

    Args:
        model: in the RoPE of the window; it gets the matrices.
        mixture: draws sequences.
        recipe: how.
        checkpoint: the file that keeps the state.

    Raises:
        LongCtxError: the checkpoint is damaged.
    """

    def __init__(
        self, model: TorchModel, mixture: Mixture, recipe: Recipe, checkpoint: Path
    ) -> None:
        self._mixture, self._recipe, self._checkpoint = mixture, recipe, checkpoint
        self._model = TorchModel(with_lora(model.module, recipe.rank, recipe.seed), model.inv_freq)
        self._weights = matrices(self._model.module)
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self._loss: float | None = None
        self._is_between_steps = True
        if checkpoint.exists():
            self._restore()

    @property
    def model(self) -> TorchModel:
        """The model with its matrices, peft's."""
        return self._model

    @property
    def weights(self) -> dict[str, Tensor]:
        """The matrices by their names in torch."""
        return self._weights

    @property
    def loss(self) -> float:
        """The loss of late, in nats a token; NaN before the first step."""
        return math.nan if self._loss is None else self._loss

    def run(self, budget: Budget, on_progress: ProgressCallback | None = None) -> None:
        """Train to the end of the budget; Ctrl-C keeps what is done, a kill loses a minute.

        Raises:
            RequestError: the first steps say that the budget is too small.
            LongCtxError: the checkpoint cannot be written.
        """
        saved_at = self.seconds
        took: list[float] = []
        try:
            while (done := budget.done(self.tokens, self.seconds)) < 1:
                started = time.monotonic()
                loss = self._train_step(done)
                took.append(time.monotonic() - started)
                self.seconds += took[-1]
                self._loss = loss if self._loss is None else _smoothed(self._loss, loss)
                pace = mean(took[1:][-_PACE_STEPS:] or took)  # the first step warms up
                if len(took) == JUDGED_AT:
                    budget.check(self.step, self.tokens, self.seconds, pace)
                if on_progress is not None:
                    on_progress(self._progress(budget, loss, pace))
                if self.seconds - saved_at > _SAVE_EVERY_S:
                    self.save()
                    saved_at = self.seconds
            if self.step < LEAST_STEPS and took and self.tokens < (budget.tokens or math.inf):
                budget.check(self.step, self.tokens, self.seconds, mean(took))
        except KeyboardInterrupt:
            if self._is_between_steps:
                self.save()
            raise
        self.save()

    def save(self) -> None:
        """Write the checkpoint, all of it or nothing.

        Raises:
            LongCtxError: it cannot be written.
        """
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "loss": self._loss,
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        try:
            write_whole(self._checkpoint, buffer.getbuffer(), parents=True)
        except OSError as error:
            raise LongCtxError(
                f"the checkpoint cannot be written to {self._checkpoint}: {error}. Make room, and "
                "the same command goes on from the last one"
            ) from error

    def _restore(self) -> None:
        try:
            saved: dict[str, Any] = torch.load(
                self._checkpoint, weights_only=True, map_location=self._model.inv_freq.device
            )
            with torch.no_grad():
                for name, weight in self._weights.items():
                    weight.copy_(saved["weights"][name])
            self._optimizer.load_state_dict(saved["optimizer"])
            self.step, self.tokens = int(saved["step"]), int(saved["tokens"])
            self.seconds, self._loss = float(saved["seconds"]), saved["loss"]
        except Exception as error:  # whatever a damaged archive makes torch raise
            raise LongCtxError(
                f"the checkpoint {self._checkpoint} cannot be read ({type(error).__name__}); "
                "remove it to begin anew"
            ) from error

    def _train_step(self, done: float) -> float:
        """One step; returns its loss in nats a token."""
        rng = np.random.default_rng([self._recipe.seed, self.step])
        batch = [self._mixture.draw(rng) for _ in range(self._recipe.sequences_per_step)]
        total = float(sum(sequence.weights[1:].sum() for sequence in batch))
        loss = 0.0
        for sequence in batch:
            part = self._loss_of(sequence) / total
            part.backward()  # type: ignore[no-untyped-call]  # torch's own
            loss += float(part.detach())
        if not math.isfinite(loss):
            raise RequestError(
                f"the loss is {loss} at step {self.step}: training has run away. Give a smaller "
                f"learning_rate than {self._recipe.learning_rate:g}, and another out where some "
                "of it was kept"
            )
        torch.nn.utils.clip_grad_norm_(list(self._weights.values()), 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * _rate(done)
        self._is_between_steps = False
        self._optimizer.step()
        self.step += 1
        self.tokens += sum(len(sequence.ids) for sequence in batch)
        self._is_between_steps = True
        self._optimizer.zero_grad()
        return loss

    def _loss_of(self, sequence: TrainingSequence) -> Tensor:
        """The weighted sum of negative log-likelihoods of one sequence."""
        targets = np.flatnonzero(sequence.weights[1:])
        rows = torch.from_numpy(targets)
        log_probs = self._model.log_probs(sequence.ids.tolist(), sequence.placement, rows)
        weights = torch.from_numpy(sequence.weights[1:][targets]).to(log_probs.device)
        wanted = torch.from_numpy(sequence.ids[1:][targets]).to(log_probs.device)
        nll = -log_probs.gather(1, wanted[:, None])[:, 0]
        return (nll * weights).sum()

    def _progress(self, budget: Budget, loss: float, pace_s: float) -> FinetuneProgress:
        step_tokens = self.tokens / self.step
        return FinetuneProgress(
            step=self.step,
            tokens=self.tokens,
            seconds=self.seconds,
            loss=self._loss if self._loss is not None else loss,
            tokens_per_s=step_tokens / pace_s if pace_s > 0 else 0.0,
            done=budget.done(self.tokens, self.seconds),
            eta_s=budget.left_s(self.tokens, self.seconds, pace_s / step_tokens),
        )


def _smoothed(smoothed: float, loss: float) -> float:
    return _SMOOTH * smoothed + (1 - _SMOOTH) * loss


def _rate(done: float) -> float:
    """Learning rate over its peak: warm up, then half a cosine down."""
    if done < _WARMUP:
        return (done + 1e-3) / (_WARMUP + 1e-3)
    fall = (done - _WARMUP) / (1 - _WARMUP)
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * fall))
