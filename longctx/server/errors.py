"""Errors in OpenAI's shape: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from longctx.errors import (
    ContextOverflowError,
    LongCtxError,
    PlanError,
    RequestError,
    TemplateError,
    ToolError,
)

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
        details: further members of the error object.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = dict(headers or {})
        self.details = dict(details or {})

    @property
    def body(self) -> dict[str, Any]:
        """The JSON document."""
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": self.message,
                "type": kinds.get(self.status, kind),
                "param": self.param,
                "code": self.code,
                **self.details,
            }
        }

    def response(self) -> JSONResponse:
        """The whole response."""
        return JSONResponse(self.body, self.status, self.headers)


def queue_full(n_waiting: int, max_waiting: int, *, retry_s: int) -> ApiError:
    """429, with ``Retry-After``."""
    return ApiError(
        429,
        f"one answer is under way and {n_waiting} wait for it, of at most {max_waiting}; "
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


def as_api_error(error: Exception) -> ApiError:
    """Say any exception in OpenAI's words; one that nobody foresaw is logged and not told."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextOverflowError):
        numbers = {"needed": error.needed, "available": error.available, "n_ctx": error.n_ctx}
        return ApiError(400, str(error), code="context_length_exceeded", details=numbers)
    for kind, code in _CLIENT_ERRORS.items():
        if isinstance(error, kind):
            return ApiError(400, str(error), code=code)
    if isinstance(error, LongCtxError):
        return ApiError(500, str(error), code=type(error).__name__)
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, str(error.detail), headers=error.headers)
    logger.error("an answer failed", exc_info=error)
    return ApiError(500, "the server failed; its log says how", code="internal_error")


def _of_validation(error: RequestValidationError) -> ApiError:
    found = error.errors()
    said = [f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}" for item in found[:5]]
    more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
    places = [str(part) for part in found[0]["loc"][1:2]]
    return ApiError(
        400,
        f"the request is not valid: {'; '.join(said)}{more}",
        code="invalid_value",
        param=places[0] if places else None,
    )


def install(app: FastAPI) -> None:
    """Let every failure of the app answer in this shape."""

    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return as_api_error(error).response()

    for kind in (ApiError, LongCtxError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
