"""The loop: calls, results, limits, and a transcript that is never half a run."""

import re

import pytest

from longctx.agents import (
    Agent,
    AgentResult,
    Done,
    TextDelta,
    ToolResult,
    WindowGrown,
    policies,
    tool,
)
from longctx.errors import BackendError, ContextOverflowError, RequestError, ToolError
from longctx.testing import ScriptedChatModel
from longctx.types import Completion, Message, Timings, ToolCall, Usage, WindowReport


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail(reason: str) -> str:
    """Fail."""
    raise RuntimeError(reason)


def call(number: int, name: str = "add", **arguments: object) -> ToolCall:
    """Make a call as a model would."""
    return ToolCall(id=f"call_{number}", name=name, arguments=arguments)


def roles(agent: Agent) -> list[str]:
    """Who spoke, in order."""
    return [message.role for message in agent.transcript]


def test_a_call_its_result_and_the_answer():
    """The model sees the result under the call's id, and its next text ends the run."""
    llm = ScriptedChatModel([call(1, a=2, b=3), "It is 5."])
    agent = Agent(llm, tools=[add], system="Calculate.")
    result = agent.run("2 + 3?")
    assert (result.text, result.stop_reason, result.detail) == ("It is 5.", "answer", "")
    assert roles(agent) == ["system", "user", "assistant", "tool", "assistant"]
    seen = llm.calls[1].messages[-1]
    assert (seen.role, seen.content, seen.tool_call_id, seen.name) == ("tool", "5", "call_1", "add")
    assert llm.calls[0].tools[0] == add.schema
    assert result.usage.prompt_tokens == sum(s.usage.prompt_tokens for s in result.steps)
    assert len(result.steps) == 2


def test_events_come_in_order_and_done_carries_the_result():
    """The call itself is the event of a call; text comes in pieces."""
    first = call(1, a=2, b=3)
    *events, done = Agent(ScriptedChatModel([first, "It is 5."]), tools=[add]).stream("2 + 3?")
    assert events == [
        first,
        ToolResult(call_id="call_1", name="add", text="5"),
        TextDelta(text="It "),
        TextDelta(text="is "),
        TextDelta(text="5."),
    ]
    assert isinstance(done, Done)
    assert list(done.result.events) == events
    assert AgentResult.model_validate_json(done.result.model_dump_json()) == done.result


def test_the_prefix_stays_from_step_to_step():
    """Each step prefills the new turns only."""
    llm = ScriptedChatModel([call(1, a=2, b=3), "It is 5.", "Bye."])
    agent = Agent(llm, tools=[add], system="Calculate. " * 50)
    first, second = agent.run("2 + 3?").steps
    (third,) = agent.run("Bye").steps
    assert second.usage.cached_tokens == first.usage.prompt_tokens
    assert third.usage.prefilled_tokens < 12


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (call(1, a="two", b=3), "wrong arguments for add .*a: Input should be a valid integer"),
        (call(1, name="sub", a=1), "no tool 'sub'; the tools are: add, fail"),
        (call(1, name="fail", reason="disk full"), "RuntimeError: disk full"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(wrong, message):
    """A wrong call and a failing tool are results, and the model may try again."""
    agent = Agent(ScriptedChatModel([wrong, "Sorry."]), tools=[add, fail])
    result = agent.run("go")
    (error,) = [event for event in result.events if isinstance(event, ToolResult)]
    assert error.is_error
    assert result.text == "Sorry."
    assert re.search(message, agent.transcript[2].content)


def test_an_interrupt_in_a_tool_is_not_swallowed():
    """Ctrl-C ends the run, and the conversation is as before."""

    @tool
    def hang() -> str:
        """Hang."""
        raise KeyboardInterrupt

    agent = Agent(ScriptedChatModel([call(1, name="hang")]), tools=[hang])
    with pytest.raises(KeyboardInterrupt):
        agent.run("go")
    assert agent.transcript == ()


def test_step_limit():
    """A model that never answers is stopped, with every call answered."""
    replies = [call(i, a=i, b=1) for i in range(10)]
    agent = Agent(ScriptedChatModel(replies), tools=[add], max_steps=3)
    result = agent.run("go")
    assert (result.stop_reason, len(result.steps)) == ("step_limit", 3)
    assert "3 steps" in result.detail
    assert roles(agent) == ["user", *["assistant", "tool"] * 3]


def test_the_same_call_again_and_again_is_stopped():
    """After the second the model must answer in words; a third time ends the run."""
    llm = ScriptedChatModel([call(i, a=1, b=1) for i in range(8)])
    agent = Agent(llm, tools=[add])
    result = agent.run("go")
    assert [c.tool_choice for c in llm.calls] == ["auto", "auto", "none"]
    assert (result.stop_reason, len(result.steps)) == ("repeated_call", 3)
    assert 'add({"a": 1, "b": 1})' in result.detail
    assert roles(agent)[-1] == "tool"


def test_asking_again_for_what_changes_is_no_loop():
    """The same call with another result each time goes on."""
    ticks = iter(range(100))

    @tool
    def tick() -> int:
        """Read the counter."""
        return next(ticks)

    replies = [*[call(i, name="tick") for i in range(5)], "Done."]
    assert Agent(ScriptedChatModel(replies), tools=[tick]).run("go").text == "Done."


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ["auto", "auto"]),
        ("required", ["required", "auto"]),
        ("none", ["none", "none"]),
        (
            {"type": "function", "function": {"name": "add"}},
            [
                {"type": "function", "function": {"name": "add"}},
                "auto",
            ],
        ),
    ],
)
def test_a_forced_choice_holds_for_the_first_step(choice, expected):
    """Forced for ever, the model could not answer."""
    llm = ScriptedChatModel([call(1, a=1, b=2), "3"])
    Agent(llm, tools=[add]).run("go", tool_choice=choice)
    assert [c.tool_choice for c in llm.calls] == expected


