"""How servers differ beneath OpenAI's API: who says the window, and who counts tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, get_args

from longctx import arguments
from longctx.errors import RemoteError, RequestError, ToolError
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
Conversation: TypeAlias = Mapping[str, Any]
"""``messages`` as they are sent, ``tools`` where there are any, and what switches the template."""


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

    def count_chat(self, body: Conversation) -> int:
        """Tokens of a conversation as it is prefilled."""

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text."""

    def chat_ids(self, body: Conversation) -> list[int]:
        """Token ids of a conversation as it is prefilled."""

    def chat_text(self, body: Conversation) -> str:
        """The text that a conversation comes to."""

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of token ids."""


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
        return self._count(self._of_text(text))

    def count_chat(self, body: Conversation) -> int:
        """By the server."""
        return self._count(body)

    def text_ids(self, text: str) -> list[int]:
        """By the server."""
        return self._ids(self._of_text(text))

    def chat_ids(self, body: Conversation) -> list[int]:
        """By the server."""
        return self._ids(body)

    def chat_text(self, body: Conversation) -> str:
        """By the server."""
        return str(self._ask("/apply-template", body, "prompt", str))

    def text_of(self, ids: Sequence[int]) -> str:
        """By the server."""
        return str(self._ask("/detokenize", {"tokens": list(ids)}, "content", str))

    def _of_text(self, text: str) -> dict[str, Any]:
        return {"content": text}

    def _count(self, body: Mapping[str, Any]) -> int:
        return int(self._ask("/tokenize", body, "count", int))

    def _ids(self, body: Mapping[str, Any]) -> list[int]:
        return list(self._ask("/tokenize", body, "tokens", list))

    def _ask(self, path: str, body: Mapping[str, Any], name: str, kind: type) -> Any:
        found = self._connection.post(path, {"model": self._model, **body})
        return _member(found, name, kind, self._connection.root + path)


class VllmServer(LongctxServer):
    """vLLM, which calls plain text ``prompt``."""

    names = VLLM_NAMES

    def chat_text(self, body: Conversation) -> str:
        """Of its token ids, marks included."""
        return self.text_of(self.chat_ids(body))

    def text_of(self, ids: Sequence[int]) -> str:
        """By the server."""
        return str(self._ask("/detokenize", {"tokens": list(ids)}, "prompt", str))

    def _of_text(self, text: str) -> dict[str, Any]:
        """Without the token that begins a prompt."""
        return {"prompt": text, "add_special_tokens": False}


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
        return len(self.text_ids(text))

    def count_chat(self, body: Conversation) -> int:
        """By the server, as it tokenises what its template makes of the messages."""
        return len(self.chat_ids(body))

    def text_ids(self, text: str) -> list[int]:
        """By the server."""
        return self._ids(text, special=False)

    def chat_ids(self, body: Conversation) -> list[int]:
        """By the server."""
        return self._ids(self.chat_text(body), special=True)

    def chat_text(self, body: Conversation) -> str:
        """By the server.

        Raises:
            ToolError: its template has no place for tools.
        """
        if body.get("tools") and not self._shows_tools():
            raise ToolError(
                f"the chat template at {self._connection.root} has no place for tools, and "
                "llama-server would leave them out without a word: start it with "
                "--chat-template-file FILE, a template that has, or use `longctx serve`"
            )
        return str(self._ask("/apply-template", body, "prompt", str))

    def _shows_tools(self) -> bool:
        """Whether its template does, as far as it says (older ones do not)."""
        if self._has_tools is None:
            abilities = self._connection.get("/props").get("chat_template_caps")
            known = abilities if isinstance(abilities, dict) else {}
            self._has_tools = known.get("supports_tools", True) is not False
        return self._has_tools

    def text_of(self, ids: Sequence[int]) -> str:
        """By the server."""
        return str(self._ask("/detokenize", {"tokens": list(ids)}, "content", str))

    def _ids(self, text: str, *, special: bool) -> list[int]:
        body = {"content": text, "add_special": special, "parse_special": special}
        return list(self._ask("/tokenize", body, "tokens", list))

    def _ask(self, path: str, body: Mapping[str, Any], name: str, kind: type) -> Any:
        return _member(
            self._connection.post(path, dict(body)), name, kind, self._connection.root + path
        )


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

    def count_chat(self, body: Conversation) -> int:
        """Estimated: text, calls and tools as JSON, and what templates put around them."""
        messages, tools = body["messages"], body.get("tools") or ()
        texts = [json.dumps(tool, ensure_ascii=False) for tool in tools]
        for message in messages:
            texts.append(str(message.get("content") or ""))
            texts.append(str(message.get("reasoning_content") or ""))
            if calls := message.get("tool_calls"):
                texts.append(json.dumps(calls, ensure_ascii=False))
        around = TEMPLATE_TOKENS + MESSAGE_TOKENS * len(messages) + (TOOLS_TOKENS if tools else 0)
        return sum(map(estimate_tokens, texts)) + around

    def text_ids(self, _text: str) -> list[int]:
        """Nobody knows them."""
        raise self._unknown()

    def chat_ids(self, _body: Conversation) -> list[int]:
        """Nobody knows them."""
        raise self._unknown()

    def chat_text(self, _body: Conversation) -> str:
        """Nobody knows it."""
        raise self._unknown()

    def text_of(self, _ids: Sequence[int]) -> str:
        """Nobody knows it."""
        raise self._unknown()

    @staticmethod
    def _unknown() -> RequestError:
        return RequestError(
            "the server that has the model has no tokenizer route that is known; if it is "
            "longctx serve, vLLM or llama-server behind a proxy, pass counting="
        )


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


def _member(found: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    value = found.get(name)
    if not isinstance(value, kind):
        raise RemoteError(
            f"{where} answered without {name!r}; pass counting='estimate' if the server has no "
            "such route"
        )
    return value
