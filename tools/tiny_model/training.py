"""The training loop: a curriculum of windows, and a checkpoint from which a killed run goes on."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from longctx.files import replacing
from tools.tiny_model.corpus import training_lines
from tools.tiny_model.model import Gemma, Llama, Shape, model_of, shape_of
from tools.tiny_model.sequences import ANSWER_WEIGHT, SequenceMaker
from tools.tiny_model.vocabulary import Vocabulary

_SAVE_EVERY_S = 60.0
_REPORT_EVERY = 25  # steps
_WARMUP = 50  # steps
_DECAY_FROM, _LAST_RATE = 0.6, 0.03  # of the run, of the peak


@dataclass(frozen=True)
class Stage:
    """Until the run is ``until`` done: ``batch`` sequences of ``n_ctx`` tokens a step.

    ``shares`` are those of prose, recall and repetition. Induction heads form soonest on short
    windows, where a step is cheap and a fact is near.
    """

    until: float
    n_ctx: int
    batch: int
    shares: tuple[float, float, float]


STAGES = (
    Stage(0.25, 128, 16, (0.2, 0.4, 0.4)),
    Stage(0.4, 256, 8, (0.3, 0.5, 0.2)),
    Stage(1.0, 512, 8, (0.4, 0.5, 0.1)),
)


@dataclass(frozen=True)
class Budget:
    """The run ends with its tokens or its minutes, whichever come first.

    Windows and learning rate follow what is done of it; so a run that never lacks minutes
    depends on its seed alone, and one that does still sees each stage.
    """

    tokens: int
    minutes: float

    def done(self, tokens: int, seconds: float) -> float:
        """Return what is done of the run, 0 to 1."""
        return min(1.0, max(tokens / self.tokens, seconds / (60 * self.minutes)))


class Trainer:
    """Trains from scratch, or from the checkpoint in ``folder`` if there is one.

    Args:
        folder: where the checkpoint lies; made if it is missing.
        budget: how long.
        seed: of the weights and of the sequences of each step.
        shape: of the model, where it begins; None is the Llama's.
        device: torch's name of what computes.
    """

    def __init__(
        self,
        folder: Path,
        budget: Budget,
        seed: int,
        shape: Shape | None = None,
        *,
        device: str = "cpu",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / "checkpoint.pt"
        self._budget, self._seed = budget, seed
        torch.manual_seed(seed)
        lines = training_lines()
        saved = load_checkpoint(self.checkpoint) if self.checkpoint.exists() else None
        self.vocabulary = Vocabulary(saved["vocabulary"]) if saved else Vocabulary.train(lines)
        self.maker = SequenceMaker(self.vocabulary, lines)
        self._device = device
        self.model = model_of(shape_of(saved["shape"]) if saved else shape or Shape()).to(device)
        self._optimizers = _optimizers(self.model)
        self._peaks = [optimizer.param_groups[0]["lr"] for optimizer in self._optimizers]
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        if saved:
            self.step, self.tokens = saved["step"], saved["tokens"]
            self.seconds = saved["seconds"]
            self.model.load_state_dict(saved["model"])
            for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)

    def run(self) -> None:
        """Train to the end of the budget; a run that is killed loses a minute at most."""
        losses: list[tuple[float, float]] = []
        saved_at = self.seconds
        while (done := self._budget.done(self.tokens, self.seconds)) < 1:
            started = time.monotonic()
            losses.append(self._train_step(done))
            self.seconds += time.monotonic() - started
            if self.step % _REPORT_EVERY == 0:
                self._report(done, losses)
                losses.clear()
            if self.seconds - saved_at > _SAVE_EVERY_S:
                self.save()
                saved_at = self.seconds
        self.save()

    def save(self) -> None:
        """Write the checkpoint, all of it or nothing."""
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "shape": asdict(self.model.shape),
            "vocabulary": self.vocabulary.serialize(),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        with replacing(self.checkpoint) as part:
            torch.save(state, part)

    def _train_step(self, done: float) -> tuple[float, float]:
        """One step; returns the loss of prose and that of answers, in nats a token."""
        stage = next(stage for stage in STAGES if done < stage.until)
        rng = np.random.default_rng([self._seed, self.step])
        batch = self.maker.batch(rng, stage.batch, stage.n_ctx, stage.shares)
        ids = torch.from_numpy(batch.ids).to(self._device)
        weights = torch.from_numpy(batch.weights[:, 1:]).flatten().to(self._device)
        for optimizer, peak in zip(self._optimizers, self._peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * _rate(self.step, done)
        logits = self.model(ids[:, :-1]).flatten(0, 1)
        nll = F.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
        ((nll * weights).sum() / weights.sum()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.tokens += stage.batch * stage.n_ctx
        nll = nll.detach()
        return float(nll[weights == 1].mean()), float(nll[weights == ANSWER_WEIGHT].mean())

    def _report(self, done: float, losses: list[tuple[float, float]]) -> None:
        prose, answers = np.nanmean(np.array(losses), axis=0)
        print(
            f"{done:6.1%}  {self.seconds / 60:5.1f} min  step {self.step:6,}  "
            f"{self.tokens / 1e6:5.2f} M tokens  "
            f"loss: text {prose:.3f}, answers {answers:.3f} nats a token",
            flush=True,
        )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return what :meth:`Trainer.save` wrote."""
    saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return saved


def _optimizers(model: Llama | Gemma) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for the matrices learns twice as much a step as AdamW did here."""
    matrices = [weight for weight in model.blk.parameters() if weight.ndim == 2]
    others = [weight for weight in model.parameters() if all(weight is not m for m in matrices)]
    return [
        torch.optim.Muon(matrices, lr=5e-3, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def _rate(step: int, done: float) -> float:
    """Learning rate over its peak: warm up, stay, fall to the end."""
    fall = max(0.0, (done - _DECAY_FROM) / (1 - _DECAY_FROM))
    return min(1.0, (step + 1) / _WARMUP) * (1 - (1 - _LAST_RATE) * fall)
