"""Every error longctx raises on purpose.

The tree::

    LongCtxError
    ├── RequestError           an argument is wrong
    │   └── PlanError          no window satisfies the request (.largest_ctx says what would)
    ├── ModelFileError         the file is missing, truncated or not a GGUF
    ├── UnsupportedModelError  the file is fine, but this cannot be done with that model
    ├── ContextOverflowError   the text does not fit (.needed .available .n_ctx)
    ├── SnapshotMismatchError  a saved state belongs to another model or another scale
    ├── TemplateError          the messages are no conversation, or the chat template fails
    ├── ToolError              a tool's definition or its call is wrong
    ├── DocumentError          a document cannot be read
    ├── BackendError           llama.cpp failed, or what is asked is closed or empty
    │   └── RemoteError        a server cannot be reached, is busy, or failed (.status)
    └── MissingExtraError      an optional package is not installed

Each message says what happened, with the numbers, and what to do about it. A wrong value is the
same error wherever it is passed: of a conversation ``TemplateError``, of a tool ``ToolError``, of a
document ``DocumentError``, of a plan ``PlanError``, and ``RequestError`` for every other argument.
"""

from __future__ import annotations


class LongCtxError(Exception):
    """Base of all errors that longctx raises on purpose."""


class RequestError(LongCtxError):
    """An argument is of the wrong type, out of its range, unknown, or contradicts another."""


class ModelFileError(LongCtxError):
    """The model file is missing, unreadable, truncated or not a GGUF."""


class UnsupportedModelError(LongCtxError):
    """The file is a good GGUF, but what was asked cannot be done with that model."""


class PlanError(RequestError):
    """No window satisfies the request.

    ``largest_ctx`` is the largest window, in tokens, that would (None where none does, or
    where the request was wrong for another reason).
    """

    def __init__(self, message: str, *, largest_ctx: int | None = None) -> None:
        super().__init__(message)
        self.largest_ctx = largest_ctx


class ContextOverflowError(LongCtxError):
    """The prompt and the room for its answer do not fit the window; nothing was cut.

    ``needed``, ``available`` and ``n_ctx`` are in tokens.
    """

    def __init__(self, message: str, *, needed: int, available: int, n_ctx: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available
        self.n_ctx = n_ctx


class SnapshotMismatchError(LongCtxError):
    """A saved state does not belong to this model, scale or build."""


class TemplateError(LongCtxError):
    """The messages are not a conversation, or the model's chat template refuses them."""


class ToolError(LongCtxError):
    """A tool's definition, or a call of it, is wrong."""


class DocumentError(LongCtxError):
    """A document cannot be read."""


class BackendError(LongCtxError):
    """llama.cpp failed, or is used when it cannot be: closed, empty, or busy in this thread."""


class RemoteError(BackendError):
    """A model's server cannot be reached, refuses, is busy, or failed.

    ``status`` is HTTP's, None where no answer came; ``retry_after_s`` is set where asking again
    is worth it, after so many seconds.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class MissingExtraError(LongCtxError):
    """An optional package is needed and not installed; the message names the extra."""
