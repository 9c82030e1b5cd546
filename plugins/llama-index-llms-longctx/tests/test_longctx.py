"""``LongCtx`` under LlamaIndex's synthesizers, memories, programs and agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import PromptHelper, get_response_synthesizer
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.tools import FunctionTool
from llama_index.llms.longctx import LongCtx
from pydantic import BaseModel
from pytest_examples import CodeExample, EvalExample, find_examples

from longctx import (
    ContextOverflowError,
    Message,
    ModelFileError,
    RequestError,
    ToolCall,
    ToolError,
)
from longctx.shared_models import shared_model
from longctx.testing import ScriptedChatModel

README = Path(__file__).parents[1] / "README.md"
TEXTS = ["The seller bears the risk until delivery. " * 50, "The buyer pays in May. " * 60] * 2


@pytest.fixture(scope="module")
def llm() -> LongCtx:
    """The packaged model with a small window, so that LlamaIndex has to pack."""
    return LongCtx(target_ctx=1024, reserve_output=32, max_tokens=24)


def weather(city: str) -> str:
    """Say what the weather is like in a city."""
    return f"It is raining in {city}."


class Dog(BaseModel):
    """A dog."""

    name: str
    age: int


def test_metadata_is_true(llm: LongCtx) -> None:
    """A prompt of context_window - num_output tokens fits; the tokenizer is the model's."""
    metadata = llm.metadata
    assert 1024 - 64 < metadata.context_window < 1024
    assert metadata.num_output == 24
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert metadata.model_name == llm.llm.info.name
    assert len(llm.tokenizer("The seller bears the risk.")) == llm.llm.count(
        "The seller bears the risk."
    )


@pytest.mark.parametrize("mode", ["compact", "tree_summarize"])
def test_synthesizers_fill_the_window(llm: LongCtx, mode: str) -> None:
    """Packed prompts fit although they are filled to the last token."""
    helper = PromptHelper.from_llm_metadata(llm.metadata, tokenizer=llm.tokenizer)
    synthesizer = get_response_synthesizer(llm=llm, response_mode=mode, prompt_helper=helper)
    assert synthesizer.get_response("Who bears the risk?", TEXTS)


async def test_memories(llm: LongCtx) -> None:
    """Both keep what fits by exact counts, and their messages are answered."""
    turns = [
        ChatMessage(role="user", content="The sky is blue. " * 20),
        ChatMessage(role="assistant", content="Yes."),
    ] * 10
    buffer = ChatMemoryBuffer.from_defaults(
        chat_history=turns, token_limit=600, tokenizer_fn=llm.tokenizer
    )
    memory = Memory.from_defaults(token_limit=600, tokenizer_fn=llm.tokenizer)
    await memory.aput_messages(turns)
    for kept in (buffer.get(), await memory.aget()):
        assert 0 < len(kept) < len(turns)
        assert sum(len(llm.tokenizer(m.content or "")) for m in kept) <= 600
        question = ChatMessage(role="user", content="What is blue?")
        assert (await llm.achat([*kept, question])).message.content


async def test_the_four_ways_to_chat_and_to_complete_agree(llm: LongCtx) -> None:
    """Whole, streamed, and both in asyncio; usage is exact and the prefix cached."""
    prompt = "Name a colour."
    messages = [ChatMessage(role="user", content=prompt)]
    llm.chat(messages)  # from here on the prompt is cached: a prefill rounds otherwise
    whole = llm.chat(messages)
    *_, streamed = llm.stream_chat(messages)
    awaited = await llm.achat(messages)
    pieces = [piece async for piece in await llm.astream_chat(messages)]
    texts = {r.message.content for r in (whole, streamed, awaited, pieces[-1])}
    assert texts == {whole.message.content}
    assert "".join(piece.delta or "" for piece in pieces) == whole.message.content
    completed = [llm.complete(prompt), await llm.acomplete(prompt)]
    completed += [list(llm.stream_complete(prompt))[-1]]
    completed += [[p async for p in await llm.astream_complete(prompt)][-1]]
    assert {c.text for c in completed} == texts
    usage = completed[-1].additional_kwargs
    assert usage["prompt_tokens"] == llm.llm.count([{"role": "user", "content": prompt}])
    assert usage["cached_tokens"] > 0
    assert completed[-1].raw["usage"] == usage


def test_tools_are_called(llm: LongCtx) -> None:
    """A required call has its arguments, and predict_and_call runs it."""
    tool = FunctionTool.from_defaults(weather)
    response = llm.chat_with_tools([tool], "What is the weather in Bremen?", tool_required=True)
    (call,) = llm.get_tool_calls_from_response(response)
    assert call.tool_name == "weather"
    assert list(call.tool_kwargs) == ["city"]
    ran = llm.predict_and_call([tool], "What is the weather in Bremen?", tool_required=True)
    assert ran.response.startswith("It is raining in ")
    with pytest.raises(ToolError, match="calls no tool"):
        llm.get_tool_calls_from_response(llm.chat([ChatMessage(content="Hi")]))


def test_structured_answers() -> None:
    """LlamaIndex's structured calls give instances of the class."""
    roomy = LongCtx(target_ctx=1024, reserve_output=32, max_tokens=128)
    dog = roomy.as_structured_llm(Dog).complete("Rex is a dog of three years.").raw
    assert isinstance(dog, Dog)


