"""A prompt is rendered and counted once, and taken wherever messages are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM, Message, RequestError, ToolError
from longctx.prompt import Prompt, prompt_of
from longctx.testing import ScriptedChatModel
from longctx.tokens import ModelTokenizer
from tests.chat.conversations import HARMLESS, SYSTEM, TOOL
from tests.conftest import TinyGguf
from tests.support.counting import MeteredModel
from tests.support.rounding import agree, coarser

MESSAGES = [SYSTEM, *HARMLESS]


@pytest.fixture(scope="module")
def llm(tiny_gguf: TinyGguf) -> Iterator[LongContextLLM]:
    """Noise."""
    with LongContextLLM(tiny_gguf(), 1024, n_threads=1, reserve_output=8, seed=1) as model:
        yield model


def test_a_prompt_says_what_is_prefilled(llm: LongContextLLM) -> None:
    """Ids, count, messages and tools; it is the sequence of its messages."""
    prompt = llm.prompt(MESSAGES, [TOOL])
    assert prompt.n_tokens == len(prompt.ids) == llm.count(MESSAGES, [TOOL])
    assert prompt.ids == llm.prompt_ids(MESSAGES, [TOOL])
    assert prompt.tools == (TOOL,)
    assert list(prompt) == list(prompt.messages) == [Message(**message) for message in MESSAGES]
    assert (prompt[-1].content, len(prompt), len(prompt[1:])) == (HARMLESS[-1]["content"], 4, 3)


def test_it_is_taken_wherever_messages_are(
    llm: LongContextLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers, and nothing is tokenised again."""
    brief: Any = {"tool_choice": "none", "max_tokens": 8}
    prompt = llm.prompt(MESSAGES, [TOOL])
    plain = llm.prompt(MESSAGES)
    expected = llm.chat(MESSAGES, tools=[TOOL], **brief)
    asked: Any = {"max_tokens": 8, "top_logprobs": 2}
    batch = llm.chat_batch([MESSAGES, HARMLESS], **asked)
    passages = [HARMLESS[0]["content"]]
    encoded: list[str] = []
    encode = ModelTokenizer.encode
    monkeypatch.setattr(
        ModelTokenizer,
        "encode",
        lambda self, text, **options: encoded.append(text) or encode(self, text, **options),
    )
    assert llm.prompt(prompt) is prompt
    assert llm.prompt(prompt, [TOOL]) is prompt
    assert llm.count(prompt) == prompt.n_tokens
    answer = llm.chat(prompt, **brief)
    assert (answer.text, answer.usage.prompt_tokens) == (expected.text, prompt.n_tokens)
    assert llm.stream_chat(prompt, tools=[TOOL], **brief).result.text == expected.text
    for one, other in zip(llm.chat_batch([plain, HARMLESS], **asked), batch, strict=True):
        agree(one, other, 0.05 * coarser())
    assert llm.save_chat(tmp_path / "chat", prompt) > 0
    assert encoded == []
    llm.compose(plain, passages)
    assert encoded == passages


def test_another_models_prompt_is_counted_again(llm: LongContextLLM, tiny_gguf: TinyGguf) -> None:
    """Its ids are of another vocabulary; its messages and tools are what counts."""
    with LongContextLLM(
        tiny_gguf("gemma3"), 1024, n_threads=1, reserve_output=8, method="none"
    ) as other:
        theirs = other.prompt(MESSAGES, [TOOL])
        assert theirs.ids != llm.prompt(MESSAGES, [TOOL]).ids
        assert llm.prompt(theirs) == llm.prompt(MESSAGES, [TOOL])
        assert llm.chat(theirs, tool_choice="none").usage.prompt_tokens == llm.count(
            MESSAGES, [TOOL]
        )


def test_other_tools_than_it_was_counted_with_are_refused(llm: LongContextLLM) -> None:
    """Its count would be wrong, and its ids without them."""
    other = {**TOOL, "function": {**TOOL["function"], "name": "seek"}}
    for tools in ([other], [TOOL, other]):
        for call in (llm.prompt, llm.count, lambda p, t: llm.chat(p, tools=t)):
            with pytest.raises(RequestError, match="counted with 1 tools"):
                call(llm.prompt(MESSAGES, [TOOL]), tools)
    for nonsense in ("find", {"name": "find"}, 5):
        with pytest.raises(ToolError, match="list"):
            llm.prompt(MESSAGES, nonsense)  # type: ignore[arg-type]  # what is under test


def test_what_slides_keeps_what_a_prompt_pins(tiny_gguf: TinyGguf) -> None:
    """System message and tools, as when the messages are passed."""
    path = tiny_gguf()
    with LongContextLLM(path, 1024, overflow="slide", n_threads=1, reserve_output=8) as model:
        prompt = model.prompt(MESSAGES)
        alone = model.prompt_ids([SYSTEM, {"role": "user", "content": ""}])
        common = next(i for i, (a, b) in enumerate(zip(alone, prompt.ids, strict=False)) if a != b)
        assert prompt.pinned == common > 0


def test_a_model_without_prompts_is_asked_for_its_count() -> None:
    """Once; what it is then asked with are messages that it can read."""
    model = MeteredModel(ScriptedChatModel(["Yes."]))
    prompt = prompt_of(model, MESSAGES)
    assert type(prompt) is Prompt
    assert prompt_of(model, prompt) is prompt
    assert len(model.conversations) == 1
    assert model.chat(prompt).usage.prompt_tokens == prompt.n_tokens
