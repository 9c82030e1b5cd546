"""A pydantic-ai agent on a model that ``longctx serve`` serves.

pip install "longctx-sdk[demo,server]" "pydantic-ai-slim[openai]"
longctx serve --port 8000 &
python examples/frameworks/pydantic_ai_agent.py
"""

from __future__ import annotations

import sys

from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits


class City(BaseModel):
    """What the model is to answer."""

    name: str = Field(max_length=20)
    country: str = Field(max_length=20)


def look_up(topic: str) -> str:
    """Find something out."""
    return f"{topic}: it rains on 196 days a year."


def main(base_url: str = "http://127.0.0.1:8000/v1") -> None:
    provider = OpenAIProvider(base_url=base_url, api_key="none")
    model = OpenAIChatModel("longctx", provider=provider)
    agent = Agent(model, instructions="Answer briefly.")
    first = agent.run_sync("Name the capital of France.")
    print(first.output)
    second = agent.run_sync("And of Italy?", message_history=first.all_messages())
    print(second.output)
    print(f"{second.usage.cache_read_tokens} tokens were in the cache")
    # A grammar holds the call that carries the answer to its schema.
    print(Agent(model, output_type=City).run_sync("What is the capital of France?").output)
    # Beside tools of its own, an answer by the schema: where only calls may come, a small model
    # copies its last one until the limit.
    agent = Agent(model, output_type=NativeOutput(City), tools=[look_up])
    limits = UsageLimits(request_limit=6)
    print(agent.run_sync("What is the capital of Italy?", usage_limits=limits).output)


if __name__ == "__main__":
    main(*sys.argv[1:])
