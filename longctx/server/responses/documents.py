"""What clients of the Responses API get."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from longctx.server.openai.documents import AnswerToken, CachedTokens, ReasoningTokens
from longctx.server.report import Report

Status = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]


class OutputText(TypedDict):
    """What was said."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[AnswerToken]


class Thought(TypedDict):
    """What was thought, as it is, or in the place of its summary."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


class OutputMessage(TypedDict):
    """Words of the answer."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Status
    content: list[OutputText]


class OutputCall(TypedDict):
    """A call of a tool."""

    id: str
    type: Literal["function_call"]
    status: Status
    call_id: str
    name: str
    arguments: str


class OutputReasoning(TypedDict):
    """Thoughts, before words or calls."""

    id: str
    type: Literal["reasoning"]
    status: Status
    summary: list[Thought]
    content: NotRequired[list[Thought]]


OutputItem = OutputMessage | OutputCall | OutputReasoning


class CachedInputTokens(CachedTokens):
    """Nothing has to be paid for what is written to the cache, so none of it is counted."""

    cache_write_tokens: Literal[0]


class ResponseUsage(TypedDict):
    """Tokens of one answer."""

    input_tokens: int
    input_tokens_details: CachedInputTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class Incomplete(TypedDict):
    """Why an answer is not whole: its room was used up."""

    reason: Literal["max_output_tokens"]


class Failure(TypedDict):
    """Why an answer that had begun broke off."""

    code: str
    message: str


class ResponseDocument(TypedDict):
    """An answer, and what was asked."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: ResponseStatus
    model: str
    output: list[OutputItem]
    error: Failure | None
    incomplete_details: Incomplete | None
    usage: ResponseUsage | None
    instructions: str | None
    previous_response_id: str | None
    max_output_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_logprobs: int | None
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    reasoning: dict[str, Any]
    text: dict[str, Any]
    truncation: Literal["disabled"]
    background: Literal[False]
    store: bool
    metadata: dict[str, str]
    user: str | None
    longctx: NotRequired[Report]


class ItemList(TypedDict):
    """Items of an input, by page."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(TypedDict):
    """What an input comes to."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class Deleted(TypedDict):
    """It is kept no more."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]
