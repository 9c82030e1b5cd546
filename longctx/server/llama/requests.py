"""What clients of llama-server may send."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from longctx.server.asked import Asked
from longctx.server.openai.requests import ChatMessage, Tool
from longctx.server.requests import Request, Text, effort_of, given, template_options


class _Rendered(Request):
    """A conversation as a chat would prefill it."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    tools: list[Tool] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: Text | None = None

    def asked(self) -> Asked:
        """Our form of the conversation."""
        tools = [tool.to_schema() for tool in self.tools or ()] or None
        return Asked(
            tuple(message.to_message() for message in self.messages or ()),
            given(tools=tools) | template_options(self.chat_template_kwargs),
            model=self.model,
            effort=effort_of(self.reasoning_effort, self.chat_template_kwargs),
        )


class TokenizeRequest(_Rendered):
    """``POST /tokenize``: plain ``content``, or ``messages``.

    ``add_special`` puts the model's BOS before a content, as an answer would read it;
    ``with_pieces`` tells what each token is.
    """

    content: str | None = None
    add_special: bool | None = None
    parse_special: Literal[False] | None = None
    with_pieces: bool | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeRequest:
        if (self.content is None) == (self.messages is None):
            raise ValueError("give either content or messages")
        return self


class DetokenizeRequest(Request):
    """``POST /detokenize``."""

    tokens: Annotated[list[int], Field(max_length=1_000_000)]


class TemplateRequest(_Rendered):
    """``POST /apply-template``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]


class ModelRequest(Request):
    """``POST /v1/models/load`` and ``unload``: which one."""

    model: Text
