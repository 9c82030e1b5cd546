# /// script
# dependencies = ["pydantic-ai-slim[openai]"]
# ///
"""pydantic-ai, over responses."""

import asyncio
from typing import Any

from pydantic_ai import Agent, UsageLimits
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
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


def agent(**more: Any) -> Any:
    model = OpenAIResponsesModel(MODEL, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY))
    return Agent(model, model_settings={"temperature": 0, "max_tokens": MAX_TOKENS}, **more)


def basic() -> None:
    check(agent().run_sync(QUESTION).output)


def stream() -> None:
    async def read() -> list[str]:
        async with agent().run_stream(QUESTION) as found:
            return [piece async for piece in found.stream_text(delta=True, debounce_by=None)]

    check_pieces(asyncio.run(read()))


def tools() -> None:
    found = agent(tools=[weather])
    answer = found.run_sync(WEATHER, usage_limits=UsageLimits(request_limit=4))
    check_called()
    check(answer.output)


def structured() -> None:
    assert isinstance(agent(output_type=City).run_sync(QUESTION).output, City)


run(basic=basic, stream=stream, tools=tools, structured=structured)
