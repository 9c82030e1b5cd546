"""What the small model under tests/models is for, shown by llama.cpp through longctx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from longctx import LongContextLLM, ModelInfo
from tools.tiny_model import training
from tools.tiny_model.corpus import held_out_lines
from tools.tiny_model.export import write_gguf
from tools.tiny_model.measure import MARGIN, MODEL, Meter
from tools.tiny_model.training import Budget, Stage, Trainer, load_checkpoint

WINDOW = 512
TWICE = 2 * WINDOW
MORE = 3 * WINDOW  # as a target: s = 3, which on texts of TWICE is one and a half times the ratio


def load(target_ctx: int, method: str = "auto", window: str = "fixed") -> LongContextLLM:
    """The model with a window."""
    return LongContextLLM(
        MODEL, target_ctx, method=method, window=window, reserve_output=MARGIN, n_threads=1
    )


@pytest.fixture(scope="module")
def inside() -> Iterator[Meter]:
    """The model in its trained window."""
    with load(WINDOW) as llm:
        yield Meter(llm)


@pytest.fixture(scope="module")
def unscaled() -> Iterator[Meter]:
    """The model at twice its window as it is."""
    with load(TWICE, "none") as llm:
        yield Meter(llm)


@pytest.fixture(scope="module")
def scaled() -> Iterator[Meter]:
    """The model at twice its window with NTK-aware scaling for three times."""
    with load(MORE, "ntk") as llm:
        yield Meter(llm)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is read in no time, and small steps."""
    monkeypatch.setattr(training, "training_lines", held_out_lines)
    monkeypatch.setattr(training, "STAGES", (Stage(1.0, 64, 2, (0.4, 0.3, 0.3)),))


def test_training_goes_on_where_it_was_killed(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after two steps and started again, it ends with the weights of an unbroken run."""
    budget = Budget(steps=4, minutes=60)
    unbroken = Trainer(tmp_path / "unbroken", budget, seed=1)
    unbroken.run()

    killed = Trainer(tmp_path / "killed", budget, seed=1)
    batch = killed._maker.batch

    def die_at_step_2(*arguments: object) -> object:
        if killed.step == 2:
            raise KeyboardInterrupt
        return batch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(killed._maker, "batch", die_at_step_2)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = Trainer(tmp_path / "killed", budget, seed=1)
    assert again.step == 2
    again.run()
    for name, weight in unbroken.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], weight, msg=name)


def test_the_file_computes_what_was_trained(tmp_path: Path, quick: None) -> None:
    """A checkpoint's GGUF tokenizes as the trainer does, and scores as torch does."""
    trainer = Trainer(tmp_path, Budget(steps=3, minutes=60), seed=2)
    trainer.run()
    path = tmp_path / "model.gguf"
    write_gguf(load_checkpoint(trainer.checkpoint), path)
    text = "\n".join(held_out_lines()[:25]) + "\nThe code of room 7 is 4821. é 漢\n"
    ids = [trainer.vocabulary.bos, *trainer.vocabulary.encode(text)]
    with torch.no_grad():
        logits = trainer.model(torch.tensor([ids]))[0].log_softmax(-1).numpy()
    expected = -logits[np.arange(len(ids) - 1), ids[1:]]
    with LongContextLLM(path, WINDOW * 2, method="none", reserve_output=0, n_threads=1) as llm:
        assert llm.tokenize(text) == ids[1:]
        np.testing.assert_allclose(llm.score(text), expected, atol=0.02)
