"""Every measure, whole, on a model of noise: lengths, seeds, results, plots, refusals."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from longctx import (
    ContextOverflowError,
    DocumentError,
    LongContextLLM,
    MissingExtraError,
    Progress,
    RequestError,
)
from longctx.evaluate import (
    EvaluationResult,
    NeedleResult,
    PasskeyResult,
    PerplexityResult,
    RecallResult,
    RulerResult,
    compress,
    needle,
    passkey,
    perplexity,
    recall,
    ruler,
    stream,
)
from longctx.evaluate.measures.compress import TextKind
from longctx.evaluate.prompts.ruler import TASKS
from tests.conftest import TinyGguf
from tests.models import TINY
from tests.support.thorough import quick

Measure = Callable[..., EvaluationResult]


@pytest.fixture(scope="module")
def llm(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """A window of 4,096 tokens of noise, trained for as many."""
    path = tiny_gguf(n_ctx_train=4096)
    with LongContextLLM(path, 4096, reserve_output=16, n_threads=1) as llm:
        yield llm


MEASURES: dict[str, Measure] = {
    "perplexity": lambda llm, **o: perplexity(llm, 700, stride=64, **o),
    "sliding": lambda llm, **o: perplexity(llm, 700, stride=64, context=256, **o),
    "recall": lambda llm, **o: recall(llm, 900, n_facts=4, **o),
    "passkey": lambda llm, **o: passkey(llm, [500, 700], depths=(0, 1), trials=2, **o),
    "needle": lambda llm, **o: needle(llm, [500, 700], depths=(0, 0.5), trials=1, **o),
    "ruler": lambda llm, **o: ruler(llm, [900], tasks=("niah_single", "fwe"), samples=1, **o),
}


@pytest.mark.parametrize("name", quick(MEASURES, "perplexity", "recall"))
def test_seeds_reproduce_results_and_progress_ends(
    llm: LongContextLLM, tmp_path: Path, name: str
) -> None:
    """The same seed the same result; another seed another text; JSON and plots hold it."""
    seen: list[Progress] = []
    first = MEASURES[name](llm, seed=4, on_progress=seen.append)
    done = [progress.done_tokens for progress in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].total_tokens
    assert type(first).model_validate_json(first.model_dump_json()) == first
    again, other = MEASURES[name](llm, seed=4), MEASURES[name](llm, seed=5)
    # Likelihoods differ in their last digits with what the cache held; texts do not.
    assert _texts(again) == _texts(first)
    assert _texts(other) != _texts(first)
    assert first.subject.model in repr(first)
    for suffix in ("png", "svg"):
        first.plot(tmp_path / f"plot.{suffix}")
        assert (tmp_path / f"plot.{suffix}").stat().st_size > 5000
    first.plot_all([first, other], tmp_path / "both.png")
    assert len(first.table([first, other]).splitlines()) > len(repr(first).splitlines())


def _texts(result: EvaluationResult) -> Any:
    """What a result says of its texts."""
    if isinstance(result, PerplexityResult):
        return [round(point.perplexity) for point in result.points]
    if isinstance(result, RecallResult):
        return [(fact.name, fact.depth) for fact in result.facts]
    if isinstance(result, RulerResult):
        return [sample.references for score in result.scores for sample in score.samples]
    assert isinstance(result, PasskeyResult | NeedleResult)
    return [(t.prompt_tokens, t.expected) for cell in result.cells for t in cell.trials]


def test_perplexity_is_that_of_the_scores(llm: LongContextLLM) -> None:
    """Against one `score` of the whole text: the strides before each mark."""
    text = "the cat sat on the mat and the dog saw it. " * 40
    ids = llm.tokenize(text)
    result = perplexity(llm, len(ids), marks=[100, 130, len(ids)], stride=50, text=text)
    nll = llm.score(ids)
    points = result.points
    assert [point.n_scored for point in points] == [50, 30, 50]
    for point in points:
        scored = nll[point.mark - point.n_scored - 1 : point.mark - 1]
        assert np.log(point.perplexity) == pytest.approx(scored.mean(), abs=0.02)
    everything = sum(np.log(point.perplexity) * point.n_scored for point in points) / 130
    assert np.log(result.perplexity) == pytest.approx(everything, abs=1e-5)


def test_a_sliding_window_sees_its_context_alone(llm: LongContextLLM) -> None:
    """Each stride is scored as if the text began a window before its end."""
    text = "the cat sat on the mat and the dog saw it, or the bird in the tree. " * 20
    ids = llm.tokenize(text)
    result = perplexity(llm, len(ids), context=120, stride=40, text=text)
    assert [point.mark for point in result.points] == list(range(120, len(ids) + 1, 40))
    point = result.points[3]
    alone = llm.score(ids[point.mark - 120 : point.mark])[-40:]
    assert np.log(point.perplexity) == pytest.approx(alone.mean(), abs=0.02)


def test_an_elastic_window_grows_along_the_way(tiny_gguf: TinyGguf) -> None:
    """Before its first growth it predicts as the unscaled model does; a fixed one does not."""
    path, found = tiny_gguf(n_ctx_train=1024), {}
    for window in ("elastic", "fixed"):
        with LongContextLLM(
            path, 4096, method="linear", window=window, reserve_output=16, n_threads=1
        ) as llm:
            found[window] = perplexity(llm, 4096, marks=[900, 4000], stride=64)
    with LongContextLLM(path, 1024, reserve_output=16, n_threads=1) as llm:
        ids = llm.tokenize(_reference())
        unscaled = perplexity(llm, 900, marks=[900], stride=64, text=_stretch(llm, ids))
    at_900 = {window: result.points[0].perplexity for window, result in found.items()}
    assert at_900["elastic"] == pytest.approx(unscaled.points[0].perplexity, rel=0.01)
    assert at_900["fixed"] != pytest.approx(at_900["elastic"], rel=0.01)
    assert "elastic" in repr(found["elastic"])
    assert "elastic" not in repr(found["fixed"])


def test_prompts_fill_their_lengths_and_depths(llm: LongContextLLM) -> None:
    """Exact counts: never more than the length, at most a few tokens less."""
    keys = passkey(llm, [400, 1000], depths=(0.0, 0.5, 1.0), trials=2)
    needles = needle(llm, [400, 1000], depths=(0.0, 0.5, 1.0), trials=2)
    for result, answer_tokens in ((keys, 16), (needles, 32)):
        assert result.lengths == (400, 1000)
        assert result.depths == (0.0, 0.5, 1.0)
        for cell in result.cells:
            for trial in cell.trials:
                assert 0 <= cell.length - answer_tokens - trial.prompt_tokens <= 8
        expected = {trial.expected for cell in result.cells for trial in cell.trials}
        assert len(expected) == 2


def test_every_task_of_ruler_fills_its_length(llm: LongContextLLM) -> None:
    """To within one unit of the task: a line of noise or of a needle, a document, a word."""
    units = {"vt": 100, "niah_single_1": 100, "niah_multikey_2": 80, "niah_multikey_3": 160}
    units |= {"qa_1": 200, "qa_2": 200}
    result = ruler(llm, [2000], samples=1)
    assert result.tasks == tuple(TASKS)
    assert result.effective_window is None
    for score in result.scores:
        (sample,) = score.samples
        room = 2000 - TASKS[score.task].answer_tokens
        assert 0 <= room - sample.prompt_tokens <= units.get(score.task, 32)
        assert score.score == 100 * sample.score
        assert score.low <= score.score <= score.high
    low, high = result.interval(2000)
    assert low < result.mean(2000) + 1e-9 < high
    assert ruler(llm, [900], tasks=["fwe"], samples=1, threshold=0).effective_window == 900


def test_ruler_ends_with_its_budget_and_asks_in_plain_text(llm: LongContextLLM) -> None:
    """Out of time, every task has one sample; prompts end with the beginning of the answer, or
    with the question, and are longer by what a template adds."""
    tasks = ["niah_single", "qa_1"]
    made = [
        ruler(llm, [900], tasks=tasks, samples=9, budget_s=0, plain_text=plain, begin_answers=begin)
        for plain, begin in [(False, True), (True, True), (True, False)]
    ]
    for result in made:
        assert result.tasks == ("niah_single_2", "qa_1")
        assert [len(score.samples) for score in result.scores] == [1, 1]
    # The room is the same, so that what is not in the frame is in the haystack.
    assert all(each.scores[0].samples[0].prompt_tokens >= 900 - 128 - 4 for each in made)
    answers = {each.scores[0].samples[0].answer for each in made}
    assert len(answers) > 1
    # Another that had more time: the table says how many there are of each.
    twice = [s.model_copy(update={"samples": 2 * s.samples}) for s in made[0].scores]
    longer = made[0].model_copy(update={"scores": tuple(twice)})
    assert "samples of each: 1" in made[0].tabulate(made).title
    assert "samples of each: 1 to 2" in made[0].tabulate([longer, made[1]]).title


def test_recall_asks_from_one_prefill(llm: LongContextLLM) -> None:
    """Noise knows nothing: about the likelihood of any token, and no exact answer."""
    result = recall(llm, 1500, n_facts=6)
    assert [round(fact.depth, 2) for fact in result.facts] == sorted(
        round(fact.depth, 2) for fact in result.facts
    )
    assert result.exact == 0
    assert result.mean_nats > result.chance_nats == pytest.approx(np.log(10))
    assert recall(llm, 1500, n_facts=6).mean_nats == pytest.approx(result.mean_nats, abs=0.02)


def test_greedy_continuation_is_what_generate_writes(llm: LongContextLLM) -> None:
    """Token by token, and nothing of it stays in the session."""
    text = "the cat sat on the mat and"
    session = llm.session()
    session.feed(text)
    before = session.tokens
    written = llm.detokenize(session.greedy(8))
    assert session.tokens == before
    assert llm.generate(text, max_tokens=8).text.rstrip("\ufffd") in written
    session.close()


def test_a_stream_slides_past_its_window(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Four windows of text: every stride has its point, and the rest was dropped."""
    with LongContextLLM(
        tiny_gguf(), 512, overflow="slide", n_keep=4, reserve_output=16, n_threads=1
    ) as llm:
        result = stream(llm, stride=100)
        assert [point.mark for point in result.points][-2:] == [2000, 2048]
        assert (result.length, result.n_keep) == (2048, 4)
        assert 2048 - 512 <= result.dropped_tokens < 2048
        assert "4 sinks" in repr(result)
        result.plot(tmp_path / "stream.png")
        with pytest.raises(RequestError, match="stride"):
            stream(llm, stride=1)


