"""An agent: a conversation, its tools and its window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from longctx.agents import policies, saved
from longctx.agents.context import AgentContext, measure
from longctx.agents.events import AgentResult, Done, Event
from longctx.agents.loop import Run, StepEvent
from longctx.agents.tools import Tool
from longctx.errors import TemplateError, ToolError
from longctx.protocols import ChatModel, ToolChoice
from longctx.types import (
    Message,
    ProgressCallback,
    ToolSchema,
    Usage,
    WindowReport,
    as_messages,
)


class Agent:
    """A conversation with a model that may call tools, on a window that grows with it.

    System prompt and tools stay byte for byte the same, so each step prefills only what is new.
    A run that raises leaves the conversation as it was before. One run at a time: an agent is
    one conversation.

    Args:
        llm: a :class:`longctx.LongContextLLM`, or anything that satisfies ``ChatModel``.
        tools: functions decorated with :func:`longctx.agents.tool`.
        system: the system prompt.
        policy: what of the transcript the model is shown; None is ``policies.default()``.
        max_steps: completions in one run, at most.

    Raises:
        ToolError: a tool is none, two have one name, or ``max_steps`` is below 1.

    Example:
        >>> from longctx.testing import ScriptedChatModel
        >>> from longctx.types import ToolCall
        >>> from longctx.agents import tool
        >>> @tool
        ... def add(a: int, b: int) -> int:
        ...     "Add two numbers."
        ...     return a + b
        >>> call = ToolCall(id="1", name="add", arguments={"a": 2, "b": 3})
        >>> agent = Agent(ScriptedChatModel([call, "It is 5."]), tools=[add])
        >>> agent.run("What is 2 + 3?").text
        'It is 5.'
        >>> [message.content for message in agent.transcript]
        ['What is 2 + 3?', '', '5', 'It is 5.']
    """

    def __init__(
        self,
        llm: ChatModel,
        tools: Sequence[Tool] = (),
        system: str | None = None,
        policy: policies.Policy | None = None,
        *,
        max_steps: int = 8,
    ) -> None:
        if max_steps < 1:
            raise ToolError(f"max_steps is {max_steps}; a run needs at least 1")
        self.llm = llm
        self.policy = policy or policies.default()
        self.max_steps = max_steps
        self._tools = _by_name(tools)
        self._schemas: tuple[ToolSchema, ...] = tuple(tool.schema for tool in tools)
        self._transcript: policies.Transcript = (
            tuple(as_messages([{"role": "system", "content": system}])) if system else ()
        )
        self._window: WindowReport | None = None

    @property
    def transcript(self) -> policies.Transcript:
        """The whole conversation, system message first."""
        return self._transcript

    @property
    def context(self) -> AgentContext:
        """Tokens by section, and where the window stands."""
        return measure(self.llm, self.policy(self._transcript), self._schemas, self._window)

    def run(
        self,
        text: str,
        *,
        tool_choice: ToolChoice = "auto",
        max_tokens: int | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> AgentResult:
        """Say something, and let the agent work until it answers; arguments as :meth:`stream`."""
        events = self.stream(
            text, tool_choice=tool_choice, max_tokens=max_tokens, on_progress=on_progress
        )
        return next(event.result for event in events if isinstance(event, Done))

    def stream(
        self,
        text: str,
        *,
        tool_choice: ToolChoice = "auto",
        max_tokens: int | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Iterator[Event]:
        """Say something, and watch the agent work; :class:`Done` comes last.

        What goes wrong in a tool (unknown name, wrong arguments, an exception) is told to the
        model as the call's result. The conversation is extended when the run is done; a stream
        that is not read to its end changes nothing.

        Args:
            text: the user's turn.
            tool_choice: of the first step; ``"required"`` or a tool's name makes it begin with
                a call. The steps after it are ``"auto"``, and ``"none"`` when a call has
                brought the same result twice; ``"none"`` from the caller holds for all.
            max_tokens: room for each completion; None is the model's ``reserve_output``.
            on_progress: called after each prefilled batch.

        Raises:
            TemplateError: the text is empty or no text.
            ContextOverflowError: the conversation does not fit; nothing was cut.
            ToolError: ``tool_choice`` names no tool.
        """
        if not isinstance(text, str) or not text.strip():
            raise TemplateError(f"an agent is told something in words, not {text!r}")
        run = Run(
            llm=self.llm,
            tools=self._tools,
            schemas=self._schemas,
            policy=self.policy,
            max_steps=self.max_steps,
            transcript=(*self._transcript, Message(role="user", content=text)),
            tool_choice=tool_choice,
            max_tokens=max_tokens,
            on_progress=on_progress,
        )
        return self._run(run)

    def save(self, path: str | Path) -> None:
        """Write the conversation as JSON, atomically.

        Raises:
            LongCtxError: the file cannot be written.
        """
        saved.write(
            Path(path), saved.SavedAgent(tools=tuple(self._tools), messages=self._transcript)
        )

    @classmethod
    def load(
        cls,
        path: str | Path,
        llm: ChatModel,
        tools: Sequence[Tool] = (),
        policy: policies.Policy | None = None,
        *,
        max_steps: int = 8,
    ) -> Agent:
        """Go on with a saved conversation.

        Raises:
            LongCtxError: the file cannot be read.
            SnapshotMismatchError: it holds no agent, or one of another version.
            ToolError: a tool of the saved agent is not among ``tools``.
        """
        state = saved.read(Path(path))
        agent = cls(llm, tools=tools, policy=policy, max_steps=max_steps)
        missing = [name for name in state.tools if name not in agent._tools]
        if missing:
            raise ToolError(
                f"the agent saved in {path} has the tools {', '.join(missing)}, which are not "
                "passed; pass them in tools=[...], or take them out of the file's 'tools'"
            )
        agent._transcript = state.messages
        return agent

    def __repr__(self) -> str:
        return f"Agent(tools={list(self._tools)}, {len(self._transcript)} messages)"

    def _run(self, run: Run) -> Iterator[Event]:
        events: list[StepEvent] = []
        for event in run.events():
            events.append(event)
            yield event
        self._transcript = run.transcript
        self._window = run.steps[-1].window
        yield Done(
            result=AgentResult(
                text=run.steps[-1].text,
                stop_reason=run.stop_reason,
                detail=run.detail,
                steps=tuple(run.steps),
                usage=_sum(step.usage for step in run.steps),
                events=tuple(events),
            )
        )


def _by_name(tools: Sequence[Tool]) -> dict[str, Tool]:
    named: dict[str, Tool] = {}
    for tool in tools:
        if not isinstance(tool, Tool):
            raise ToolError(f"{tool!r} is no tool; decorate the function with @tool")
        if tool.name in named:
            raise ToolError(f"two tools are named {tool.name!r}; rename one of the functions")
        named[tool.name] = tool
    return named


def _sum(usages: Iterable[Usage]) -> Usage:
    total: Counter[str] = Counter()
    for usage in usages:
        total.update(dict(usage))
    return Usage(**total)
