"""An agent counts what is new, and asks the model with what it counted."""

from __future__ import annotations

from typing import Any

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, policies, tool
from longctx.agents.view import View
from longctx.prompt import Prompt
from longctx.testing import ScriptedChatModel
from longctx.tokens import ModelTokenizer
from longctx.types import Message, Messages, ToolCall, ToolSchema
from tests.conftest import TinyGguf
from tests.support.counting import MeteredModel

RESULT_CHARACTERS = 2000


@tool
def page(number: int) -> str:
    """Read a page."""
    return f"{number} is the number of this page. " * (RESULT_CHARACTERS // 32)


def turns(n: int) -> list[str | ToolCall]:
    """For each of n turns a call and an answer."""
    replies: list[str | ToolCall] = []
    for number in range(n):
        replies += [ToolCall(id="", name="page", arguments={"number": number}), "So it says."]
    return replies


class Scripted(ScriptedChatModel):
    """Counts with a real model's template and tokenizer, and answers from a script."""

    def __init__(self, llm: LongContextLLM, replies: list[str | ToolCall]) -> None:
        super().__init__(replies, target_ctx=llm.target_ctx, reserve_output=llm.reserve_output)
        self._llm = llm
        self.prompts = 0

    def count(self, text: str | Messages, tools: Any = None) -> int:
        """By the real model."""
        return self._llm.count(text, tools)

    def prompt(self, messages: Messages, tools: Any = None) -> Prompt:
        """By the real model."""
        self.prompts += not isinstance(messages, Prompt)
        return self._llm.prompt(messages, tools)


def test_a_step_tokenises_what_is_new(tiny_gguf: TinyGguf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each result once, though every step has all of them in its prompt and its policy."""
    encoded: list[str] = []
    encode = ModelTokenizer.encode
    monkeypatch.setattr(
        ModelTokenizer,
        "encode",
        lambda self, text, **options: encoded.append(text) or encode(self, text, **options),
    )
    path = tiny_gguf("llama", n_ctx_train=32_768)
    with LongContextLLM(path, n_threads=1, reserve_output=64) as llm:
        model = Scripted(llm, turns(8))
        agent = Agent(model, tools=[page], system="You are a librarian.")
        for number in range(8):
            agent.run(f"What does page {number} say?")
            assert sum(len(text) > 0.75 * RESULT_CHARACTERS for text in encoded) == number + 1
    assert sum(map(len, encoded)) < 1.2 * sum(len(m.content) for m in agent.transcript) + 1000
    assert model.prompts == 16  # one for each completion


def test_a_model_without_prompts_counts_once_a_step() -> None:
    """A conversation is counted when the policy looks, and each long result when it arrives."""
    model = MeteredModel(ScriptedChatModel(turns(6), target_ctx=4000))
    clamp = policies.chain(policies.clamp_results, policies.when_full(policies.drop_oldest))
    agent = Agent(model, tools=[page], policy=clamp)
    for number in range(6):
        agent.run(f"What does page {number} say?")
    assert len(model.conversations) == 12
    assert len(model.texts) == len(set(model.texts)) == 6


def test_a_view_that_shows_the_same_is_not_counted_again() -> None:
    """Neither another goal nor a note in the log makes it another prompt."""
    model = MeteredModel(ScriptedChatModel([]))
    transcript = (Message(role="user", content="Hello."), Message(role="assistant", content="Hi."))
    view = View.of(transcript, model)
    tokens = view.tokens
    aimed = view.aiming(3, before=view.shown)
    assert aimed.tokens == aimed.logged("nothing", tokens, "").tokens == tokens
    assert aimed.aiming(view.goal_tokens).prompt is view.prompt
    assert len(model.conversations) == 1
    assert aimed.without([1]).tokens < tokens
    assert len(model.conversations) == 2


def test_tools_are_in_the_prompt_of_a_view() -> None:
    """The model is asked with what was counted, tools included."""
    model = ScriptedChatModel(["Yes."])
    schema: ToolSchema = page.schema
    view = View.of((Message(role="user", content="Hello."),), model, tools=[schema])
    assert view.tokens == model.count([Message(role="user", content="Hello.")], [schema])
    assert model.chat(view.prompt).usage.prompt_tokens == view.tokens
    assert model.calls[0].tools == (schema,)
