"""Errors in Anthropic's shape: ``{"type": "error", "error": {"type", "message"}}``."""

from __future__ import annotations

from longctx.server.anthropic.documents import AnthropicErrorDocument
from longctx.server.errors import ApiError

_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


def error_document(error: ApiError) -> AnthropicErrorDocument:
    """What is sent."""
    kind = "api_error" if error.status >= 500 else "invalid_request_error"
    return {
        "type": "error",
        "error": {"type": _KINDS.get(error.status, kind), "message": error.message},
    }
