"""The models through llm's Python API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import llm
import pytest
from llm_longctx import LongCtxModelError

from longctx import ContextOverflowError, ModelFileError

SHORT: dict[str, Any] = {"target_ctx": 8192, "reserve_output": 128, "max_tokens": 16}


def weather(city: str) -> str:
    """Say what the weather is like in a city."""
    return f"It is raining in {city}."


def test_a_conversation_reuses_its_prefix() -> None:
    """The second turn prefills only what is new, and usage says so."""
    conversation = llm.get_model("longctx").conversation()
    first = conversation.prompt("Name the capital of France.", system="Be brief.", **SHORT)
    assert first.text()
    second = conversation.prompt("And of Italy?", **SHORT)
    second.text()
    usage = second.usage()
    cached = usage.details["prompt_tokens_details"]["cached_tokens"]
    assert first.usage().input <= cached < usage.input
    assert 0 < usage.output <= 16
    assert second.response_json["finish_reason"] in ("stop", "length")


def test_streamed_and_whole_answers_are_the_same() -> None:
    """At temperature 0, in several pieces or in one."""
    model = llm.get_model("longctx")
    pieces = list(model.prompt("Name a colour.", **SHORT))
    whole = list(model.prompt("Name a colour.", stream=False, **SHORT))
    assert len(pieces) > 1
    assert "".join(pieces) == "".join(whole)


def test_two_models_share_their_weights() -> None:
    """llm makes a new object at each get_model; the file is loaded once."""
    one, two = llm.get_model("longctx"), llm.get_model("longctx")
    options = one.Options(**SHORT)
    assert one is not two
    assert one.open(options) is two.open(options)


async def test_async_answers() -> None:
    """The async model streams, counts, and gives the same text as the sync one."""
    model = llm.get_async_model("longctx")
    response = model.prompt("Name a colour.", **SHORT)
    text = "".join([piece async for piece in response])
    usage = await response.usage()
    assert usage.output > 0
    assert text == await model.prompt("Name a colour.", stream=False, **SHORT).text()
    assert text == llm.get_model("longctx").prompt("Name a colour.", **SHORT).text()


def test_schemas_hold() -> None:
    """The answer parses and has the schema's fields."""
    answer = llm.get_model("longctx").prompt(
        "Rex is a dog of three years.",
        schema=llm.schema_dsl("name, age int"),
        **{**SHORT, "max_tokens": 64},
    )
    assert isinstance(json.loads(answer.text())["age"], int)


def test_a_tool_is_called_and_its_result_read() -> None:
    """Call, result, answer; the tool's turn is in the prompt of the last."""
    conversation = llm.get_model("longctx").conversation(tools=[weather])
    options = {**SHORT, "max_tokens": 48}
    first = conversation.prompt("What is the weather in Bremen?", **options, tool_choice="required")
    results = first.execute_tool_calls()
    assert first.tool_calls()[0].name == "weather"
    assert results[0].output.startswith("It is raining in ")
    last = conversation.prompt(tool_results=results, **options, tool_choice="none")
    assert last.text()
    assert [message.role for message in last.prompt.messages] == ["user", "assistant", "tool"]
    assert last.usage().input > first.usage().input


async def test_async_tools() -> None:
    """Calls of the async model carry their arguments."""
    response = llm.get_async_model("longctx").prompt(
        "What is the weather in Bremen?",
        tools=[llm.Tool.function(weather)],
        **{**SHORT, "max_tokens": 48, "tool_choice": "required"},
    )
    (call,) = await response.tool_calls()
    assert call.name == "weather"
    assert list(call.arguments) == ["city"]


def test_an_answer_calls_a_tool_or_satisfies_a_schema() -> None:
    """One or the other, and never anything else."""
    response = llm.get_model("longctx").prompt(
        "What is the weather in Bremen?",
        tools=[weather],
        schema=llm.schema_dsl("city, rain bool"),
        **{**SHORT, "max_tokens": 64},
    )
    if calls := response.tool_calls():
        assert list(calls[0].arguments) == ["city"]
    else:
        assert list(json.loads(response.text())) == ["city", "rain"]


def test_a_call_is_required_and_there_are_no_tools() -> None:
    """It was ignored."""
    with pytest.raises(LongCtxModelError, match="no tools"):
        llm.get_model("longctx").prompt("Hi", tool_choice="required").text()


@pytest.mark.parametrize("stream", [True, False])
def test_overflow_is_llms_error_with_the_numbers(tiny: Path, stream: bool) -> None:
    """The cause has needed, available and n_ctx."""
    prompt = llm.get_model("longctx").prompt(
        "word " * 5000, stream=stream, model=str(tiny), target_ctx=4096, max_tokens=8
    )
    with pytest.raises(llm.ModelError) as caught:
        prompt.text()
    assert isinstance(caught.value.__cause__, ContextOverflowError)
    assert caught.value.__cause__.n_ctx == 4096


async def test_a_missing_file_is_llms_error(tmp_path: Path) -> None:
    """Sync and async alike."""
    path = str(tmp_path / "missing.gguf")
    with pytest.raises(llm.ModelError) as caught:
        llm.get_model("longctx").prompt("Hi", model=path).text()
    assert isinstance(caught.value.__cause__, ModelFileError)
    with pytest.raises(llm.ModelError):
        await llm.get_async_model("longctx").prompt("Hi", model=path).text()


def test_slide_answers_past_the_window(tiny: Path) -> None:
    """With overflow=slide a text longer than the window is read to its end."""
    response = llm.get_model("longctx").prompt(
        "word " * 5000,
        model=str(tiny),
        target_ctx=4096,
        overflow="slide",
        max_tokens=8,
        cache=False,
    )
    response.text()
    assert response.response_json["window"]["dropped_tokens"] > 0
