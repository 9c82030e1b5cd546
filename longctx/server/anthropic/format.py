"""An answer as a message of blocks, and as the events of its stream."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from longctx.server.answer_format import frame
from longctx.server.anthropic.documents import (
    Content,
    MessageDocument,
    MessageUsage,
    StopReason,
)
from longctx.server.anthropic.errors import error_document
from longctx.server.asked import Asked
from longctx.server.blocks import Block, Blocks, Step
from longctx.server.errors import ApiError
from longctx.server.report import report
from longctx.types import Chunk, Completion, Usage

UNSIGNED = "unsigned"
"""In the place of a signature: clients drop thoughts that have none at all."""


class MessageFormat:
    """One answer.

    Args:
        model: the name of the model.
        asked: what is answered.
    """

    def __init__(self, model: str, asked: Asked) -> None:
        self._draft: MessageDocument = {
            "id": f"msg_{uuid.uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(Usage()),
        }
        self._max_tokens: int = asked.options["max_tokens"]
        self._blocks = Blocks()

    def whole(self, result: Completion) -> MessageDocument:
        """Its blocks."""
        message = self._draft.copy()
        message["content"] = [_content(block) for block in Blocks.of(result).all]
        message["stop_reason"] = self._reason(result)
        message["stop_sequence"] = result.stop_sequence
        message["usage"] = _usage(result.usage)
        message["longctx"] = report(result)
        return message

    def opening(self, n_prompt: int | None) -> Iterator[str]:
        """What of the prompt is in the cache is known later; the end tells it."""
        message = self._draft.copy()
        message["usage"] = _usage(Usage(prefilled_tokens=n_prompt or 0))
        yield _event("message_start", message=message)

    def piece(self, chunk: Chunk) -> Iterator[str]:
        """Blocks begin, grow and end."""
        for step in self._blocks.take(chunk):
            yield from _events(step)

    def ending(self, result: Completion) -> Iterator[str]:
        """The last block ends; why the answer does, and the tokens of all of it."""
        for step in self._blocks.end():
            yield from _events(step)
        reason = {"stop_reason": self._reason(result), "stop_sequence": result.stop_sequence}
        yield _event(
            "message_delta", delta=reason, usage=_usage(result.usage), longctx=report(result)
        )
        yield _event("message_stop")

    def failure(self, error: ApiError) -> Iterator[str]:
        """What went wrong."""
        yield frame(error_document(error), "error")

    def _reason(self, result: Completion) -> StopReason:
        if result.finish_reason == "tool_calls":
            return "tool_use"
        if result.finish_reason == "stop":
            return "end_turn" if result.stop_sequence is None else "stop_sequence"
        is_cut_by_window = (
            result.finish_detail is None and result.usage.completion_tokens < self._max_tokens
        )
        return "model_context_window_exceeded" if is_cut_by_window else "max_tokens"


def _event(kind: str, **members: Any) -> str:
    return frame({"type": kind, **members}, kind)


def _events(step: Step) -> Iterator[str]:
    block = step.block
    if step.what == "opens":
        yield _event("content_block_start", index=block.index, content_block=_content(block))
    elif step.what == "grows":
        yield _delta(block, _GROWTH[block.kind], step.text)
    else:
        if block.kind == "reasoning":
            yield _delta(block, ("signature_delta", "signature"), UNSIGNED)
        yield _event("content_block_stop", index=block.index)


_GROWTH = {
    "text": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "call": ("input_json_delta", "partial_json"),
}


def _delta(block: Block, names: tuple[str, str], text: str) -> str:
    kind, member = names
    return _event("content_block_delta", index=block.index, delta={"type": kind, member: text})


def _content(block: Block) -> Content:
    if block.kind == "call":
        given: dict[str, Any] = json.loads(block.text) if block.state == "completed" else {}
        return {"type": "tool_use", "id": block.call_id, "name": block.name, "input": given}
    if block.kind == "text":
        return {"type": "text", "text": block.text, "citations": None}
    signature = "" if block.state == "in_progress" else UNSIGNED
    return {"type": "thinking", "thinking": block.text, "signature": signature}


def _usage(usage: Usage) -> MessageUsage:
    return {
        "input_tokens": usage.prefilled_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