@pytest.mark.parametrize("kind", ["dense", "code"])
def test_a_compressed_cache_beside_the_whole_one(kind: TextKind) -> None:
    """One text, some shares of it, and what each head's own choice is worth."""
    length = 480 if kind == "dense" else 1200
    with LongContextLLM(TINY, 1400, method="none", window="fixed", n_threads=1) as llm:
        result = compress(llm, length, kind=kind, keeps=[0.75, 0.4])
    ways = [(score.method, score.keep) for score in result.scores]
    assert ways == [
        ("whole", 1.0), ("keydiff", 0.75), ("keydiff", 0.4), ("latest", 0.75), ("latest", 0.4),
    ]  # fmt: skip
    whole, most, some, *_, latest = result.scores
    assert result.n_questions == (3 if kind == "dense" else 2)
    assert most.n_bytes == pytest.approx(0.75 * whole.n_bytes, rel=0.01)
    assert most.perplexity < 1.1 * whole.perplexity
    if kind == "dense":
        assert some.nats < latest.nats - 1  # of a window that slid, most facts are gone
        assert most.nats < whole.nats + 0.3
    assert "keydiff" in repr(result)


NONSENSE: list[tuple[type[Exception], Measure]] = [
    (RequestError, lambda llm: perplexity(llm, 0)),
    (RequestError, lambda llm: perplexity(llm, 100.5)),
    (RequestError, lambda llm: perplexity(llm, 100, stride=0)),
    (RequestError, lambda llm: perplexity(llm, 100, marks=[])),
    (RequestError, lambda llm: perplexity(llm, 100, marks=[50, 20])),
    (RequestError, lambda llm: perplexity(llm, 100, marks=[200])),
    (RequestError, lambda llm: perplexity(llm, 100, seed=-1)),
    (RequestError, lambda llm: compress(llm, 480, kind=cast(Any, "rare"))),
    (RequestError, lambda llm: compress(llm, 480, kind="dense", methods=["best"])),
    (RequestError, lambda llm: compress(llm, 480, kind="dense", keeps=[75])),
    (RequestError, lambda llm: compress(llm, 200, kind="dense")),
    (ContextOverflowError, lambda llm: compress(llm, 5000)),
    (RequestError, lambda llm: perplexity(llm, 100, stride=50, context=50)),
    (ContextOverflowError, lambda llm: perplexity(llm, 5000)),
    (ContextOverflowError, lambda llm: perplexity(llm, 9000, context=5000)),
    (DocumentError, lambda llm: perplexity(llm, 100, text="too short")),
    (ContextOverflowError, lambda llm: recall(llm, 5000)),
    (ContextOverflowError, lambda llm: recall(llm, 100)),
    (DocumentError, lambda llm: recall(llm, text="too short")),
    (RequestError, lambda llm: recall(llm, n_facts=101)),
    (RequestError, lambda llm: passkey(llm, [])),
    (RequestError, lambda llm: passkey(llm, [10])),
    (RequestError, lambda llm: passkey(llm, [500], depths=[2])),
    (RequestError, lambda llm: passkey(llm, [500], depths=[])),
    (RequestError, lambda llm: passkey(llm, [500], depths=["deep"])),
    (RequestError, lambda llm: passkey(llm, [500], trials=0)),
    (ContextOverflowError, lambda llm: passkey(llm, [100])),
    (ContextOverflowError, lambda llm: passkey(llm, [500, 5000])),
    (DocumentError, lambda llm: needle(llm, [500], text="too short")),
    (RequestError, lambda llm: ruler(llm, [900], tasks=["qa"])),
    (RequestError, lambda llm: ruler(llm, [900], tasks=[])),
    (RequestError, lambda llm: ruler(llm, [900], samples=0)),
    (ContextOverflowError, lambda llm: ruler(llm, [5000])),
    (DocumentError, lambda llm: ruler(llm, [900], tasks=["cwe"], text="the same words " * 400)),
    (RequestError, lambda llm: stream(llm)),
]


@pytest.mark.parametrize("case", range(len(NONSENSE)))
def test_nonsense_is_a_typed_error(llm: LongContextLLM, case: int) -> None:
    """Before any prefill, and the model still works."""
    error, measure = NONSENSE[case]
    with pytest.raises(error):
        measure(llm)


def test_plots_that_cannot_be(
    llm: LongContextLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown suffix, a missing folder, a missing matplotlib: what to do is in the error."""
    result = perplexity(llm, 100, stride=20)
    with pytest.raises(RequestError, match=r"\.png"):
        result.plot(tmp_path / "plot.docx")
    with pytest.raises(RequestError, match="no such folder"):
        result.plot(tmp_path / "missing" / "plot.png")
    real_import = builtins.__import__

    def without_matplotlib(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(MissingExtraError, match="eval"):
        result.plot(tmp_path / "plot.png")


def _reference() -> str:
    from longctx.evaluate import python_reference

    return python_reference()


def _stretch(llm: LongContextLLM, ids: list[int]) -> str:
    """The first 900 tokens of what a window of 4,096 reads at seed 0."""
    from longctx.evaluate.prompts.texts import stretch

    return llm.detokenize(stretch(ids, 4096, 0)[:900])
