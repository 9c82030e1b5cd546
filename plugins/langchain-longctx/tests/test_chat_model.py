"""What LangChain's suites do not ask of ``ChatLongCtx``."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.exceptions import ContextOverflowError as LangChainOverflow
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_longctx import ChatLongCtx, LongCtxOverflowError
from pydantic import BaseModel, Field

from longctx import ContextOverflowError, RequestError

ASKED = [SystemMessage("You are brief."), HumanMessage("Name a colour.")]


@tool
def look_up(place: str) -> str:
    """Look a place up."""
    return f"{place} is a port."


@pytest.fixture(scope="module")
def chat() -> ChatLongCtx:
    """The packaged model."""
    return ChatLongCtx(target_ctx=8192, max_tokens=16, reserve_output=64)


def test_a_stream_says_what_an_answer_says(chat: ChatLongCtx) -> None:
    """The pieces put together are the answer, its cost included."""
    chat.invoke(ASKED)  # from here on the prompt is cached: a prefill rounds otherwise
    whole = chat.invoke(ASKED)
    pieces = list(chat.stream(ASKED))
    streamed = sum(pieces[1:], start=pieces[0])
    assert isinstance(streamed, AIMessageChunk)
    assert len(pieces) > 2
    assert streamed.text == whole.text
    assert streamed.usage_metadata is not None
    assert whole.usage_metadata is not None
    assert streamed.usage_metadata["input_tokens"] == whole.usage_metadata["input_tokens"]


async def test_it_answers_without_blocking(chat: ChatLongCtx) -> None:
    """The asynchronous answer is the same."""
    assert (await chat.ainvoke(ASKED)).text == chat.invoke(ASKED).text


async def test_a_stream_that_runs_out_of_time_frees_the_model(chat: ChatLongCtx) -> None:
    """The exception is the caller's own, and the next call is answered."""

    async def read() -> None:
        async for _ in chat.astream("Tell me a very long story.", max_tokens=2000):
            pass

    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(read(), 0.3)
        assert (await asyncio.wait_for(chat.ainvoke("Say hello.", max_tokens=4), 300)).content


def test_counts_are_what_is_prefilled(chat: ChatLongCtx) -> None:
    """Template and tools included."""
    answer = chat.invoke(ASKED)
    assert answer.usage_metadata is not None
    assert chat.get_num_tokens_from_messages(ASKED) == answer.usage_metadata["input_tokens"]
    bound = chat.bind_tools([look_up]).invoke(ASKED)
    assert bound.usage_metadata is not None
    counted = chat.get_num_tokens_from_messages(ASKED, [look_up])
    assert counted == bound.usage_metadata["input_tokens"]
    assert counted > answer.usage_metadata["input_tokens"]


def test_what_is_cached_is_said(chat: ChatLongCtx) -> None:
    """A second turn prefills only what is new."""
    first = chat.invoke([HumanMessage("Count: " + "one two three. " * 40)])
    second = chat.invoke(
        [HumanMessage("Count: " + "one two three. " * 40), first, HumanMessage("Go on.")]
    )
    assert second.usage_metadata is not None
    cached = second.usage_metadata["input_token_details"]["cache_read"]
    assert cached > 0.7 * second.usage_metadata["input_tokens"]


def test_too_long_a_prompt_is_an_error_of_both_worlds() -> None:
    """Nothing is cut: the error is LangChain's and longctx's, with the numbers."""
    chat = ChatLongCtx(target_ctx=512, max_tokens=16, reserve_output=16)
    with pytest.raises(LongCtxOverflowError) as caught:
        chat.invoke("word " * 2000)
    assert isinstance(caught.value, LangChainOverflow)
    assert isinstance(caught.value, ContextOverflowError)
    assert caught.value.needed > 2000
    assert caught.value.n_ctx == 512


def test_the_profile_has_the_true_window(chat: ChatLongCtx) -> None:
    """The longest prompt is what the answer leaves."""
    assert chat.profile is not None
    assert chat.profile["max_input_tokens"] == 8192 - 16


def test_equal_settings_share_the_weights(chat: ChatLongCtx) -> None:
    """A second object costs nothing; another temperature is the same model."""
    other = ChatLongCtx(target_ctx=8192, max_tokens=8, temperature=0.5, reserve_output=64)
    assert other.llm is chat.llm


def test_a_tool_is_called_when_told_to(chat: ChatLongCtx) -> None:
    """A grammar holds the call to the schema, and its arguments are a dict."""
    bound = chat.bind_tools([look_up], tool_choice="any")
    answer = bound.invoke("Look up Genoa.", max_tokens=64)
    assert [call["name"] for call in answer.tool_calls] == ["look_up"]
    assert set(answer.tool_calls[0]["args"]) == {"place"}


def test_answers_held_to_a_schema(chat: ChatLongCtx) -> None:
    """An instance of the class comes back."""

    class Verdict(BaseModel):
        """Whether it is so."""

        yes: bool = Field(description="whether it is so")

    answer = chat.with_structured_output(Verdict).invoke("Is Paris in France?")
    assert isinstance(answer, Verdict)


def test_settings_survive_serialisation(chat: ChatLongCtx) -> None:
    """To plain values and back: the same settings, the same weights."""
    back = load(dumpd(chat), allowed_objects=[ChatLongCtx], valid_namespaces=["langchain_longctx"])
    assert isinstance(back, ChatLongCtx)
    assert back.llm is chat.llm
    assert back.max_tokens == chat.max_tokens


def test_a_misspelt_setting_is_an_error(chat: ChatLongCtx) -> None:
    """Neither a setting nor an option of a call is dropped without a word."""
    with pytest.raises(ValueError, match="target_ctxx"):
        ChatLongCtx(target_ctxx=8192)  # type: ignore[call-arg]  # what is under test
    with pytest.raises(RequestError, match="frequency_penalties"):
        chat.invoke(ASKED, frequency_penalties=1)


def test_options_of_sampling_are_settings_and_options_of_a_call() -> None:
    """A call's are above those of the object."""
    forced = ChatLongCtx(target_ctx=8192, max_tokens=3, reserve_output=64, logit_bias={" the": 100})
    assert forced.invoke(ASKED).text == " the the the"
    assert forced.invoke(ASKED, logit_bias={" a": 100}).text == " a a a"
    assert forced.invoke(ASKED, temperature=9.0, top_k=1).text == " the the the"


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_tokens", -2), ("max_tokens", True), ("temperature", -1), ("top_p", 2), ("seed", "x")],
)
def test_a_wrong_value_is_the_same_error_as_without_langchain(
    chat: ChatLongCtx, option: str, value: object
) -> None:
    """From invoke, stream and their async twins."""
    for call in (
        lambda **options: chat.invoke(ASKED, **options),
        lambda **options: list(chat.stream(ASKED, **options)),
        lambda **options: asyncio.run(chat.ainvoke(ASKED, **options)),
    ):
        with pytest.raises(RequestError, match=option):
            call(**{option: value})
