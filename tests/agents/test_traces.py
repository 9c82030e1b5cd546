"""Runs as OpenTelemetry spans, read back from the SDK's own exporter."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from longctx.agents import Agent, tool
from longctx.errors import BackendError, RequestError
from longctx.testing import ScriptedChatModel
from longctx.types import ToolCall

otel = pytest.importorskip("opentelemetry.sdk.trace")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    from opentelemetry import trace

    trace.get_current_span().set_attribute("seen.by", "the tool")
    return a + b


@tool
def fail() -> str:
    """Fail."""
    raise OSError("disk full")


@pytest.fixture
def spans() -> Any:
    """A tracer, and what it exported."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = otel.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter.get_finished_spans


def call(name: str, **arguments: object) -> ToolCall:
    """A call as a model makes it."""
    return ToolCall(id="1", name=name, arguments=arguments)


def run(tracer: Any, *replies: Any, **settings: Any) -> Any:
    """One run of a traced agent."""
    agent = Agent(
        ScriptedChatModel(replies), tools=[add, fail], tracer=tracer, agent_name="clerk", **settings
    )
    return agent.run("go", max_tokens=50)


def test_a_run_its_steps_and_its_calls(spans) -> None:
    """Named and described by the conventions, one trace, the run above all others."""
    tracer, finished = spans
    result = run(tracer, call("add", a=2, b=3), call("fail"), "Done.")
    found = {span.name: span for span in finished()}
    assert set(found) == {
        "invoke_agent clerk", "chat unknown", "execute_tool add", "execute_tool fail",
    }  # fmt: skip
    top = found["invoke_agent clerk"]
    assert top.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert top.attributes["gen_ai.agent.name"] == "clerk"
    assert top.attributes["gen_ai.usage.input_tokens"] == result.usage.prompt_tokens
    assert top.attributes["gen_ai.usage.cache_read.input_tokens"] == result.usage.cached_tokens
    assert top.attributes["gen_ai.response.finish_reasons"] == ("answer",)
    steps = [span for span in finished() if span.name == "chat unknown"]
    assert len(steps) == 3
    assert steps[0].attributes["gen_ai.request.max_tokens"] == 50
    assert [span.attributes["gen_ai.response.finish_reasons"] for span in steps] == [
        ("tool_calls",), ("tool_calls",), ("stop",),
    ]  # fmt: skip
    one = found["execute_tool add"]
    assert one.attributes["gen_ai.tool.call.id"] == "call_1"
    assert one.attributes["seen.by"] == "the tool"
    said = ("arguments", "result", "messages")
    assert not [name for span in finished() for name in span.attributes if name.endswith(said)]
    failed = found["execute_tool fail"]
    assert failed.attributes["error.type"] == "OSError"
    assert failed.status.description == "disk full"
    below = [span for span in finished() if span is not top]
    assert all(span.parent.span_id == top.context.span_id for span in below)
    assert all(top.start_time <= span.start_time <= span.end_time <= top.end_time for span in below)


def test_the_names_are_those_of_the_conventions(spans, monkeypatch) -> None:
    """Each attribute of gen_ai is in the list that OpenTelemetry publishes."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

    known = {v for v in vars(gen_ai_attributes).values() if isinstance(v, str)}
    tracer, finished = spans
    run(tracer, call("add", a=2, b=3), "Done.")
    names = {name for span in finished() for name in span.attributes}
    assert {name for name in names if name.startswith("gen_ai.")} <= known


def test_what_is_said_is_noted_where_that_is_asked_for(spans, monkeypatch) -> None:
    """By the conventions' own variable."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    tracer, finished = spans
    run(tracer, call("add", a=2, b=3), "Done.")
    (one,) = (span for span in finished() if span.name == "execute_tool add")
    assert json.loads(one.attributes["gen_ai.tool.call.arguments"]) == {"a": 2, "b": 3}
    assert one.attributes["gen_ai.tool.call.result"] == "5"
    last = [span for span in finished() if span.name.startswith("chat")][-1].attributes
    assert json.loads(last["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "go"}]},
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "call_1", "name": "add", "arguments": {"a": 2, "b": 3}}]},
        {"role": "tool", "parts": [
            {"type": "tool_call_response", "id": "call_1", "response": "5"}]},
    ]  # fmt: skip
    assert json.loads(last["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Done."}],
         "finish_reason": "stop"},
    ]  # fmt: skip


def test_a_run_that_fails_and_one_that_is_left(spans) -> None:
    """Every span ends, with what was raised."""
    tracer, finished = spans
    with pytest.raises(BackendError):
        run(tracer)
    assert {s.attributes["error.type"] for s in finished()} == {"BackendError"}
    stream = Agent(ScriptedChatModel(["One two."]), tracer=tracer).stream("go")
    next(stream)
    stream.close()
    assert [span.name for span in finished()][2:] == ["chat unknown", "invoke_agent agent"]


def test_it_costs_nothing_when_off() -> None:
    """Without a tracer OpenTelemetry is not even imported; one that is none is refused."""
    code = (
        "import sys; from longctx.agents import Agent; from longctx.testing import "
        "ScriptedChatModel; Agent(ScriptedChatModel(['Hi.'])).run('Hello'); "
        "sys.exit('opentelemetry' in sys.modules or 'mcp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(RequestError, match="tracer"):
        Agent(ScriptedChatModel([]), tracer="yes")
    assert Agent(ScriptedChatModel(["Hi."]), tracer=True).run("Hello").text == "Hi."