def test_overflow_rises_and_leaves_the_agent_usable():
    """A policy that drops nothing: a result too large is an error, and then it is gone."""

    @tool
    def flood() -> str:
        """Return too much."""
        return "word " * 5000

    llm = ScriptedChatModel(["Hello.", call(1, name="flood"), "Still here."])
    agent = Agent(llm, tools=[flood], policy=policies.keep_everything)
    agent.run("Hi")
    before = agent.transcript
    with pytest.raises(ContextOverflowError):
        agent.run("flood it")
    assert agent.transcript == before
    assert agent.run("and now?").text == "Still here."


def test_an_abandoned_stream_changes_nothing():
    """Only a run that is done becomes part of the conversation."""
    agent = Agent(ScriptedChatModel([call(1, a=1, b=2), "3"]), tools=[add])
    stream = agent.stream("go")
    next(stream)
    del stream
    assert agent.transcript == ()


def completion(text: str, **fields: object) -> Completion:
    """Make a completion with these fields."""
    return Completion.model_validate(
        {
            "text": text,
            "message": Message(role="assistant", content=text),
            "finish_reason": "stop",
            "usage": Usage(prompt_tokens=9),
            "timings": Timings(rescale_s=0.25),
            "window": WindowReport(),
        }
        | fields
    )


def test_a_grown_window_is_an_event_and_seen_in_the_context():
    """What the completion reports reaches who watches the agent."""
    window = WindowReport(n_ctx=16384, scale=2.0, method="ntk", grew_from=8192)
    agent = Agent(ScriptedChatModel([completion("Hi", window=window)], target_ctx=32768))
    assert agent.context.n_ctx is None
    result = agent.run("Hello")
    assert result.events[-1] == WindowGrown(
        grew_from=8192, n_ctx=16384, scale=2.0, method="ntk", rescale_s=0.25
    )
    context = agent.context
    assert (context.n_ctx, context.scale, context.target_ctx) == (16384, 2.0, 32768)
    assert "16,384" in str(context)


def test_a_cut_answer_says_so():
    """The text is there, and so is the reason why it ends."""
    for options, why in (({"max_tokens": 2}, "max_tokens"), ({}, "window was full")):
        half = completion("Half a", finish_reason="length")
        result = Agent(ScriptedChatModel([half])).run("go", **options)
        assert (result.text, result.stop_reason) == ("Half a", "length")
        assert why in result.detail
    looped = completion("Half a", finish_reason="length", finish_detail="repetition")
    result = Agent(ScriptedChatModel([looped])).run("go")
    assert (result.text, result.stop_reason) == ("Half a", "length")
    assert "over and over" in result.detail


def test_context_adds_up():
    """Sections are exact, and together they are what the next step would prefill."""
    llm = ScriptedChatModel([call(1, a=2, b=3), "It is 5."])
    agent = Agent(llm, tools=[add], system="Calculate well.", read_back=False)
    empty = agent.context
    agent.run("2 + 3?")
    context = agent.context
    assert context.sections["system"] == empty.sections["system"] == llm.count("Calculate well.")
    assert context.sections["tools"] == empty.sections["tools"] > 0
    assert context.sections["conversation"] > empty.sections["conversation"]
    assert context.total_tokens == sum(context.sections.values())
    assert context.total_tokens == llm.count(agent.transcript, [add.schema])
    assert context.total_tokens + context.free_tokens == llm.target_ctx


@pytest.mark.parametrize("text", ["", "  ", None, 5, ["hello"]])
def test_nonsense_turns(text):
    """They are refused at once, also by stream(), before its first event."""
    with pytest.raises(RequestError):
        Agent(ScriptedChatModel([])).stream(text)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"tools": [len]}, ToolError),
        ({"tools": [add, add]}, ToolError),
        ({"max_steps": 0}, RequestError),
        ({"policy": 5}, RequestError),
        ({"temperature": -1}, RequestError),
        ({"tools": 5}, ToolError),
        ({"tools": add}, ToolError),
        ({"confirm": True}, RequestError),
        ({"background": 3}, RequestError),
        ({"prepares": "x"}, RequestError),
        ({"read_back": None}, RequestError),
        ({"embedder": 3}, RequestError),
        ({"call_log": 3}, RequestError),
        ({"tracer": 3}, RequestError),
        ({"llm": 3}, RequestError),
    ],
    ids=str,
)
def test_nonsense_agents(options, kind):
    """They are refused when they are made."""
    with pytest.raises(kind):
        Agent(**{"llm": ScriptedChatModel([]), **options})


def test_tools_may_come_one_by_one():
    """What can be read once is read once; forks have them, too."""
    agent = Agent(ScriptedChatModel([]), tools=(one for one in [add, fail]))
    assert [one.name for one in agent.tools][:2] == ["add", "fail"]
    assert agent.fork().tools[:2] == agent.tools[:2] == (add, fail)


def test_a_backend_failure_rises():
    """What the model raises is not swallowed."""
    with pytest.raises(BackendError):
        Agent(ScriptedChatModel([])).run("go")
