"""A pydantic-ai agent on a model that ``longctx serve`` serves.

pip install "longctx-sdk[demo,server]" "pydantic-ai-slim[openai]"
longctx serve --port 8000 &
python examples/frameworks/pydantic_ai_agent.py
"""

from __future__ import annotations

import sys

from pydantic import BaseModel, Field
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class City(BaseModel):
    """What the model is to answer."""

    name: str = Field(max_length=20)
    country: str = Field(max_length=20)


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


if __name__ == "__main__":
    main(*sys.argv[1:])
