"""A response that is kept, as the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from longctx.server.answer_format import frame
from longctx.server.responses.documents import OutputItem, ResponseDocument


def replayed(kept: ResponseDocument, starting_after: int = -1) -> Iterator[str]:
    """Its events in their order, each text in one piece, which is not how it was streamed.

    Args:
        kept: the whole response.
        starting_after: the number of the last event that the client has.
    """
    begun: ResponseDocument = {
        **kept,
        "status": "in_progress",
        "output": [],
        "usage": None,
        "completed_at": None,
        "incomplete_details": None,
    }
    begun.pop("longctx", None)
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(kept["output"]):
        events += _events(item, index)
    events.append({"type": f"response.{kept['status']}", "response": kept})
    for number, event in enumerate(events):
        if number > starting_after:
            yield frame({"sequence_number": number, **event}, event["type"])


def _events(item: OutputItem, index: int) -> list[dict[str, Any]]:
    place: dict[str, Any] = {"output_index": index}
    where: dict[str, Any] = {"item_id": item["id"], **place}
    empty: dict[str, Any] = {**item, "status": "in_progress"}
    inner: list[dict[str, Any]] = []
    if item["type"] == "function_call":
        empty["arguments"] = ""
        name, text = "response.function_call_arguments", item["arguments"]
        inner = [
            {"type": f"{name}.delta", **where, "delta": text},
            {"type": f"{name}.done", **where, "arguments": text},
        ]
    elif item["type"] == "message":
        empty["content"] = []
        inner = _parts(item["content"], "response.content_part", "content_index", where)
    else:
        empty |= {name: [] for name in ("summary", "content") if name in item}
        summary = "response.reasoning_summary_part"
        inner = _parts(item["summary"], summary, "summary_index", where)
        inner += _parts(item.get("content", ()), "response.content_part", "content_index", where)
    return [
        {"type": "response.output_item.added", **place, "item": empty},
        *inner,
        {"type": "response.output_item.done", **place, "item": item},
    ]


_TEXTS = {
    "output_text": "response.output_text",
    "reasoning_text": "response.reasoning_text",
    "summary_text": "response.reasoning_summary_text",
}


def _parts(parts: Any, name: str, place: str, where: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for i, part in enumerate(parts):
        at, text = {**where, place: i}, _TEXTS[part["type"]]
        likely = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
        events += [
            {"type": f"{name}.added", **at, "part": {**part, "text": ""}},
            {"type": f"{text}.delta", **at, "delta": part["text"], **likely},
            {"type": f"{text}.done", **at, "text": part["text"], **likely},
            {"type": f"{name}.done", **at, "part": part},
        ]
    return events
