"""Documents prefilled alone, and put side by side."""

from __future__ import annotations

import pytest

from longctx import LongContextLLM, RequestError
from longctx.documents import DocumentQA
from longctx.testing import ScriptedChatModel
from tests.conftest import TinyGguf


def test_subsets_of_a_library(tiny_gguf: TinyGguf) -> None:
    """After the first question any subset prefills little, and the usage says so."""
    with LongContextLLM(tiny_gguf("llama", n_ctx_train=4096), 4096, n_threads=1) as llm:
        qa = DocumentQA(llm, compose=4)
        for name in ("oak", "elm", "ash", "yew"):
            qa.add(f"The {name} is a tree. It has leaves and bark. " * 12, doc_id=name)
        seen = []
        first = qa.ask("Which?", max_tokens=2, on_progress=seen.append)
        assert first.usage.prefilled_tokens > 0.9 * first.usage.prompt_tokens
        assert first.usage.cached_tokens >= 0
        assert seen
        for names in (["elm", "yew"], ["ash"], ["oak", "ash", "yew"]):
            answer = qa.ask("Which of these?", max_tokens=2, doc_ids=names)
            assert answer.usage.prefilled_tokens < 0.6 * answer.usage.prompt_tokens
            assert [d.doc_id for d in answer.report.documents] == sorted(
                names, key=["oak", "elm", "ash", "yew"].index
            )


@pytest.mark.parametrize("compose", [-1, "yes", 0.5])
def test_nonsense_is_refused(tiny_gguf: TinyGguf, compose: object) -> None:
    """When it is constructed, not at the first question."""
    with (
        LongContextLLM(tiny_gguf(), 1024, n_threads=1, reserve_output=8) as llm,
        pytest.raises(RequestError, match="compose"),
    ):
        DocumentQA(llm, compose=compose)  # type: ignore[arg-type]  # what it is about


def test_it_needs_a_model_that_can() -> None:
    """The message says what to do."""
    with pytest.raises(RequestError, match="LongContextLLM"):
        DocumentQA(ScriptedChatModel(["yes"]), compose=16)
