"""A run as OpenTelemetry spans, by its conventions for generative AI.

``invoke_agent`` is the run; below it are ``chat``, one for each completion, and ``execute_tool``,
one for each call. Without a tracer nothing is imported, and nothing done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from longctx.agents.events import AgentResult
from longctx.errors import MissingExtraError, RequestError
from longctx.protocols import ChatModel
from longctx.types import Completion, Message, ToolCall, Usage

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Noted: TypeAlias = Callable[[Completion], None]
Returned: TypeAlias = Callable[[str], None]

_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class RunTrace(Protocol):
    """What is noted of a run."""

    def step(
        self, max_tokens: int | None, prompt: Sequence[Message]
    ) -> AbstractContextManager[Noted]:
        """Around a completion; gives a function that is told of it when it is there."""
        ...

    def tool(self, call: ToolCall) -> AbstractContextManager[Returned]:
        """Around a call, in the tool's thread; gives a function that is told its result."""
        ...

    def end(self, outcome: AgentResult | BaseException) -> None:
        """The run is over."""
        ...


class Untraced:
    """Notes nothing."""

    def step(
        self, _max_tokens: int | None, _prompt: Sequence[Message]
    ) -> AbstractContextManager[Noted]:
        """Nothing around a completion."""
        return nullcontext(_forgotten)

    def tool(self, _call: ToolCall) -> AbstractContextManager[Returned]:
        """Nothing around a call."""
        return nullcontext(_forgotten)

    def end(self, _outcome: AgentResult | BaseException) -> None:
        """Nothing."""


def _forgotten(_what: object) -> None:
    """Nothing is noted."""


class Traced:
    """Notes a run as spans.

    What is said, and what tools are called with and give back, is noted only where the variable
    ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` is ``true``.

    Args:
        tracer: makes the spans.
        model: the model's name.
        agent: the agent's name.
    """

    def __init__(self, tracer: Tracer, model: str, agent: str) -> None:
        from opentelemetry import trace

        self._tracer = tracer
        self._model = model
        self._common = {"gen_ai.provider.name": "longctx", "gen_ai.request.model": model}
        self._run = tracer.start_span(
            f"invoke_agent {agent}",
            attributes={
                **self._common,
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": agent,
            },
        )
        # Handed on, and not made current: a stream is read between spans of the caller's.
        self._below = trace.set_span_in_context(self._run)
        self._content = os.environ.get(_CONTENT, "").lower() == "true"

    @contextmanager
    def step(self, max_tokens: int | None, prompt: Sequence[Message]) -> Iterator[Noted]:
        """A span ``chat``."""
        from opentelemetry.trace import SpanKind

        attributes: dict[str, Any] = {**self._common, "gen_ai.operation.name": "chat"}
        if max_tokens is not None:
            attributes["gen_ai.request.max_tokens"] = max_tokens
        span = self._tracer.start_span(
            f"chat {self._model}", self._below, kind=SpanKind.CLIENT, attributes=attributes
        )
        if self._content:
            span.set_attribute("gen_ai.input.messages", _as_json(map(_said, prompt)))

        def done(completion: Completion) -> None:
            span.set_attribute("gen_ai.response.model", self._model)
            span.set_attribute("gen_ai.response.finish_reasons", [completion.finish_reason])
            span.set_attribute("gen_ai.response.time_to_first_chunk", completion.timings.ttft_s)
            span.set_attribute("longctx.window.n_ctx", completion.window.n_ctx)
            _note_usage(span, completion.usage)
            if self._content:
                said = {**_said(completion.message), "finish_reason": completion.finish_reason}
                span.set_attribute("gen_ai.output.messages", _as_json([said]))

        with _ending(span):
            yield done

    @contextmanager
    def tool(self, call: ToolCall) -> Iterator[Returned]:
        """A span ``execute_tool``, current in the tool's thread."""
        from opentelemetry import trace

        span = self._tracer.start_span(
            f"execute_tool {call.name}",
            self._below,
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": call.name,
                "gen_ai.tool.call.id": call.id,
                "gen_ai.tool.type": "function",
            },
        )
        if self._content:
            span.set_attribute("gen_ai.tool.call.arguments", json.dumps(call.arguments))

        def returned(result: str) -> None:
            if self._content:
                span.set_attribute("gen_ai.tool.call.result", result)

        with _ending(span), trace.use_span(span, record_exception=False):
            yield returned

    def end(self, outcome: AgentResult | BaseException) -> None:
        """Note the sum, or what was raised."""
        if isinstance(outcome, AgentResult):
            self._run.set_attribute("gen_ai.response.finish_reasons", [outcome.stop_reason])
            _note_usage(self._run, outcome.usage)
        else:
            _note_error(self._run, outcome)
        self._run.end()


def run_trace(tracer: Any, llm: ChatModel, agent: str) -> RunTrace:
    """How a run is noted.

    Args:
        tracer: of OpenTelemetry; None notes nothing.
        llm: the model.
        agent: the agent's name.
    """
    return Untraced() if tracer is None else Traced(tracer, _name_of(llm), agent)


def check_tracer(tracer: Any) -> Any:
    """The tracer itself, or, of True, the program's own.

    Raises:
        MissingExtraError: the package ``opentelemetry-api`` (extra ``otel``) is not installed.
        RequestError: it is no tracer.
    """
    if tracer is None or tracer is False:
        return None
    if tracer is True:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise MissingExtraError(
                "traces need the package opentelemetry-api; install longctx-sdk[otel]"
            ) from error
        return trace.get_tracer("longctx")
    if not callable(getattr(tracer, "start_span", None)):
        raise RequestError(f"tracer is {tracer!r}; use True, None or OpenTelemetry's tracer")
    return tracer


def _name_of(llm: ChatModel) -> str:
    # ChatModel does not speak of names; models on servers and local ones do.
    info = getattr(llm, "info", None)
    return str(getattr(llm, "model", None) or getattr(info, "name", None) or "unknown")


def _said(message: Message) -> dict[str, Any]:
    """A message as the conventions write it."""
    parts: list[dict[str, Any]] = []
    if message.reasoning:
        parts.append({"type": "reasoning", "content": message.reasoning})
    if message.role == "tool":
        result = {"id": message.tool_call_id, "response": message.content}
        parts.append({"type": "tool_call_response", **result})
    elif message.content:
        parts.append({"type": "text", "content": message.content})
    for call in message.tool_calls:
        asked = {"id": call.id, "name": call.name, "arguments": call.arguments}
        parts.append({"type": "tool_call", **asked})
    return {"role": message.role, "parts": parts}


def _as_json(messages: Iterable[dict[str, Any]]) -> str:
    return json.dumps(list(messages), ensure_ascii=False)


def _note_usage(span: Span, usage: Usage) -> None:
    span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
    span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
    span.set_attribute("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens)


def _note_error(span: Span, error: BaseException) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, str(error)[:500]))


@contextmanager
def _ending(span: Span) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        _note_error(span, error)
        raise
    finally:
        span.end()
