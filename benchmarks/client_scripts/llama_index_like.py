# /// script
# dependencies = ["llama-index-core", "llama-index-llms-openai-like"]
# ///
"""LlamaIndex, OpenAILike and FunctionAgent."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
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

llm = OpenAILike(
    model=MODEL, api_base=f"{URL}/v1", api_key=KEY, temperature=0, max_tokens=MAX_TOKENS,
    is_chat_model=True, is_function_calling_model=True, context_window=4096, max_retries=1,
)  # fmt: skip


def basic() -> None:
    check(llm.chat([ChatMessage(QUESTION)]).message.content)


def stream() -> None:
    pieces = [part.delta for part in llm.stream_chat([ChatMessage(QUESTION)])]
    check_pieces([piece for piece in pieces if piece])


def tools() -> None:
    async def loop() -> str:
        agent = FunctionAgent(tools=[FunctionTool.from_defaults(weather)], llm=llm)
        return str(await agent.run(WEATHER, max_iterations=4))

    text = asyncio.run(loop())
    check_called()
    check(text)


def structured() -> None:
    answer = llm.structured_predict(City, PromptTemplate(QUESTION))
    assert isinstance(answer, City)


run(basic=basic, stream=stream, tools=tools, structured=structured)
