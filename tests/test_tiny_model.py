"""What the small model under tests/models is for, shown by llama.cpp through longctx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from longctx import LongContextLLM, ModelInfo
from tests.support.thorough import quick as quick_rows
from tests.support.thorough import thorough
from tools.tiny_model import training
from tools.tiny_model.corpus import held_out_lines
from tools.tiny_model.export import write_gguf
from tools.tiny_model.measure import MARGIN, MODEL, Meter
from tools.tiny_model.model import GemmaShape, Shape
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


def test_it_is_small() -> None:
    """1 to 4 million parameters, a few megabytes, and a RoPE as large models have it."""
    info = ModelInfo.from_gguf(MODEL)
    assert info.file_bytes < 6_000_000
    assert 1_000_000 < info.weights_bytes / 2 < 4_000_000
    assert (info.n_ctx_train, info.head_dim, info.rope_freq_base) == (WINDOW, 64, 10_000)
    assert info.scaling_support == "full"


@thorough
def test_ntk_holds_the_perplexity_that_explodes_without(inside: Meter) -> None:
    """At four times the window it doubles unscaled; with NTK it stays where it was inside."""
    low = inside.perplexity(WINDOW - MARGIN)
    assert low < 14
    with load(4 * WINDOW, "none") as llm:
        assert Meter(llm).perplexity(4 * WINDOW - MARGIN) > 2 * low
    with load(6 * WINDOW, "ntk") as llm:
        assert Meter(llm).perplexity(4 * WINDOW - MARGIN) < 1.25 * low


@thorough
def test_the_scale_factor_is_a_compromise(inside: Meter) -> None:
    """Too small an s leaves the end of the window bad; each s costs a little on short text."""
    short = [inside.perplexity(WINDOW - MARGIN)]
    long = []
    for s in (2, 4, 6):
        with load(s * WINDOW, "ntk") as llm:
            meter = Meter(llm)
            short.append(meter.perplexity(WINDOW - MARGIN))
            if s > 2:
                long.append(meter.perplexity(4 * WINDOW - MARGIN))
    assert short == sorted(short)
    assert short[-1] < 1.15 * short[0]
    assert long[0] > long[1]


@thorough
def test_linear_scaling_costs_more_than_ntk(inside: Meter) -> None:
    """Position Interpolation blurs the neighbourhood, which only fine-tuning can mend."""
    with load(TWICE, "linear") as llm:
        assert Meter(llm).perplexity(TWICE - MARGIN) > 2 * inside.perplexity(WINDOW - MARGIN)


@pytest.mark.parametrize(
    ("kind", "n_facts"), quick_rows([("passkey", 1), ("room", 3)], ("room", 3))
)
def test_facts_beyond_the_window_are_found_with_scaling_only(
    inside: Meter, unscaled: Meter, scaled: Meter, kind: str, n_facts: int
) -> None:
    """Facts more than a trained window back: exact answers, and nats a digit (2.30 is chance)."""
    near = inside.recall(kind, n_facts, WINDOW - MARGIN, 12)
    lost = unscaled.recall(kind, n_facts, TWICE - MARGIN, 12, deepest=0.4)
    found = scaled.recall(kind, n_facts, TWICE - MARGIN, 12, deepest=0.4)
    assert near.exact >= 0.9
    assert lost.exact <= 0.3
    assert found.exact >= 0.9
    assert found.nats < 0.1 < 1.0 < lost.nats


@pytest.mark.parametrize("method", quick_rows(["ntk-by-parts", "yarn", "self-extend"], "yarn"))
def test_the_other_methods_find_them_as_well(method: str) -> None:
    """At the formula's own s."""
    with load(TWICE, method) as llm:
        assert Meter(llm).recall("passkey", 1, TWICE - MARGIN, 6, deepest=0.4).exact == 1


def test_an_elastic_window_finds_them_too(unscaled: Meter) -> None:
    """Fed piece by piece, the window grows from the trained one, and the re-rotated keys answer."""
    nats = []
    with load(MORE, "ntk", "elastic") as llm:
        for seed in range(8):
            rng = np.random.default_rng(seed)
            text, value = unscaled.trial(rng, "passkey", 1, TWICE - MARGIN, deepest=0.4)
            with_bos = llm.session()
            with_bos.feed("\n")
            ids = llm.tokenize(text)
            for begin in range(0, len(ids), 100):
                with_bos.feed(ids[begin : begin + 100])
            assert with_bos.n_ctx > WINDOW
            assert with_bos.prefilled_again == 0
            nats.append(with_bos.next_nll(llm.tokenize(f" {value}"))[1:].mean())
            with_bos.close()
    assert np.median(nats) < 0.1


def test_it_answers_in_a_conversation() -> None:
    """Through the chat template, inside the window, to the end of the turn."""
    with load(WINDOW) as llm:
        text = "\n".join(held_out_lines()[:8])
        text += "\nThe code of room 7 is 4821.\nThe code of room 52 is 9034.\n"
        question = f"{text}What is the code of room 7?"
        answer = llm.chat([{"role": "user", "content": question}], max_tokens=MARGIN)
    assert answer.text == "The code of room 7 is 4821."
    assert answer.finish_reason == "stop"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A text that is read in no time, steps of 128 tokens, and no thread that waits spinning."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(training, "training_lines", held_out_lines)
    monkeypatch.setattr(training, "STAGES", (Stage(1.0, 64, 2, (0.4, 0.3, 0.3)),))
    yield
    torch.set_num_threads(n_threads)


def test_training_goes_on_where_it_was_killed(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after two steps and started again, it ends with the weights of an unbroken run."""
    budget = Budget(tokens=4 * 128, minutes=60)
    unbroken = Trainer(tmp_path / "unbroken", budget, seed=1)
    unbroken.run()

    killed = Trainer(tmp_path / "killed", budget, seed=1)
    batch = killed.maker.batch

    def die_at_step_2(*arguments: object) -> object:
        if killed.step == 2:
            raise KeyboardInterrupt
        return batch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(killed.maker, "batch", die_at_step_2)
    monkeypatch.setattr(training, "_SAVE_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = Trainer(tmp_path / "killed", budget, seed=1)
    assert again.step == 2
    again.run()
    for name, weight in unbroken.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], weight, msg=name)


@pytest.mark.parametrize("shape", [Shape(), GemmaShape()])
def test_the_file_computes_what_was_trained(tmp_path: Path, quick: None, shape: Shape) -> None:
    """A checkpoint's GGUF tokenizes as the trainer does, and scores as torch does, layers that
    slide too."""
    trainer = Trainer(tmp_path, Budget(tokens=3 * 128, minutes=60), seed=2, shape=shape)
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
