"""What clients get: OpenAI's documents, and our own beside them.

These types are what mypy holds the formats to, and what ``/openapi.json`` says.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from longctx.server.report import Report
from longctx.server.timings import NativeTimings, PromptProgress
from longctx.types import FinishReason


class CalledFunction(TypedDict):
    """A call's name and its arguments, as JSON in a string."""

    name: str
    arguments: str


class Call(TypedDict):
    """A tool call."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class FunctionDelta(TypedDict, total=False):
    """A call's name, once, and pieces of its arguments."""

    name: str
    arguments: str


class CallDelta(TypedDict):
    """A piece of a tool call in a stream; the first of a call has its id and name."""

    index: int
    id: NotRequired[str]
    type: NotRequired[Literal["function"]]
    function: FunctionDelta


class TokenLikelihood(TypedDict):
    """A token; ``bytes`` tell what it is where it is a part of a character."""

    token: str
    logprob: float
    bytes: list[int]


class AnswerToken(TokenLikelihood):
    """A token of the answer, and the most likely ones in its place."""

    top_logprobs: list[TokenLikelihood]


class ChatLogprobs(TypedDict):
    """Each token of a message, or of a chunk of it."""

    content: list[AnswerToken]
    refusal: None


class TextLogprobs(TypedDict):
    """The same in columns; ``text_offset`` counts characters of the answer."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CachedTokens(TypedDict):
    """Tokens of a prompt that were not prefilled again."""

    cached_tokens: int


class ReasoningTokens(TypedDict):
    """Tokens of an answer that were thoughts."""

    reasoning_tokens: int


class UsageDocument(TypedDict):
    """Tokens of one request; ``is_estimate`` where the server behind this one does not count."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens
    is_estimate: NotRequired[Literal[True]]


class AssistantMessage(TypedDict):
    """What the model said, and what it thought before, where it tells (as DeepSeek's API, vLLM
    and llama-server have it)."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[Call]]


class ChatChoice(TypedDict):
    """The one choice of a chat completion."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class Delta(TypedDict, total=False):
    """What a chunk adds to the message."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str
    tool_calls: list[CallDelta]


class ChatChunkChoice(TypedDict):
    """The one choice of a chunk; the last has its ``finish_reason``."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None


class TextChoice(TypedDict):
    """The one choice of a text completion, or of a chunk of it."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: FinishReason | None


class Head(TypedDict):
    """What every document of one answer begins with; the fingerprint is of what runs the model."""

    id: str
    created: int
    model: str
    system_fingerprint: str


class InputTokens(TypedDict):
    """What an answer would read."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class ChatCompletion(Head):
    """A whole answer."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: UsageDocument
    timings: NativeTimings
    longctx: Report


class ChatChunk(Head):
    """A piece of a streamed answer."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]
    prompt_progress: NotRequired[PromptProgress]
    usage: NotRequired[UsageDocument]
    timings: NotRequired[NativeTimings]
    longctx: NotRequired[Report]


class TextCompletion(Head):
    """Text continued, or a piece of it."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
    prompt_progress: NotRequired[PromptProgress]
    usage: NotRequired[UsageDocument]
    timings: NotRequired[NativeTimings]
    longctx: NotRequired[Report]


class EmbeddingData(TypedDict):
    """One vector of length 1: numbers, or little-endian float32 in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(TypedDict):
    """Tokens of all inputs, by the embedder's own tokenizer, its special tokens included."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(TypedDict):
    """A vector for each input, in order."""

    object: Literal["list"]
    model: str
    data: list[EmbeddingData]
    usage: EmbeddingUsage


class ModelStatus(TypedDict):
    """Whether a model is open, as llama-server says it, and why it could not be opened."""

    value: Literal["unloaded", "loading", "loaded", "failed"]
    error: NotRequired[str]


class ModelDocument(TypedDict):
    """A model; ``max_model_len`` (as vLLM has it) is its window in tokens, None where unknown."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int | None
    status: ModelStatus
    longctx: dict[str, Any]


class ModelList(TypedDict):
    """The models that answer, and the embedder and the reranker if there are."""

    object: Literal["list"]
    data: list[ModelDocument]


class ErrorObject(TypedDict):
    """What happened; the numbers of tokens come with ``context_length_exceeded``."""

    message: str
    type: str
    param: str | None
    code: str | None
    n_prompt_tokens: NotRequired[int]
    needed: NotRequired[int]
    available: NotRequired[int]
    n_ctx: NotRequired[int]


class ErrorDocument(TypedDict):
    """An error in OpenAI's shape."""

    error: ErrorObject


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorDocument, "description": "The request was refused."},
    "5XX": {"model": ErrorDocument, "description": "The server failed, or ran out of time."},
}
"""What any route may answer."""
