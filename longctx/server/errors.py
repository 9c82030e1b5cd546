"""What goes wrong, before a protocol says it in its own shape."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from longctx.errors import (
    ContextOverflowError,
    LongCtxError,
    PlanError,
    RemoteError,
    RequestError,
    TemplateError,
    ToolError,
)
from longctx.types import without_prefix

logger = logging.getLogger("longctx.server")

_CLIENT_ERRORS = {
    TemplateError: "invalid_messages",
    ToolError: "invalid_tool",
    PlanError: "invalid_plan",
    RequestError: "invalid_value",
}


class ApiError(Exception):
    """An answer other than 200.

    Args:
        status: of HTTP.
        message: what happened, the numbers, what to do.
        code: for programs; OpenAI's where it has one.
        param: the field of the request that is at fault.
        headers: to send along.
        overflow: has the numbers of what does not fit.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        overflow: ContextOverflowError | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = dict(headers or {})
        self.overflow = overflow


def queue_full(n_waiting: int, max_waiting: int, *, retry_s: int) -> ApiError:
    """429, with ``Retry-After``."""
    return ApiError(
        429,
        f"{n_waiting + 1} requests are under way, and at most {max_waiting + 1} may be; "
        f"try again in {retry_s} s",
        code="queue_full",
        headers={"Retry-After": str(retry_s)},
    )


def timed_out(timeout_s: float, remedy: str) -> ApiError:
    """504; ``remedy`` is what the client may do."""
    return ApiError(
        504,
        f"no complete answer within {timeout_s:g} s; {remedy}, or start the server with a longer "
        "--timeout",
        code="timeout",
    )


def stopping() -> ApiError:
    """503: who has no answer yet gets none."""
    return ApiError(
        503,
        "the server stops, and this answer was not complete in time; ask again when it runs, or "
        "stop it with a longer --grace",
        code="shutting_down",
    )


def client_gone() -> ApiError:
    """499, as nginx has it: nobody reads it; the log and the counters do."""
    return ApiError(499, "the client is gone", code="client_gone")


def as_api_error(error: Exception) -> ApiError:
    """Say any exception in words and a code; one that nobody foresaw is logged and not told."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextOverflowError):
        # The words by which clients of several kinds know it, and fall back to another model.
        said = (
            f"prompt is too long: {error.needed} tokens > {error.available} maximum (it exceeds "
            f"the available context size; the maximum context length is {error.n_ctx}): {error}"
        )
        return ApiError(400, said, code="context_length_exceeded", overflow=error)
    for kind, code in _CLIENT_ERRORS.items():
        if isinstance(error, kind):
            return ApiError(400, str(error), code=code)
    if isinstance(error, RemoteError):
        return _of_remote(error)
    if isinstance(error, LongCtxError):
        return ApiError(500, str(error), code=type(error).__name__)
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, str(error.detail), headers=error.headers)
    logger.error("an answer failed", exc_info=error)
    return ApiError(500, "the server failed; its log says how", code="internal_error")


def _of_remote(error: RemoteError) -> ApiError:
    """Of the server that this one stands before: away, or failing; or busy."""
    if error.retry_after_s is None:
        return ApiError(502, str(error), code="upstream_failed")
    retry = {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    return ApiError(503, str(error), code="upstream_busy", headers=retry)


def _of_validation(error: RequestValidationError) -> ApiError:
    found = error.errors()
    said = [f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {_said(item)}" for item in found[:5]]
    more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
    places = [str(part) for part in found[0]["loc"][1:2]]
    return ApiError(
        400,
        f"the request is not valid: {'; '.join(said)}{more}",
        code="invalid_value",
        param=places[0] if places else None,
    )


def _said(problem: Mapping[str, Any]) -> str:
    """What pydantic found, in the words of a client that knows nothing of it."""
    context = problem.get("ctx", {})
    if problem["type"] == "union_tag_invalid":
        return f"{context['tag']!r:.100} is not supported here; use {context['expected_tags']}"
    if problem["type"] == "literal_error":
        return f"{problem['input']!r:.100} is not supported here; use {context['expected']}"
    return without_prefix(str(problem["msg"]))
