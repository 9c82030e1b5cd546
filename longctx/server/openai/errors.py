"""Errors in OpenAI's shape: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

from longctx.server.errors import ApiError
from longctx.server.openai.documents import ErrorDocument, ErrorObject

_KINDS = {401: "authentication_error", 429: "rate_limit_error"}


def error_document(error: ApiError) -> ErrorDocument:
    """What is sent."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    said: ErrorObject = {
        "message": error.message,
        "type": _KINDS.get(error.status, kind),
        "param": error.param,
        "code": error.code,
    }
    if error.overflow is not None:  # llama-server's words for it, beside OpenAI's code
        said["type"] = "exceed_context_size_error"
        said["n_prompt_tokens"] = error.overflow.needed
        said["needed"] = error.overflow.needed
        said["available"] = error.overflow.available
        said["n_ctx"] = error.overflow.n_ctx
    return {"error": said}
