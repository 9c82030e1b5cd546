# /// script
# dependencies = ["langchain", "langchain-openai"]
# ///
"""LangChain, ChatOpenAI and create_agent."""

from langchain.agents import create_agent
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
    asked = {"messages": [{"role": "user", "content": WEATHER}]}
    answer = create_agent(chat(), [weather]).invoke(asked, {"recursion_limit": 8})
    check_called()
    check(answer["messages"][-1].text)


def structured() -> None:
    assert isinstance(chat().with_structured_output(City).invoke(QUESTION), City)


run(basic=basic, stream=stream, tools=tools, structured=structured)
