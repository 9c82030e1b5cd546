"""Chat templates of real files: chosen, judged, and held to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM, TemplateError
from longctx.agents import Agent
from longctx.documents import DocumentQA
from tests.chat import shapes
from tests.chat.call_shapes import CALL_SHAPES
from tests.chat.conversations import TOOL
from tests.conftest import TinyGguf
from tests.models import TINY

ASK = {"role": "user", "content": "What is the capital of France?"}
BRIEF = {"role": "system", "content": "Be brief."}
GEMMA = shapes.NO_SYSTEM["refuses it (Gemma 2)"]


def opened(path: Path, **options: Any) -> LongContextLLM:
    """A tiny model, quick to open."""
    return LongContextLLM(path, 1024, reserve_output=8, n_threads=1, **options)


@pytest.fixture(scope="module")
def gemma(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """A model whose template refuses system messages."""
    with opened(tiny_gguf(chat_template=GEMMA)) as llm:
        yield llm


def prompt(llm: LongContextLLM, messages: list[Any], tools: list[Any] | None = None) -> str:
    """What would be prefilled, control tokens left out."""
    return llm.detokenize(llm.prompt_ids(messages, tools))


@pytest.mark.parametrize("name", shapes.LOSES_QUESTIONS)
def test_lost_words_are_in_the_plan_and_an_error(
    name: str, tiny_gguf: TinyGguf, caplog: pytest.LogCaptureFixture
) -> None:
    """Said when the model is opened, logged, and refused before anything is prefilled."""
    with (
        caplog.at_level(logging.WARNING, "longctx"),
        opened(tiny_gguf(chat_template=shapes.LOSES_QUESTIONS[name])) as llm,
    ):
        assert any("drops words of the user" in warning for warning in llm.plan.warnings)
        assert "drops words of the user" in caplog.text
        talk = [ASK, {"role": "assistant", "content": "Paris."}, ASK]
        for call in (llm.chat, llm.count, llm.stream_chat, lambda m: llm.chat_batch([m])):
            with pytest.raises(TemplateError, match="chat_template="):
                call(talk)


def test_chatml_by_default_is_said(tiny_gguf: TinyGguf, caplog: pytest.LogCaptureFixture) -> None:
    """In the plan and in the log; with a template of one's own there is nothing to say."""
    path = tiny_gguf(chat_template=None)
    with caplog.at_level(logging.WARNING, "longctx"), opened(path) as llm:
        assert any("ChatML" in warning for warning in llm.plan.warnings)
        assert "ChatML" in caplog.text
        assert llm.chat([ASK]).usage.completion_tokens
    with opened(path, chat_template="chatml") as llm:
        assert not any("template" in warning for warning in llm.plan.warnings)


