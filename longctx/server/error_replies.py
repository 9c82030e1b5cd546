"""Errors as responses."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from longctx.errors import LongCtxError
from longctx.server.errors import ApiError, as_api_error
from longctx.server.openai.errors import error_document


def error_reply(error: ApiError) -> JSONResponse:
    """The whole response."""
    return JSONResponse(error_document(error), error.status, error.headers)


def install(app: FastAPI) -> None:
    """Let every failure of the app answer so."""

    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return error_reply(as_api_error(error))

    for kind in (ApiError, LongCtxError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
