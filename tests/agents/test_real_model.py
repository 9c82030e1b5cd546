"""The agent on the packaged model: calls by grammar, reuse, and what the loop makes of it."""

from collections.abc import Iterator

import pytest

from longctx import LongContextLLM
from longctx.agents import Agent, ToolCall, ToolResult, tool


@tool
def weather(city: str, days: int = 1) -> str:
    """Say what the weather will be like in a city."""
    return f"It is 14 degrees and raining in {city}, for {days} days."


@pytest.fixture(scope="module")
def llm() -> Iterator[LongContextLLM]:
    """The demo model on a small window."""
    with LongContextLLM(target_ctx=2048, reserve_output=64) as model:
        yield model


def test_a_required_call_is_made_by_grammar_and_answered(llm):
    """Even 135M parameters make a valid call, and the run ends in words and not in calls."""
    agent = Agent(llm, tools=[weather], max_steps=4, read_back=False)
    result = agent.run("What is the weather in Bremen?", tool_choice="required", max_tokens=64)
    call, outcome = result.events[:2]
    assert isinstance(call, ToolCall)
    assert call.arguments["city"] == "Bremen"
    assert isinstance(outcome, ToolResult)
    assert not outcome.is_error
    assert "raining in Bremen" in outcome.text
    assert result.stop_reason == "answer"
    assert "Bremen" in result.text
    assert not result.text.startswith("{")


def test_auto_lets_the_model_talk(llm):
    """A greeting is answered in words, with tools at hand."""
    agent = Agent(llm, tools=[weather], system="You are a helpful assistant.")
    result = agent.run("Hello! How are you?", max_tokens=48)
    assert result.text
    assert result.stop_reason in ("answer", "length")


def test_a_conversation_prefills_only_what_is_new(llm):
    """System, tools and former turns are taken from the cache."""
    agent = Agent(llm, tools=[weather], system="You are a helpful assistant. " * 10)
    (first,) = agent.run("Hello!", max_tokens=32).steps
    (second,) = agent.run("And goodbye!", max_tokens=8).steps
    assert second.usage.cached_tokens >= first.usage.prompt_tokens
    assert second.usage.prefilled_tokens < 40


def test_context_is_exactly_what_a_step_prefills(llm):
    """The sections add up to the prompt of the next completion, less the new turn."""
    agent = Agent(llm, tools=[weather], system="You are a helpful assistant.", read_back=False)
    (step,) = agent.run("Hello!", max_tokens=16).steps
    context = agent.context
    shown = agent.transcript[:-1]
    assert llm.count(shown, [weather.schema]) == step.usage.prompt_tokens
    assert context.total_tokens == llm.count(agent.transcript, [weather.schema])
    assert context.n_ctx == step.window.n_ctx
    assert context.sections["tools"] > 0


def test_a_saved_conversation_goes_on(llm, tmp_path):
    """The loaded agent renders the same prompt, so that the cache still serves it."""
    agent = Agent(llm, tools=[weather], system="You are a helpful assistant.")
    agent.run("Hello!", max_tokens=16)
    agent.save(tmp_path / "agent.json")
    loaded = Agent.load(tmp_path / "agent.json", llm, tools=[weather])
    assert loaded.context.total_tokens == agent.context.total_tokens
    (step,) = loaded.run("And goodbye!", max_tokens=8).steps
    assert step.usage.cached_tokens > step.usage.prefilled_tokens