async def test_a_function_agent_runs_its_tool() -> None:
    """The first step calls, the result goes back through the template, the end is a text."""
    agent = FunctionAgent(
        llm=LongCtx(target_ctx=8192, max_tokens=48),
        tools=[FunctionTool.from_defaults(weather, return_direct=True)],
        initial_tool_choice="weather",
    )
    result = await agent.run("What is the weather in Bremen?")
    assert [call.tool_name for call in result.tool_calls] == ["weather"]
    assert "It is raining in " in str(result)


def test_a_tools_result_is_read(llm: LongCtx) -> None:
    """The turns that an agent puts together render through the template."""
    tool = FunctionTool.from_defaults(weather)
    asked = ChatMessage(role="user", content="What is the weather in Bremen?")
    called = llm.chat_with_tools([tool], asked, tool_required=True)
    (call,) = llm.get_tool_calls_from_response(called)
    result = ChatMessage(
        role="tool",
        content=weather(**call.tool_kwargs),
        additional_kwargs={"tool_call_id": call.tool_id},
    )
    history = [asked, called.message, result]
    last = llm.chat_with_tools([tool], chat_history=history, tool_choice="none")
    assert last.message.content
    assert last.additional_kwargs["prompt_tokens"] > called.additional_kwargs["prompt_tokens"]
    assert history == [asked, called.message, result]


def test_thoughts_and_calls_in_pieces() -> None:
    """A thinking block, deltas as LlamaIndex's agents read them; the turn may be sent again."""
    call = ToolCall(id="call_1", name="weather", arguments={"city": "Bremen"})
    said = Message(
        role="assistant", content="I look.", reasoning="It may rain there.", tool_calls=(call,)
    )
    fake = ScriptedChatModel([said, "Yes.", said])
    stands_in: Any = fake
    stands_in.info = shared_model(None, target_ctx=1024, reserve_output=32).info
    llm = LongCtx(opened=stands_in, max_tokens=24)
    asked = ChatMessage(role="user", content="Does it rain?")
    *pieces, whole = llm.stream_chat([asked])
    deltas = [piece.additional_kwargs.get("thinking_delta", "") for piece in pieces]
    assert "".join(deltas) == said.reasoning
    assert "".join(piece.delta or "" for piece in pieces) == said.content
    thought, _, called = whole.message.blocks
    assert (thought.block_type, thought.content) == ("thinking", said.reasoning)
    assert (called.tool_call_id, called.tool_kwargs) == ("call_1", {"city": "Bremen"})
    for piece in pieces:  # an agent asks of every piece
        found = llm.get_tool_calls_from_response(piece, error_on_no_tool_call=False)
        assert [one.tool_name for one in found] in ([], ["weather"])
    assert json.loads(str(pieces[-1].message.blocks[-1].tool_kwargs)) == {"city": "Bremen"}
    assert whole.additional_kwargs["reasoning_tokens"] == 5
    llm.chat([asked, whole.message, asked], thinking=False, thinking_budget=64)
    assert fake.calls[1].messages[1] == said
    assert fake.calls[1].options["thinking"] is False
    assert fake.calls[1].options["thinking_budget"] == 64
    tool = FunctionTool.from_defaults(weather)
    llm.chat_with_tools([tool], "Does it rain?")
    assert fake.calls[2].options["parallel_tool_calls"] is False


def test_a_model_that_is_open_already(llm: LongCtx) -> None:
    """It is used as it is; what would open another contradicts it."""
    assert LongCtx(opened=llm.llm).llm is llm.llm
    with pytest.raises(RequestError, match="leave out target_ctx"):
        LongCtx(opened=llm.llm, target_ctx=512)


def test_errors_are_typed(llm: LongCtx, tmp_path: Path) -> None:
    """Overflow with the numbers; files and options that are none."""
    with pytest.raises(ContextOverflowError) as caught:
        llm.complete("word " * 3000)
    assert caught.value.n_ctx == 1024
    with pytest.raises(ContextOverflowError):
        list(llm.stream_complete("word " * 3000))
    with pytest.raises(ModelFileError):
        LongCtx(model=str(tmp_path / "missing.gguf"))
    with pytest.raises(ValueError, match="taget_ctx"):
        LongCtx(taget_ctx=4096)
    with pytest.raises(RequestError, match="no option maxtokens"):
        llm.complete("Hi", maxtokens=3)
    for option, value in (
        ("max_tokens", -2),
        ("max_tokens", True),
        ("temperature", -1),
        ("seed", "x"),
    ):
        with pytest.raises(RequestError, match=option):
            llm.complete("Hi", **{option: value})


def test_weights_are_shared_and_settings_restored(llm: LongCtx) -> None:
    """A second object with the same window, also one from a dict, has the same model."""
    again = LongCtx.from_dict(llm.to_dict())
    assert again.llm is llm.llm
    assert again.max_tokens == 24


@pytest.mark.parametrize("example", find_examples(str(README)), ids=str)
def test_readme(example: CodeExample, eval_example: EvalExample) -> None:
    """Every block of Python runs as it is printed."""
    eval_example.run(example)
