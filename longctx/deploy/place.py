"""What a request says about where it should go, before any replica has seen it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from longctx.deploy.marks import Mark, marks_of
from longctx.errors import LongCtxError
from longctx.server.anthropic.requests import CountRequest, MessagesRequest
from longctx.server.asked import Asked
from longctx.server.ids import instance_of
from longctx.server.openai.requests import ChatRequest, CompletionRequest
from longctx.server.responses.items import Reference, messages_of
from longctx.server.responses.requests import ConversationRequest, ResponseRequest

_RESPONSES = "/v1/responses/"


@dataclass(frozen=True)
class Place:
    """Where a request should go.

    Attributes:
        marks: of its prompt; none where it has none.
        instance: the server that keeps what it refers to by id; "" where it refers to nothing.
        is_answered: by a model, which takes a place; the rest is quick.
    """

    marks: tuple[Mark, ...] = ()
    instance: str = ""
    is_answered: bool = False


def place_of(path: str, body: bytes) -> Place:
    """Read it out of a request.

    A request that is not valid may go anywhere: any server says what is wrong with it.

    Args:
        path: as the server has it, with its ``/v1``.
        body: JSON where the route takes any.
    """
    if path in _READERS:
        try:
            return _READERS[path](body)
        except (ValueError, LongCtxError):
            return Place()
    if path.startswith(_RESPONSES):
        return Place(instance=instance_of(path.removeprefix(_RESPONSES).partition("/")[0]))
    return Place()


def _asked(asked: Asked) -> Place:
    return Place(marks_of(asked), is_answered=True)


def _response(body: ConversationRequest) -> Place:
    if body.previous_response_id:  # whose prompt the one that keeps it knows
        return Place(instance=instance_of(body.previous_response_id), is_answered=True)
    kept = [instance_of(item.id) for item in body.items if isinstance(item, Reference)]
    own = messages_of([item for item in body.items if not isinstance(item, Reference)])
    return Place(marks_of(body.asked(own)), next(filter(None, kept), ""), is_answered=True)


_READERS: Mapping[str, Callable[[bytes], Place]] = {
    "/v1/chat/completions": lambda body: _asked(ChatRequest.model_validate_json(body).asked()),
    # Several prompts are one request: it goes where the first of them belongs.
    "/v1/completions": lambda body: _asked(CompletionRequest.model_validate_json(body).asked()[0]),
    "/v1/messages": lambda body: _asked(MessagesRequest.model_validate_json(body).asked()),
    "/v1/messages/count_tokens": lambda body: _asked(
        CountRequest.model_validate_json(body).asked()
    ),
    "/v1/responses": lambda body: _response(ResponseRequest.model_validate_json(body)),
    "/v1/responses/input_tokens": lambda body: _response(
        ConversationRequest.model_validate_json(body)
    ),
}
