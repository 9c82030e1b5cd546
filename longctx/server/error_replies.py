"""Errors as responses, in the shape of the protocol that was asked in."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from longctx.errors import LongCtxError
from longctx.server.anthropic import errors as anthropic
from longctx.server.errors import ApiError, as_api_error
from longctx.server.openai import errors as openai


def error_reply(error: ApiError, path: str) -> JSONResponse:
    """The whole response.

    Args:
        error: what went wrong.
        path: of the request, which tells its protocol.
    """
    is_anthropic = path.startswith("/v1/messages")
    document = anthropic.error_document(error) if is_anthropic else openai.error_document(error)
    return JSONResponse(document, error.status, error.headers)


def install(app: FastAPI) -> None:
    """Let every failure of the app answer so."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        return error_reply(as_api_error(error), request.url.path)

    for kind in (ApiError, LongCtxError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
