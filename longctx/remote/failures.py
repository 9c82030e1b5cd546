"""What a server refuses, as our errors: by OpenAI's codes, llama-server's types, vLLM's words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from longctx.errors import (
    ContextOverflowError,
    LongCtxError,
    RemoteError,
    RequestError,
    TemplateError,
    ToolError,
)

_BUSY_S = 1.0
_WINDOW = re.compile(r"maximum context length (?:is|of) (\d+)")
_SCHEMA = re.compile(
    r"json.?schema|parse grammar|grammar_init|guided_|response_format|structured.?output|"
    r"tools? .{0,20}schema",
    re.IGNORECASE,
)
_ASKED = re.compile(r"requested (\d+) tokens")
_PROMPT = re.compile(r"(\d+) (?:input tokens|tokens in the (?:prompt|messages))")


def failure(
    status: int, text: str, headers: Mapping[str, str], root: str, *, max_tokens: int = 0
) -> LongCtxError:
    """Translate an answer other than 200.

    Args:
        status: of HTTP.
        text: the body.
        headers: of the answer.
        root: the server's address, for the message.
        max_tokens: what the request asked for.

    Returns:
        :class:`ContextOverflowError` with the numbers, :class:`TemplateError`,
        :class:`ToolError`, :class:`RequestError`, or :class:`RemoteError`.
    """
    error = _error(text)
    message = str(error.get("message") or text[:200].strip() or "no reason given")
    found = refusal(error, max_tokens)
    if found is not None:
        return found
    what = f"{root} answered {status}: {message}"
    if status in (401, 403):
        return RemoteError(f"{what}. Pass the server's api_key", status=status)
    if status in (429, 503):
        wait_s = _seconds(headers.get("Retry-After"))
        return RemoteError(
            f"{what}. The server is busy; ask again in {wait_s:g} s, ask less at once, or raise "
            "retries",
            status=status,
            retry_after_s=wait_s,
        )
    if status == 404:
        what = f"{what}. Check base_url and the model's name"
    return RemoteError(what, status=status)


def refusal(error: Mapping[str, Any], max_tokens: int = 0) -> LongCtxError | None:
    """A refusal that says what is wrong with the request; None for any other error."""
    message, code = str(error.get("message", "")), error.get("code")
    window = _WINDOW.search(message)
    too_long = code == "context_length_exceeded" or error.get("type") == "exceed_context_size_error"
    if too_long or window:
        n_ctx = _first(error.get("n_ctx"), error.get("available"), window and window[1])
        asked, prompt = _ASKED.search(message), _PROMPT.search(message)
        n_prompt = _first(error.get("n_prompt_tokens"), prompt and prompt[1])
        needed = _first(error.get("needed"), asked and asked[1])
        needed = needed or n_prompt + max_tokens if n_prompt or needed else n_ctx + 1
        return ContextOverflowError(
            f"the server refused: {message} Shorten the prompt, lower max_tokens, or serve a "
            "larger window. Nothing was cut.",
            needed=needed,
            available=n_ctx,
            n_ctx=n_ctx,
        )
    if _SCHEMA.search(message):
        return RequestError(
            f"the server cannot hold an answer to this schema, or to the schema of a tool: "
            f"{message:.300}; say it more simply"
        )
    if code == "invalid_messages":
        return TemplateError(message)
    if code == "invalid_tool":
        return ToolError(message)
    if code == "invalid_value":
        return RequestError(message)
    return None


def _error(text: str) -> dict[str, Any]:
    """The error's object: OpenAI's nested one, or the whole body where that is one."""
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(body, dict):
        return {}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {"message": error}


def _first(*numbers: Any) -> int:
    return next((int(number) for number in numbers if number), 0)


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or _BUSY_S))
    except ValueError:  # a date: the server's clock is not ours
        return _BUSY_S
