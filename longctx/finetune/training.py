"""Training: seeded steps within a budget, and a checkpoint from which a killed run goes on."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor

from longctx.errors import RequestError
from longctx.finetune.budget import JUDGED_AT, LEAST_STEPS, Budget
from longctx.finetune.checkpoint import Checkpoint
from longctx.finetune.ctrl_c import CtrlC
from longctx.finetune.lean import Parts
from longctx.finetune.lora import matrices
from longctx.finetune.mixture import Mixture
from longctx.finetune.recipe import Recipe
from longctx.finetune.report import FinetuneProgress, HeldOut
from longctx.finetune.steps import Step, step_of, steps_from
from longctx.finetune.torch_model import TorchModel

ProgressCallback = Callable[[FinetuneProgress], None]

_SAVE_EVERY_S = 60.0
_PACE_STEPS = 20  # over which the pace is a mean
_WARMUP, _LAST_RATE = 0.05, 0.02  # of the run, of the peak
_SMOOTH = 0.9  # of the loss that is shown
_HELD_OUT_EVERY = 0.2  # of the run
_HELD_OUT_SEED = 2**40


class Trainer:
    """Trains LoRA matrices beside a model, from the start or from the checkpoint that is there.

    Args:
        model: with its matrices, in the RoPE of the window.
        mixture: draws sequences.
        held_out: draws sequences of text that the other has not; None where there is none.
        recipe: how.
        parts: how many tokens go through the model together.
        checkpoint: the file that keeps the state.

    Raises:
        LongCtxError: the checkpoint is damaged.
    """

    def __init__(
        self,
        model: TorchModel,
        mixture: Mixture,
        held_out: Mixture | None,
        recipe: Recipe,
        parts: Parts,
        checkpoint: Path,
    ) -> None:
        self._model, self._mixture, self._recipe = model, mixture, recipe
        self._held_out_mixture, self._parts, self._checkpoint = held_out, parts, checkpoint
        self._weights = matrices(model.module)
        model.module.zero_grad()
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self._loss: float | None = None
        self._held_out: list[HeldOut] = []
        self._is_between_steps = True
        self._ctrl_c = CtrlC()
        # A GPU is given the next step before it is asked how the last one went.
        self._losses: deque[Tensor] = deque()
        self._lag = 1 if model.device.type == "cuda" else 0
        if checkpoint.exists():
            self._restore(Checkpoint.read(checkpoint, model.device))

    @property
    def state(self) -> Checkpoint:
        """What it is behind its last step."""
        return Checkpoint(
            step=self.step,
            tokens=self.tokens,
            seconds=self.seconds,
            loss=self._loss,
            machine=_machine(self._model, self._parts),
            text_tokens=self._mixture.n_prose,
            weights={name: weight.detach() for name, weight in self._weights.items()},
            optimizer=self._optimizer.state_dict(),
            held_out=list(self._held_out),
        )

    def run(self, budget: Budget, on_progress: ProgressCallback | None = None) -> None:
        """Train to the end of the budget; Ctrl-C keeps what is done, a kill loses a minute.

        Raises:
            RequestError: the first steps say that the budget is too small.
            LongCtxError: the checkpoint cannot be written.
        """
        saved_at = self.seconds
        took: list[float] = []
        drawn = steps_from(self.step, self._mixture, self._recipe.seed, self._parts.n_tokens)
        with self._ctrl_c.held(), closing(drawn) as steps:
            try:
                while (done := budget.done(self.tokens, self.seconds)) < 1:
                    started = time.monotonic()
                    self._look(done)
                    self._train(next(steps), done)
                    took.append(time.monotonic() - started)
                    self.seconds += took[-1]
                    pace = mean(took[1:][-_PACE_STEPS:] or took)  # the first step warms up
                    if len(took) == JUDGED_AT:
                        budget.check(self.step, self.tokens, self.seconds, pace)
                    if on_progress is not None:
                        on_progress(self._progress(budget, pace))
                    if self.seconds - saved_at > _SAVE_EVERY_S:
                        self.save()
                        saved_at = self.seconds
                    self._ctrl_c.check()
                if self.step < LEAST_STEPS and took and self.tokens < (budget.tokens or math.inf):
                    budget.check(self.step, self.tokens, self.seconds, mean(took))
                if took:
                    self._look(1.0)
            except KeyboardInterrupt:
                if self._is_between_steps and self.step:
                    self.save()
                raise
        self.save()

    def save(self) -> None:
        """Write the state behind the last step, all of it or nothing.

        Raises:
            LongCtxError: it cannot be written.
        """
        self._settle(0)
        self.state.write(self._checkpoint)

    def _restore(self, saved: Checkpoint) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(saved.weights[name])
        self._optimizer.load_state_dict(saved.optimizer)
        self.step, self.tokens, self.seconds = saved.step, saved.tokens, saved.seconds
        self._loss, self._held_out = saved.loss, list(saved.held_out)

    def _train(self, step: Step, done: float) -> None:
        losses = []
        for batch in step.batches:
            with self._ctrl_c.at_once():
                loss = self._model.losses(batch.on(self._model.device)).sum() / step.weight
                loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            losses.append(loss.detach())
        torch.nn.utils.clip_grad_norm_(list(self._weights.values()), 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * _rate(done)
        self._losses.append(torch.stack(losses).sum())
        if self._lag == 0:
            self._settle(0)  # so that weights are not moved by what is no number
        self._is_between_steps = False
        self._optimizer.step()
        self.step += 1
        self.tokens += step.n_tokens
        self._is_between_steps = True
        self._optimizer.zero_grad()
        self._settle(self._lag)

    def _settle(self, lag: int) -> None:
        """Take in the losses of all steps but the last ``lag``."""
        while len(self._losses) > lag:
            loss = float(self._losses.popleft())
            if not math.isfinite(loss):
                raise RequestError(
                    f"the loss is {loss} by step {self.step}: training has run away. Give a "
                    f"smaller learning_rate than {self._recipe.learning_rate:g}, and another out "
                    "where some of it was kept"
                )
            self._loss = loss if self._loss is None else _smoothed(self._loss, loss)

    def _look(self, done: float) -> None:
        """At the text that is held out, a few times a run: always at the same sequences."""
        if self._held_out_mixture is None or len(self._held_out) > done / _HELD_OUT_EVERY:
            return
        rng = np.random.default_rng([self._recipe.seed, _HELD_OUT_SEED])
        step = step_of(self._held_out_mixture.step(rng), self._parts.n_tokens)
        nats = {True: [0.0, 0.0], False: [0.0, 0.0]}
        with self._ctrl_c.at_once(), torch.no_grad():
            for batch in step.batches:
                weighted = self._model.losses(batch.on(self._model.device)).cpu() / batch.weights
                for is_answer, total in nats.items():
                    chosen = (batch.weights != 1) == is_answer
                    total[0] += float(weighted[chosen].sum())
                    total[1] += int(chosen.sum())
        answers, prose = (nats[kind][0] / max(1.0, nats[kind][1]) for kind in (True, False))
        self._held_out.append(HeldOut(tokens=self.tokens, answers=answers, prose=prose))

    def _progress(self, budget: Budget, pace_s: float) -> FinetuneProgress:
        step_tokens = self.tokens / self.step
        return FinetuneProgress(
            step=self.step,
            tokens=self.tokens,
            seconds=self.seconds,
            loss=math.nan if self._loss is None else self._loss,
            tokens_per_s=step_tokens / pace_s if pace_s > 0 else 0.0,
            done=budget.done(self.tokens, self.seconds),
            eta_s=budget.left_s(self.tokens, self.seconds, pace_s / step_tokens),
        )


def _machine(model: TorchModel, parts: Parts) -> str:
    """Where a training runs, for its card."""
    device = model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    how = str(model.dtype).removeprefix("torch.")
    return f"{name}, {how}" + (", layers computed twice" if parts.checkpointed else "")


def _smoothed(smoothed: float, loss: float) -> float:
    return _SMOOTH * smoothed + (1 - _SMOOTH) * loss


def _rate(done: float) -> float:
    """Learning rate over its peak: warm up, then half a cosine down."""
    if done < _WARMUP:
        return (done + 1e-3) / (_WARMUP + 1e-3)
    fall = (done - _WARMUP) / (1 - _WARMUP)
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * fall))
