"""The same conversation under the summarising of LangGraph's agents, and of deepagents.

Both talk to `longctx serve`, in this process and over a real socket. They count tokens exactly, by
the model itself, sum up where our policies compact, and leave as much. Their own prompt for a
summary alone is longer than the window of the small model; `SHORT` stands in its place there.

    pip install langchain langchain-openai langgraph deepagents
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from longctx import LongContextLLM
from longctx.server import Server, ServerSettings

WAYS = ("langgraph", "deepagents")
GOAL, SUMMARY_TOKENS = 0.6, 160
SHORT = (
    "Sum up this conversation in a few short sentences. Keep names, numbers and codes exactly, the "
    "newest of each.\n\n{messages}"
)


@contextmanager
def served(llm: LongContextLLM) -> Iterator[str]:
    """The address of a server of this model."""
    server = Server(llm, ServerSettings(sampling={"temperature": 0}), log_level="error")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(30)


class Said:
    """What came of one turn: the answer, the prompt that it was given to, and what that cost."""

    def __init__(self, text: str, prompt: str, prefilled: int, summaries: int) -> None:
        self.text, self.prompt = text, prompt
        self.prefilled, self.summaries = prefilled, summaries


class Talker:
    """An agent of a framework's, of whose conversation a copy can be asked.

    Args:
        way: of :data:`WAYS`.
        llm: counts.
        url: of its server.
        schema: that answers to questions are held to; None is words.
    """

    def __init__(self, way: str, llm: LongContextLLM, url: str, schema: Any = None) -> None:
        from langchain.agents import AgentState, create_agent
        from langgraph.checkpoint.memory import InMemorySaver

        # The SDK's clients warn of what they do not know; the offloading of a copy is no news.
        logging.getLogger("deepagents").setLevel(logging.ERROR)
        self._llm, self._url = llm, url
        saver, summing = InMemorySaver(), self._summing(way)
        state: Any = AgentState
        if way == "deepagents":
            from deepagents.middleware.filesystem import FilesystemState as state
        self._agents = {
            name: create_agent(model, middleware=[summing], checkpointer=saver, state_schema=state)
            for name, model in {
                "tell": self._model(8, {"const": "OK"}),
                "ask": self._model(24, schema),
            }.items()
        }
        self._config: dict[str, Any] = {"configurable": {"thread_id": "one"}}

    def tell(self, text: str) -> Said:
        """Say something; the conversation goes on from there."""
        return self._say("tell", text)

    def ask(self, text: str) -> Said:
        """Say something to a copy; the conversation is as before."""
        before = self._agents["tell"].get_state(self._config).config
        said = self._say("ask", text)
        self._config = before
        return said

    # Inside

    def _model(self, max_tokens: int, schema: Any = None) -> Any:
        from langchain_openai import ChatOpenAI

        options: dict[str, Any] = {}
        if schema is not None:
            form = {"name": "answer", "schema": schema}
            options["model_kwargs"] = {
                "response_format": {"type": "json_schema", "json_schema": form}
            }

        return ChatOpenAI(
            model="longctx", base_url=self._url, api_key="none", max_tokens=max_tokens,
            max_retries=0, timeout=600, **options,
        )  # fmt: skip

    def _summing(self, way: str) -> Any:
        from langchain.agents.middleware import SummarizationMiddleware
        from langchain.agents.middleware.summarization import DEFAULT_SUMMARY_PROMPT

        room = self._llm.target_ctx - self._llm.reserve_output
        settings: dict[str, Any] = {
            "model": self._model(SUMMARY_TOKENS),
            "trigger": ("tokens", room),
            "keep": ("tokens", int(GOAL * room)),
            "token_counter": self._count,
            "trim_tokens_to_summarize": room - SUMMARY_TOKENS - 100,
        }
        if self._llm.count(DEFAULT_SUMMARY_PROMPT) > room / 2:
            settings["summary_prompt"] = SHORT
        if way == "langgraph":
            return SummarizationMiddleware(**settings)
        from deepagents.backends import StateBackend
        from deepagents.middleware import summarization

        return summarization.SummarizationMiddleware(backend=StateBackend(), **settings)

    def _count(self, messages: Sequence[Any], **_: Any) -> int:
        """Exactly, with the model's own template."""
        from langchain_core.messages import convert_to_openai_messages

        dicts = convert_to_openai_messages(list(messages))
        if not any(message["role"] == "user" for message in dicts):
            dicts = [*dicts, {"role": "user", "content": ""}]
        return self._llm.count(dicts) if messages else 0

    def _say(self, agent: str, text: str) -> Said:
        from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler

        prompts: list[str] = []

        class Prompts(BaseCallbackHandler):
            """Hears what the model is asked."""

            def on_chat_model_start(self, _: Any, messages: Any, **__: Any) -> None:
                prompts.append("\n".join(str(m.content) for m in messages[0][:-1]))

        used = UsageMetadataCallbackHandler()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = self._agents[agent].invoke(
                {"messages": [("user", text)]}, {**self._config, "callbacks": [used, Prompts()]}
            )
        self._config = self._agents[agent].get_state({"configurable": {"thread_id": "one"}}).config
        prefilled = sum(
            usage["input_tokens"] - usage.get("input_token_details", {}).get("cache_read", 0)
            for usage in used.usage_metadata.values()
        )
        return Said(state["messages"][-1].content, prompts[-1], prefilled, len(prompts) - 1)
