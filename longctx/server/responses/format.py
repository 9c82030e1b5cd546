"""An answer as a response of items, and as the events of its stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from longctx.server.answer_format import frame
from longctx.server.blocks import Block, Blocks, Step
from longctx.server.errors import ApiError
from longctx.server.ids import new_id
from longctx.server.openai.logprobs import answer_token
from longctx.server.report import report
from longctx.server.responses.documents import (
    OutputItem,
    OutputText,
    ResponseDocument,
    ResponseStatus,
    ResponseUsage,
    Thought,
)
from longctx.types import Chunk, Completion, Usage


@dataclass(frozen=True)
class _Words:
    """How the events of a kind of text are called.

    Attributes:
        text: the events of its pieces.
        part: the events of the part around them; "" where there is none.
        place: the member that says which part.
    """

    text: str
    part: str = ""
    place: str = ""


CANCELLED = "response_cancelled"
_SAID = _Words("response.output_text", "response.content_part", "content_index")
_THOUGHT = _Words("response.reasoning_text", "response.content_part", "content_index")
_SUMMARY = _Words(
    "response.reasoning_summary_text", "response.reasoning_summary_part", "summary_index"
)
_ARGUMENTS = _Words("response.function_call_arguments")


class ResponseFormat:
    """One answer.

    Args:
        draft: the response as it is before anything is written.
        instance: of the server, as in :class:`~longctx.server.settings.ServerSettings`.
        summarised: put thoughts in the place of their summary, where clients look that ask for it.
        keep: called with the response once it is written.
    """

    def __init__(
        self,
        draft: ResponseDocument,
        *,
        instance: str = "",
        summarised: bool,
        keep: Callable[[ResponseDocument, Completion], None],
    ) -> None:
        self._draft = draft
        self._instance = instance
        self._summarised = summarised
        self._keep = keep
        self._blocks = Blocks()
        self._n_events = 0

    def whole(self, result: Completion) -> ResponseDocument:
        """Its items."""
        self._blocks = Blocks.of(result)
        return self._written(result)

    def opening(self, _n_prompt: int | None) -> Iterator[str]:
        """It was created, and is under way."""
        yield self._event("response.created", response=self._draft)
        yield self._event("response.in_progress", response=self._draft)

    def piece(self, chunk: Chunk) -> Iterator[str]:
        """Items begin, grow and end."""
        for step in self._blocks.take(chunk):
            yield from self._events(step)

    def ending(self, result: Completion) -> Iterator[str]:
        """The last item ends, and the response is complete, or is not."""
        for step in self._blocks.end(is_cut=result.finish_reason == "length"):
            yield from self._events(step)
        written = self._written(result)
        yield self._event(f"response.{written['status']}", response=written)

    def failure(self, error: ApiError) -> Iterator[str]:
        """It broke off."""
        for _ in self._blocks.end(is_cut=True):
            pass
        failed = self.unwritten("cancelled" if error.code == CANCELLED else "failed")
        failed["error"] = {"code": error.code or "server_error", "message": error.message}
        yield self._event("response.failed", response=failed)

    def _written(self, result: Completion) -> ResponseDocument:
        is_cut = result.finish_reason == "length"
        written = self.unwritten("incomplete" if is_cut else "completed")
        written["usage"] = _usage(result.usage)
        written["longctx"] = report(result)
        if is_cut:
            written["incomplete_details"] = {"reason": "max_output_tokens"}
        else:
            written["completed_at"] = int(time.time())
        self._keep(written, result)
        return written

    def unwritten(self, status: ResponseStatus) -> ResponseDocument:
        """The response as far as it is written."""
        document = self._draft.copy()
        document["status"] = status
        document["output"] = [self._item(block) for block in self._blocks.all]
        return document

    # Events

    def _event(self, name: str, **members: Any) -> str:
        self._n_events += 1
        number = self._n_events - 1
        return frame({"type": name, "sequence_number": number, **members}, name)

    def _events(self, step: Step) -> Iterator[str]:
        block, words = step.block, self._words(step.block)
        index = {"output_index": block.index}
        where: dict[str, Any] = {"item_id": self._id(block), **index}
        if words.part:
            where[words.place] = 0
        likely = (
            {"logprobs": [answer_token(token) for token in step.logprobs or block.logprobs]}
            if block.kind == "text"
            else {}
        )
        if step.what == "opens":
            item = self._item(block, begins=True)
            yield self._event("response.output_item.added", **index, item=item)
            if words.part:
                yield self._event(f"{words.part}.added", **where, part=self._part(block))
        elif step.what == "grows":
            if not step.logprobs:
                likely = {name: [] for name in likely}
            yield self._event(f"{words.text}.delta", **where, delta=step.text, **likely)
        else:
            name = "arguments" if block.kind == "call" else "text"
            yield self._event(f"{words.text}.done", **where, **{name: block.text}, **likely)
            if words.part:
                yield self._event(f"{words.part}.done", **where, part=self._part(block))
            yield self._event("response.output_item.done", **index, item=self._item(block))

    def _words(self, block: Block) -> _Words:
        if block.kind == "reasoning":
            return _SUMMARY if self._summarised else _THOUGHT
        return _SAID if block.kind == "text" else _ARGUMENTS

    # Items

    def _item(self, block: Block, *, begins: bool = False) -> OutputItem:
        if block.kind == "call":
            return {
                "id": self._id(block),
                "type": "function_call",
                "status": block.state,
                "call_id": block.call_id,
                "name": block.name,
                "arguments": block.text,
            }
        if block.kind == "text":
            return {
                "id": self._id(block),
                "type": "message",
                "role": "assistant",
                "status": block.state,
                "content": [] if begins else [_said(block)],
            }
        thoughts = [] if begins else [self._thought(block)]
        if self._summarised:
            return {
                "id": self._id(block),
                "type": "reasoning",
                "status": block.state,
                "summary": thoughts,
            }
        return {
            "id": self._id(block),
            "type": "reasoning",
            "status": block.state,
            "summary": [],
            "content": thoughts,
        }

    def _id(self, block: Block) -> str:
        return new_id(_PREFIX[block.kind], self._instance, block.uid)

    def _part(self, block: Block) -> OutputText | Thought:
        return _said(block) if block.kind == "text" else self._thought(block)

    def _thought(self, block: Block) -> Thought:
        kind: Literal["summary_text", "reasoning_text"] = (
            "summary_text" if self._summarised else "reasoning_text"
        )
        return {"type": kind, "text": block.text}


_PREFIX = {"reasoning": "rs", "text": "msg", "call": "fc"}


def _said(block: Block) -> OutputText:
    return {
        "type": "output_text",
        "text": block.text,
        "annotations": [],
        "logprobs": [answer_token(token) for token in block.logprobs],
    }


def _usage(usage: Usage) -> ResponseUsage:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
