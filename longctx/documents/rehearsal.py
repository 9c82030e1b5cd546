"""How large a window is large enough: tried, up to where the model would be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from typing_extensions import Unpack

from longctx.documents.asking import Asking
from longctx.errors import ContextOverflowError
from longctx.options import ChatOptions
from longctx.protocols import ChatModel
from longctx.stream import Stream
from longctx.types import Completion, Messages, ToolSchema

T = TypeVar("T")

# What a model keeps for answers where it is not told: a quarter of its window, up to this.
_MOST_RESERVED = 1024
# Each step is at most half of the one before: the share of the window is a quarter, taken twice.
_MOST_TRIES = 40


def saying_enough(asking: Asking, run: Callable[[Asking], T]) -> T:
    """Run a step of a question; if it does not fit, say in what window all of it would.

    One thing that does not fit hides the next: a longer passage, or the share of its window that
    the model keeps for the answer, which grows with it. So the step is rehearsed in the window
    that the error names, and in the next, until it would come to the model.

    Raises:
        ContextOverflowError: "at least N", and N is enough.
    """
    try:
        return run(asking)
    except ContextOverflowError as error:
        if asking.calls:
            raise  # what was written is too long, which cannot be rehearsed
        enough = _enough(asking, run, error.needed)
        message = str(error).replace(f"at least {error.needed}", f"at least {enough}")
        raise ContextOverflowError(
            message, needed=enough, available=error.available, n_ctx=error.n_ctx
        ) from None


def _enough(asking: Asking, run: Callable[[Asking], object], needed: int) -> int:
    for _ in range(_MOST_TRIES):
        reserved = asking.reserved_tokens
        if asking.reserves_by_default and reserved == _share(asking.llm.target_ctx):
            reserved = _share(needed)
        llm = _CountingModel(asking.llm, needed, reserved)
        again = replace(
            asking,
            llm=llm,
            budget_tokens=needed,
            reserved_tokens=reserved,
            puts_off_answer=False,
        )
        try:
            run(again)
        except _WouldAskError:
            return needed
        except ContextOverflowError as error:
            needed = max(needed + 1, error.needed)
        else:
            return needed
    return needed


def _share(window: int) -> int:
    return max(1, min(_MOST_RESERVED, window // 4))


class _WouldAskError(Exception):
    """The rehearsal came to the model."""


@dataclass(frozen=True)
class _CountingModel:
    """A model with another window, that counts and is not asked."""

    llm: ChatModel
    target_ctx: int
    reserve_output: int

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        return self.llm.count(text, tools)

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        raise _WouldAskError(messages, options)

    def stream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Stream:
        raise _WouldAskError(messages, options)
