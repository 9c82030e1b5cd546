"""``/v1/responses``: answers, their tokens before they are asked for, and those that are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from longctx.server.errors import ApiError
from longctx.server.ids import new_id
from longctx.server.responses.documents import (
    Deleted,
    InputTokens,
    ItemList,
    ResponseDocument,
)
from longctx.server.responses.format import ResponseFormat
from longctx.server.responses.items import ITEM, Item, Reference, messages_of
from longctx.server.responses.replay import replayed
from longctx.server.responses.requests import ConversationRequest, ResponseRequest
from longctx.server.responses.store import ResponseStore
from longctx.server.responses.under_way import UnderWay
from longctx.server.service import Service, answers, n_tokens_of
from longctx.types import Completion, Message


def response_routes(service: Service, store: ResponseStore) -> APIRouter:
    """The routes of one server, over what it keeps."""
    router = APIRouter(prefix="/v1")
    instance, under_way = service.settings.instance, UnderWay()

    def turns_of(body: ConversationRequest, items: Sequence[Item]) -> tuple[Message, ...]:
        """The conversation that it goes on with, and its own items."""
        known = store.find(body.previous_response_id).turns if body.previous_response_id else ()
        return (*known, *messages_of(items))

    @router.post("/responses", responses=answers(ResponseDocument))
    async def create_response(body: ResponseRequest, request: Request) -> Response:
        """Answer a conversation."""
        items = _resolved(body.items, store)
        turns = turns_of(body, items)

        def keep(written: ResponseDocument, result: Completion) -> None:
            if written["store"]:
                listed = [_document(item, instance) for item in items]
                store.keep(written, listed, _continued(turns, result.message))

        draft = _draft(service.model_id(body.model), body, instance)
        form = ResponseFormat(
            draft,
            instance=instance,
            summarised=body.wants_summary,
            keep=keep,
        )
        watch = partial(under_way.add, draft["id"], form)
        return await service.answer(request, body.asked(turns), form, watch)

    @router.post("/responses/input_tokens")
    async def count_input_tokens(body: ConversationRequest, request: Request) -> InputTokens:
        """Count what an answer would read, template and tools included."""
        asked = body.asked(turns_of(body, _resolved(body.items, store)))
        n_tokens = await service.prompted(request, asked, n_tokens_of)
        return {"object": "response.input_tokens", "input_tokens": n_tokens}

    @router.get("/responses/{response_id}", responses=answers(ResponseDocument))
    async def response(
        response_id: str,
        stream: bool = False,
        starting_after: Annotated[int, Query(ge=-1)] = -1,
    ) -> Response:
        """One that is kept, perhaps as a stream, or that is being written, as far as it is."""
        begun = under_way.find(response_id)
        if not stream:
            return JSONResponse(begun or store.find(response_id).document)
        if begun is not None:
            raise ApiError(
                400,
                "this response is still being written, to the client that asked for it; ask again "
                "when it is over, or without stream",
                code="invalid_value",
                param="stream",
            )
        events = replayed(store.find(response_id).document, starting_after)
        return StreamingResponse(events, media_type="text/event-stream")

    @router.post("/responses/{response_id}/cancel")
    async def cancel_response(response_id: str) -> ResponseDocument:
        """End one that is being written: its client is told, and it is not kept."""
        cancelled = under_way.cancel(response_id)
        if cancelled is not None:
            return cancelled
        status = store.find(response_id).document["status"]
        raise ApiError(
            400,
            f"this response is over ({status}); only one that is being written can be cancelled",
            code="invalid_value",
        )

    @router.delete("/responses/{response_id}")
    async def delete_response(response_id: str) -> Deleted:
        """Keep it no more."""
        store.drop(response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    @router.get("/responses/{response_id}/input_items")
    async def input_items(
        response_id: str,
        order: Literal["asc", "desc"] = "desc",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: str | None = None,
    ) -> ItemList:
        """What its request had as input; not what that went on with."""
        items = [dict(item) for item in store.find(response_id).items]
        if order == "desc":
            items.reverse()
        ids = [item["id"] for item in items]
        begin = ids.index(after) + 1 if after in ids else 0
        page = items[begin : begin + limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": begin + limit < len(items),
        }

    return router


def _resolved(items: Sequence[Item | Reference], store: ResponseStore) -> list[Item]:
    """Items in the place of what refers to them."""
    found = []
    for item in items:
        whole = ITEM.validate_python(store.item(item.id)) if isinstance(item, Reference) else item
        assert not isinstance(whole, Reference)  # none is kept
        found.append(whole)
    return found


def _document(item: Item, instance: str) -> dict[str, Any]:
    """An item of the input as it is listed, with an id of its own."""
    known = item.model_dump(exclude_none=True)
    return {"id": new_id("item", instance), "type": "message", "status": "completed"} | known


def _continued(turns: Sequence[Message], answer: Message) -> tuple[Message, ...]:
    """The conversation with its answer, which may go on with a last turn of the assistant's."""
    if turns and turns[-1].role == "assistant" and not turns[-1].tool_calls:
        *before, begun = turns
        content = begun.content + answer.content
        reasoning = begun.reasoning + answer.reasoning
        changes = {"content": content, "reasoning": reasoning, "tool_calls": answer.tool_calls}
        return (*before, begun.model_copy(update=changes))
    return (*turns, answer)


def _draft(model: str, body: ResponseRequest, instance: str) -> ResponseDocument:
    """The response before it is written: what was asked, as it was understood."""
    form = body.text.format if body.text else None
    reasoning = body.reasoning
    sampling = body.sampling()
    return {
        "id": new_id("resp", instance),
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "model": model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "usage": None,
        "instructions": body.instructions,
        "previous_response_id": body.previous_response_id,
        "max_output_tokens": body.max_output_tokens,
        "temperature": sampling.get("temperature"),
        "top_p": sampling.get("top_p"),
        "top_logprobs": body.top_logprobs,
        "tools": [tool.model_dump() for tool in body.tools or ()],
        "tool_choice": _choice(body),
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "reasoning": reasoning.model_dump() if reasoning else {"effort": None, "summary": None},
        "text": {"format": _dumped(form) if form else {"type": "text"}},
        "truncation": "disabled",
        "background": False,
        "store": body.store is not False,
        "metadata": body.metadata or {},
        "user": body.user,
    }


def _choice(body: ResponseRequest) -> str | dict[str, Any]:
    choice = body.tool_choice or "auto"
    return choice if isinstance(choice, str) else choice.model_dump()


def _dumped(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(by_alias=True, exclude_none=True)