def test_a_file_with_broken_jinja(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Plain text works; a conversation says what to do; that is true."""
    path = tiny_gguf(chat_template=shapes.BROKEN)
    with opened(path) as llm:
        assert any("no valid Jinja" in warning for warning in llm.plan.warnings)
        n_tokens = llm.count("the and of")
        assert n_tokens == len(llm.tokenize("the and of"))
        assert llm.generate("the and of", max_tokens=2).usage.prompt_tokens == n_tokens
        assert llm.session().feed("the and of") is None
        for _ in range(2):
            with pytest.raises(TemplateError, match=r"no valid Jinja.*chat_template=.*chatml"):
                llm.chat([ASK])
    file = tmp_path / "own.jinja"
    file.write_text(shapes.KEEPS_ALL["trims"], encoding="utf-8")
    for template in ("chatml", shapes.KEEPS_ALL["trims"], file, str(file)):
        with opened(path, chat_template=template) as llm:
            assert prompt(llm, [ASK]).startswith("user\nWhat is the capital of France?")
            assert llm.chat([ASK], max_tokens=2).usage.completion_tokens
            assert not any("Jinja" in warning for warning in llm.plan.warnings)


def test_a_template_that_is_none_is_refused_at_once(tiny_gguf: TinyGguf) -> None:
    """Before the model is loaded, whether it is a name, a path or text."""
    for template in ("no such name", "/no/such/file.jinja", shapes.BROKEN):
        with pytest.raises(TemplateError, match="chat_template="):
            opened(tiny_gguf(), chat_template=template)


def test_a_template_in_bytes_that_are_no_text(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """A damaged template is one that can be replaced, not a model that cannot be opened."""
    path = tmp_path / "damaged.gguf"
    data = tiny_gguf(chat_template="{{ messages }}{# 123 #}").read_bytes()
    path.write_bytes(data.replace(b"{# 123 #}", b"{# \xff\xfe\xfd #}"))
    with opened(path) as llm:
        assert ASK["content"] in prompt(llm, [ASK])


def test_a_system_message_for_a_template_without_the_role(gemma: LongContextLLM) -> None:
    """chat, tools, agents and documents follow one rule, and the plan says so."""
    assert any("head of the user's first message" in warning for warning in gemma.plan.warnings)
    text = "user\nBe brief.\n\nWhat is the capital of France?\nassistant\n"
    assert prompt(gemma, [BRIEF, ASK]) == text
    used = gemma.chat([BRIEF, ASK]).usage
    assert used.prompt_tokens == gemma.count([BRIEF, ASK])
    assert gemma.chat([BRIEF, ASK]).usage.prefilled_tokens == 1
    assert prompt(gemma, [BRIEF, ASK], [TOOL]).startswith("user\nBe brief.\n\nYou can call tools.")

    agent = Agent(gemma, system="Be brief.")
    agent.run("Hello", max_tokens=4)
    again = agent.run("And?", max_tokens=4)
    assert again.usage.cached_tokens > gemma.count("Be brief.")
    documents = DocumentQA(gemma)
    documents.add("The seller bears the risk.", doc_id="contract")
    assert documents.ask("Who?", max_tokens=4).usage.completion_tokens


def test_a_sliding_window_keeps_it(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """The system's words stay, pinned in the user's message, while the user's slide out."""
    rules = {"role": "system", "content": "Never say the word and. " * 4}
    talk = [rules, {"role": "user", "content": "the " * 300}]
    with LongContextLLM(
        tiny_gguf(chat_template=GEMMA), 256, reserve_output=8, n_threads=1, overflow="slide"
    ) as llm:
        assert llm.chat(talk, max_tokens=8).window.dropped_tokens
        assert llm.save_chat(tmp_path / "slid.kv", talk) >= llm.count(rules["content"])


def test_the_developer_is_a_system_message(gemma: LongContextLLM) -> None:
    """Under either name, in a template with the role or without."""
    developer = {"role": "developer", "content": "Be brief."}
    assert gemma.prompt_ids([developer, ASK]) == gemma.prompt_ids([BRIEF, ASK])


@pytest.mark.parametrize("source", [shapes.KEEPS_ALL["ChatML"], GEMMA])
def test_a_cut_answer_goes_on(source: str) -> None:
    """Cut in two, a greedy answer is the same, token for token, and nothing is prefilled twice.

    By a model that writes words: bytes that are no text come back as other tokens.
    """
    with opened(TINY, chat_template=source) as llm:
        whole = llm.chat([BRIEF, ASK], max_tokens=12)
        first = llm.chat([BRIEF, ASK], max_tokens=5)
        assert first.finish_reason == "length"
        begun = [BRIEF, ASK, first.message]
        rest = llm.chat(begun, max_tokens=7)
        assert first.text + rest.text == whole.text
        assert rest.text == rest.message.content
        assert rest.usage.prefilled_tokens == 1
        assert rest.usage.prompt_tokens == llm.count(begun)
        assert llm.prompt_ids(begun)[: llm.count([BRIEF, ASK])] == llm.prompt_ids([BRIEF, ASK])
        said = {"role": "assistant", "content": first.text + rest.text}
        after = llm.chat([BRIEF, ASK, said, ASK], max_tokens=2).usage
        assert after.cached_tokens >= rest.usage.prompt_tokens + rest.usage.completion_tokens - 1


def test_words_put_into_its_mouth(demo_llm: LongContextLLM) -> None:
    """The answer follows from words that the model did not write, and they are not repeated."""
    begun = [BRIEF, ASK, {"role": "assistant", "content": "The capital of France is"}]
    answer = demo_llm.chat(begun, max_tokens=8)
    assert answer.text.startswith(" Paris")
    streamed = "".join(chunk.text for chunk in demo_llm.stream_chat(begun, max_tokens=8))
    (together,) = demo_llm.chat_batch([begun], max_tokens=8)
    assert streamed == together.text == answer.text


def test_a_saved_conversation_ends_as_it_ended(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """With the model's last answer whole, its end of message included."""
    with opened(tiny_gguf()) as llm:
        said = llm.chat([ASK], max_tokens=4).message
        held = llm.save_chat(tmp_path / "chat.kv", [ASK, said])
        assert held >= llm.count([ASK])
        assert llm.load_chat(tmp_path / "chat.kv") >= held


def test_a_template_for_tools_of_its_own(tiny_gguf: TinyGguf) -> None:
    """A file's variant named tool_use renders what has tools, and tells how they are called."""
    plain, hermes = shapes.KEEPS_ALL["ChatML"], next(iter(CALL_SHAPES.values()))
    both = [{"name": "default", "template": plain}, {"name": "tool_use", "template": hermes}]
    ask: list[Any] = [ASK]
    with opened(tiny_gguf(chat_template=both)) as llm:
        assert "Tools:" not in prompt(llm, ask)
        assert "Tools:" in prompt(llm, ask, [TOOL])
        answer = llm.chat(ask, tools=[TOOL], tool_choice="required", max_tokens=400)
        assert llm.prompt(ask, [TOOL]).template.answers.calls.begins == ("<tool_call>",)
        if answer.tool_calls:
            result = {"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": "7"}
            assert "<tool_call>" in prompt(llm, [*ask, answer.message, result])
    with opened(tiny_gguf(chat_template=both), chat_template=plain) as llm:
        assert "Tools:\n- find" in prompt(llm, ask, [TOOL])  # the one that was passed is for all
