"""How servers differ beneath OpenAI's API: who says the window, and who counts tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias, get_args

from longctx import arguments
from longctx.errors import RemoteError, ToolError
from longctx.remote.connection import Connection
from longctx.remote.estimate import (
    MESSAGE_TOKENS,
    TEMPLATE_TOKENS,
    TOOLS_TOKENS,
    estimate_tokens,
)
from longctx.remote.names import (
    LLAMA_SERVER_NAMES,
    OWN_NAMES,
    UNKNOWN_NAMES,
    VLLM_NAMES,
    Names,
)

Counting: TypeAlias = Literal["longctx", "vllm", "llama-server", "estimate"]
WireMessages: TypeAlias = list[dict[str, Any]]
WireTools: TypeAlias = list[dict[str, Any]] | None


class Dialect(Protocol):
    """One kind of server."""

    exact: bool
    """Whether counts are those of the server's own tokenizer and chat template."""
    refuses_all: bool
    """Whether the server refuses an answer that does not fit, and not only a prompt."""
    extra_fields: Mapping[str, Any]
    """What a chat request carries besides OpenAI's fields."""
    names: Names
    """What it calls options that OpenAI's API does not have, and which it lacks."""

    def window(self, model: Mapping[str, Any], /) -> int | None:
        """Tokens of the window, by the model's entry in ``/v1/models`` or another place."""

    def count_text(self, text: str) -> int:
        """Tokens of plain text."""

    def count_chat(self, messages: WireMessages, tools: WireTools) -> int:
        """Tokens of a conversation as it is prefilled."""


class LongctxServer:
    """``longctx serve``: ``/tokenize`` takes text or messages, and the window is in the list."""

    exact = True
    refuses_all = True
    extra_fields: Mapping[str, Any] = {}
    names = OWN_NAMES

    def __init__(self, connection: Connection, model: str) -> None:
        self._connection, self._model = connection, model

    def window(self, model: Mapping[str, Any]) -> int | None:
        """Of the model's entry."""
        return _positive(model.get("max_model_len"))

    def count_text(self, text: str) -> int:
        """By the server."""
        return self._count(content=text)

    def count_chat(self, messages: WireMessages, tools: WireTools) -> int:
        """By the server."""
        return self._count(messages=messages, **({"tools": tools} if tools else {}))

    def _count(self, **body: Any) -> int:
        found = self._connection.post("/tokenize", {"model": self._model, **body})
        return _number(found, "count", self._connection)


class VllmServer(LongctxServer):
    """vLLM, which calls plain text ``prompt``."""

    names = VLLM_NAMES

    def count_text(self, text: str) -> int:
        """By the server, without the token that begins a prompt."""
        return self._count(prompt=text, add_special_tokens=False)


class LlamaServer:
    """llama.cpp's server: the template is rendered by one route, its text tokenised by another.

    It refuses a prompt that is too long, but ends an answer where the window does.
    """

    exact = True
    refuses_all = False
    extra_fields: Mapping[str, Any] = {"return_progress": True}
    names = LLAMA_SERVER_NAMES

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._has_tools: bool | None = None

    def window(self, _model: Mapping[str, Any]) -> int | None:
        """Of one slot."""
        settings = self._connection.get("/props").get("default_generation_settings")
        return _positive(settings.get("n_ctx")) if isinstance(settings, dict) else None

    def count_text(self, text: str) -> int:
        """By the server; what looks like a control token is text."""
        return self._count(text, special=False)

    def count_chat(self, messages: WireMessages, tools: WireTools) -> int:
        """By the server, as it tokenises what its template makes of the messages."""
        if tools and not self._shows_tools():
            raise ToolError(
                f"the chat template at {self._connection.root} has no place for tools, and "
                "llama-server would leave them out without a word: start it with "
                "--chat-template-file FILE, a template that has, or use `longctx serve`"
            )
        body = {"messages": messages, **({"tools": tools} if tools else {})}
        prompt = self._connection.post("/apply-template", body).get("prompt")
        return self._count(str(prompt), special=True)

    def _shows_tools(self) -> bool:
        """Whether its template does, as far as it says (older ones do not)."""
        if self._has_tools is None:
            abilities = self._connection.get("/props").get("chat_template_caps")
            known = abilities if isinstance(abilities, dict) else {}
            self._has_tools = known.get("supports_tools", True) is not False
        return self._has_tools

    def _count(self, text: str, *, special: bool) -> int:
        body = {"content": text, "add_special": special, "parse_special": special}
        tokens = self._connection.post("/tokenize", body).get("tokens")
        if not isinstance(tokens, list):
            raise RemoteError(
                f"{self._connection.root}/tokenize answered without tokens; pass "
                "counting='estimate' if it is no llama-server"
            )
        return len(tokens)


class UnknownServer:
    """Any other: counts are estimates, and high ones."""

    exact = False
    refuses_all = True
    extra_fields: Mapping[str, Any] = {}
    names = UNKNOWN_NAMES

    def window(self, model: Mapping[str, Any]) -> int | None:
        """By the names that several servers use."""
        return _positive(model.get("max_model_len") or model.get("context_length"))

    def count_text(self, text: str) -> int:
        """Estimated."""
        return estimate_tokens(text)

    def count_chat(self, messages: WireMessages, tools: WireTools) -> int:
        """Estimated: text, calls and tools as JSON, and what templates put around them."""
        texts = [json.dumps(tool, ensure_ascii=False) for tool in tools or ()]
        for message in messages:
            texts.append(str(message.get("content") or ""))
            texts.append(str(message.get("reasoning_content") or ""))
            if calls := message.get("tool_calls"):
                texts.append(json.dumps(calls, ensure_ascii=False))
        around = TEMPLATE_TOKENS + MESSAGE_TOKENS * len(messages) + (TOOLS_TOKENS if tools else 0)
        return sum(map(estimate_tokens, texts)) + around


_OWNERS: dict[str, Counting] = {
    "longctx": "longctx",
    "vllm": "vllm",
    "llamacpp": "llama-server",
}


def dialect_of(
    connection: Connection, model: Mapping[str, Any], counting: Counting | None
) -> Dialect:
    """The dialect asked for, or the one of the server that says who it is in ``owned_by``.

    Raises:
        RequestError: ``counting`` is unknown.
    """
    if counting is not None:
        counting = arguments.one_of("counting", counting, get_args(Counting))
    kind = counting or _OWNERS.get(str(model.get("owned_by")), "estimate")
    name = str(model.get("id", ""))
    if kind == "longctx":
        return LongctxServer(connection, name)
    if kind == "vllm":
        return VllmServer(connection, name)
    return LlamaServer(connection) if kind == "llama-server" else UnknownServer()


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _number(found: Mapping[str, Any], name: str, connection: Connection) -> int:
    value = found.get(name)
    if not isinstance(value, int):
        raise RemoteError(
            f"{connection.root}/tokenize answered without {name!r}; pass counting='estimate' if "
            "the server has no such route"
        )
    return value
