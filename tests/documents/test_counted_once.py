"""A question tokenises the documents that it reads at most once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM
from longctx.documents import DocumentQA
from longctx.prompt import Prompt
from longctx.testing import ScriptedChatModel
from longctx.tokens import ModelTokenizer
from longctx.types import Composed, Messages
from tests.conftest import TinyGguf
from tests.support.counting import MeteredModel

NAMES = ("oak", "elm", "ash", "yew")


def text(name: str) -> str:
    """Some 4,000 characters, each paragraph another."""
    lines = (f"The {name} number {n} has {n * 7919 % 997} leaves, and bark." for n in range(90))
    return "\n\n".join(lines)


class Scripted(ScriptedChatModel):
    """Counts with a real model's template and tokenizer, and answers from a script."""

    def __init__(self, llm: LongContextLLM) -> None:
        super().__init__(["As it says."] * 99, target_ctx=llm.target_ctx, reserve_output=64)
        self._llm = llm

    def count(self, text: str | Messages, tools: Any = None) -> int:
        """By the real model."""
        return self._llm.count(text, tools)

    def prompt(self, messages: Messages, tools: Any = None) -> Prompt:
        """By the real model."""
        return self._llm.prompt(messages, tools)

    def compose(self, messages: Messages, passages: Any, **options: Any) -> Composed:
        """By the real model."""
        return self._llm.compose(messages, passages, **options)


@pytest.fixture(scope="module")
def llm(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """Noise with a window that holds all documents."""
    path = tiny_gguf("llama", n_ctx_train=16_384)
    with LongContextLLM(path, 16_384, n_threads=1, reserve_output=64) as model:
        yield model


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that goes through the tokenizer."""
    texts: list[str] = []
    encode = ModelTokenizer.encode
    monkeypatch.setattr(
        ModelTokenizer,
        "encode",
        lambda self, text, **options: texts.append(text) or encode(self, text, **options),
    )
    return texts


def library(model: Any, **options: Any) -> DocumentQA:
    """Four documents, all of whose passages mean the same to the embedder."""
    qa = DocumentQA(model, embedder=lambda texts: np.ones((len(texts), 2)), **options)
    for name in NAMES:
        qa.add(text(name), doc_id=name)
    return qa


def most_often(qa: DocumentQA, encoded: list[str]) -> int:
    """How often that line of the documents was tokenised that was most often."""
    everything = "\n".join(encoded)
    lines = (line for document in qa.documents for line in document.text.split("\n\n"))
    return max(everything.count(line) for line in lines)


@pytest.mark.parametrize("options", [{}, {"strategy": "whole"}, {"compose": 4}])
def test_all_of_them_in_the_window(
    llm: LongContextLLM, encoded: list[str], options: dict[str, Any]
) -> None:
    """Budget, prompt, report and passages take one tokenisation."""
    qa = library(Scripted(llm), **options)
    for question in ("How many leaves has the elm number 7?", f"And the yew? {options}"):
        encoded.clear()
        answer = qa.ask(f"{question} {options}")
        assert answer.strategy == "whole"
        assert most_often(qa, encoded) == 1


@pytest.mark.parametrize(("strategy", "most"), [("retrieve", 2), ("map_reduce", 1), ("refine", 1)])
def test_a_window_at_a_time(
    llm: LongContextLLM, encoded: list[str], strategy: str, most: int
) -> None:
    """What is in the windows, once; retrieval once more where the next chunk may fit."""
    qa = library(Scripted(llm), strategy=strategy, budget_tokens=2048)
    qa.ask("How many leaves?")  # chunks are cut when they are first needed
    for question in ("How many leaves has the elm number 7?", "And the yew?"):
        encoded.clear()
        qa.ask(question)
        assert 1 <= most_often(qa, encoded) <= most


def test_what_is_surely_too_large_is_not_counted_together() -> None:
    """The documents' own counts say it; near the limit the exact count of all does."""
    model = MeteredModel(ScriptedChatModel(["x"] * 9, target_ctx=1000))
    qa = library(model)
    question = "How many leaves has the elm number 7?"
    answer = qa.ask(question)
    tokens = sum(model.count(text(name)) for name in NAMES)
    assert answer.strategy == "retrieve"
    assert "4 documents and the answer are " in answer.report.reason
    whole = [m for m in model.conversations if len(m[1].content) > sum(len(text(n)) for n in NAMES)]
    assert not whole

    exact = library(ScriptedChatModel(["x"], target_ctx=10_000)).ask(question).report.prompt_tokens
    for room, strategy in ((exact, "whole"), (exact - 1, "retrieve")):
        near = library(ScriptedChatModel(["x"], target_ctx=room + 64, reserve_output=64))
        answer = near.ask(question)
        assert answer.strategy == strategy
        assert f"{exact + 64:,} tokens" in answer.report.reason
    assert exact > tokens


def test_a_model_without_prompts_is_asked_for_each_count_once() -> None:
    """No conversation is counted twice; over a network each count is a request."""
    for strategy, target_ctx in (
        ("whole", 20_000), ("retrieve", 1000), ("map_reduce", 1000), ("refine", 1000),
    ):  # fmt: skip
        model = MeteredModel(ScriptedChatModel(["It says so."] * 99, target_ctx=target_ctx))
        library(model, strategy=strategy).ask("How many leaves?")
        shown = [tuple(message.content for message in c) for c in model.conversations]
        assert len(shown) == len(set(shown))
