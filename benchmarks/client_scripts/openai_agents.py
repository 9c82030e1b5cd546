# /// script
# dependencies = ["openai-agents"]
# ///
"""openai-agents, over responses."""

import asyncio
from typing import Any

from agents import (
    Agent,
    MaxTurnsExceeded,
    ModelSettings,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.models.openai_responses import OpenAIResponsesModel
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from tasks import (
    KEY,
    MAX_TOKENS,
    MODEL,
    QUESTION,
    URL,
    WEATHER,
    City,
    ModelFailed,
    check,
    check_called,
    check_pieces,
    run,
    weather,
)

set_tracing_disabled(True)


def agent(choice: str | None = None, **more: Any) -> Any:
    model = OpenAIResponsesModel(MODEL, AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY))
    settings = ModelSettings(temperature=0, max_tokens=MAX_TOKENS, tool_choice=choice)
    return Agent("assistant", model=model, model_settings=settings, **more)


def basic() -> None:
    check(asyncio.run(Runner.run(agent(), QUESTION)).final_output)


def stream() -> None:
    async def read() -> list[str]:
        found = Runner.run_streamed(agent(), QUESTION)
        return [
            event.data.delta
            async for event in found.stream_events()
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
        ]

    check_pieces(asyncio.run(read()))


def tools() -> None:
    asked = agent("required", tools=[function_tool(weather)])
    try:
        answer = asyncio.run(Runner.run(asked, WEATHER, max_turns=4))
    except MaxTurnsExceeded as error:
        check_called()
        raise ModelFailed("it calls the tool again and again") from error
    check_called()
    check(answer.final_output)


def structured() -> None:
    answer = asyncio.run(Runner.run(agent(output_type=City), QUESTION))
    assert isinstance(answer.final_output, City)


run(basic=basic, stream=stream, tools=tools, structured=structured)
