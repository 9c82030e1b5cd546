# /// script
# dependencies = ["langchain-core", "langchain-openai"]
# ///
"""LangChain, ChatOpenAI."""

from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from tasks import (
    KEY,
    MAX_TOKENS,
    MODEL,
    QUESTION,
    URL,
    WEATHER,
    City,
    check,
    check_called,
    check_pieces,
    run,
    weather,
)


def chat() -> ChatOpenAI:
    return ChatOpenAI(
        model=MODEL, base_url=f"{URL}/v1", api_key=KEY, temperature=0, max_tokens=MAX_TOKENS
    )


def basic() -> None:
    answer = chat().invoke(QUESTION)
    check(answer.text)
    assert answer.usage_metadata["input_tokens"] > 0


def stream() -> None:
    check_pieces([chunk.text for chunk in chat().stream(QUESTION) if chunk.text])


def tools() -> None:
    tool = StructuredTool.from_function(weather)
    messages: list[Any] = [HumanMessage(WEATHER)]
    call = chat().bind_tools([tool], tool_choice="any").invoke(messages)
    messages += [call, *(tool.invoke(each) for each in call.tool_calls)]
    check_called()
    check(chat().invoke(messages).text)


def structured() -> None:
    assert isinstance(chat().with_structured_output(City).invoke(QUESTION), City)


run(basic=basic, stream=stream, tools=tools, structured=structured)
