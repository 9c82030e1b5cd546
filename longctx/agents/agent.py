"""An agent: a conversation, its tools and its window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from longctx import arguments
from longctx.agents import policies, report, saved
from longctx.agents.archive import Archive
from longctx.agents.call_log import CallLog
from longctx.agents.context import AgentContext, measure
from longctx.agents.conversation import Conversation
from longctx.agents.events import AgentResult, Compacted, Event
from longctx.agents.limits import AgentRunOptions, checked_options
from longctx.agents.results import last_result
from longctx.agents.settings import AgentSettings, Background, Confirm, Setup
from longctx.agents.sub_agent import agent_tool
from longctx.agents.toolbox import Toolbox, ToolLike
from longctx.agents.tools import Tool
from longctx.agents.track import Journal, Track
from longctx.agents.view import Transcript, as_shown
from longctx.protocols import ChatModel
from longctx.search.embedders import EmbedderLike
from longctx.types import as_messages


class Agent:
    """A conversation with a model that may call tools, on a window that grows with it.

    System prompt and tools stay byte for byte the same, so each step prefills only what is new;
    what a server changes of its tools is seen at the next turn.
    A run that raises leaves the conversation as it was before, and :meth:`resume` takes it up
    again. Runs of several threads queue.

    Args:
        llm: a :class:`longctx.LongContextLLM`, or anything that satisfies ``ChatModel``.
        tools: functions decorated with :func:`longctx.agents.tool`, and servers
            (:func:`longctx.agents.mcp`).
        system: the system prompt.
        policy: what of the transcript the model is shown; None is ``policies.archive()``, or,
            where the model's window slides or compresses, ``policies.clamp_results``.
        max_steps: completions in one run, at most.
        tool_timeout_s: how long a call may take where the tool does not say, in seconds; calls
            run in threads of their own. None waits for ever, in the caller's thread.
        background: what changes from turn to turn (the date, memories, passages found for the
            user's words): called with the words, its text is put behind them into the same turn,
            so that nothing before it leaves the cache.
        read_back: let the model call the built-in tools ``read_result`` and ``recall`` where it
            has tools and a policy other than ``policies.keep_everything``.
        embedder: finds earlier turns by meaning as well as by words, for ``recall`` and
            ``policies.archive()``; see :class:`longctx.documents.SentenceTransformersEmbedder`.
        prepares: call :meth:`prepare` in a thread after each run, and do as much while tools run.
        temperature: of sampling, where a run does not say; 0 is greedy.
        agent_name: what traces call it.
        confirm: asked before a tool is called that wants it (``@tool(confirm=True)``): True lets it
            be called; False, or a text that says why not, does not. None leaves that to who reads
            the stream (:class:`~longctx.agents.events.ConfirmCall`).
        call_log: a file to which every call is added when it has ended, with its arguments and its
            result, as a line of JSON; :class:`~longctx.agents.CallLog` reads it.
        tracer: makes OpenTelemetry's spans of runs (extra ``otel``); True is the program's own.

    Raises:
        ToolError: a tool is none, or two have one name.
        RequestError: a limit is below 1, the policy is none, or another argument is wrong.

    Examples:
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
        tools: Sequence[ToolLike] = (),
        system: str | None = None,
        policy: policies.Policy | None = None,
        *,
        max_steps: int = 8,
        tool_timeout_s: float | None = 60.0,
        background: Background | None = None,
        read_back: bool = True,
        embedder: EmbedderLike = None,
        prepares: bool = False,
        temperature: float | None = 0.0,
        agent_name: str = "agent",
        confirm: Confirm | None = None,
        call_log: str | Path | CallLog | None = None,
        tracer: Any = None,
    ) -> None:
        self._setup = setup = Setup.of(
            llm,
            tools,
            policy,
            max_steps=max_steps,
            tool_timeout_s=tool_timeout_s,
            background=background,
            read_back=read_back,
            embedder=embedder,
            prepares=prepares,
            temperature=temperature,
            agent_name=agent_name,
            confirm=confirm,
            call_log=call_log,
            tracer=tracer,
        )
        # May be set: the next run goes by them, and so does a fork.
        self.llm, self.policy = setup.llm, setup.policy
        self.max_steps, self.tool_timeout_s = setup.max_steps, setup.tool_timeout_s
        self.background, self.temperature = setup.background, setup.temperature
        self.confirm, self.call_log = setup.confirm, setup.call_log
        self.agent_name, self.tracer = setup.agent_name, setup.tracer
        said = as_messages([{"role": "system", "content": system}]) if system else []
        self._track = Track(setup, Conversation.of(said))

    @property
    def transcript(self) -> Transcript:
        """The whole conversation, system message first; nothing is ever taken out of it."""
        return self.conversation.without_unfinished().transcript

    @property
    def unfinished(self) -> Transcript:
        """Messages of a run that stopped in the middle; :meth:`resume` goes on from them."""
        return self.conversation.unfinished

    @property
    def shown(self) -> Transcript:
        """What of the transcript the model is shown."""
        now = self.conversation.without_unfinished()
        return as_shown(now.transcript, now.shown)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What the model may call, built-in tools included, as of its last turn."""
        return tuple(self.toolbox.tools.values())

    @property
    def toolbox(self) -> Toolbox:
        """The same by name, and what servers have changed of it."""
        return self._track.toolbox

    @property
    def conversation(self) -> Conversation:
        """The whole state: transcript, what is shown, what is pinned, what was compacted."""
        return self._track.conversation

    @property
    def archive(self) -> Archive:
        """What finds earlier turns; a ConversationStore keeps it in its file."""
        return self._track.archive

    @archive.setter
    def archive(self, archive: Archive) -> None:
        self._track.archive = archive

    @property
    def journal(self) -> Journal | None:
        """Told of every change; a ConversationStore writes it down."""
        return self._track.journal

    @journal.setter
    def journal(self, journal: Journal | None) -> None:
        self._track.journal = journal

    @property
    def context(self) -> AgentContext:
        """Tokens by section, where the window stands, and what was compacted."""
        conversation = self.conversation.without_unfinished()
        return measure(self.llm, conversation, self.toolbox.schemas, self._track.window)

    def run(
        self, text: str, *, pin: bool = False, **options: Unpack[AgentRunOptions]
    ) -> AgentResult:
        """Say something, and let the agent work until it answers; arguments as :meth:`stream`."""
        return last_result(self.stream(text, pin=pin, **options))

    def stream(
        self, text: str, *, pin: bool = False, **options: Unpack[AgentRunOptions]
    ) -> Iterator[Event]:
        """Say something, and watch the agent work; :class:`Done` comes last.

        What goes wrong in a tool (unknown name, wrong arguments, an exception, a timeout) is
        told to the model as the call's result. The conversation is extended when the run is
        done; a stream that is not read to its end changes nothing, but :meth:`resume` can take
        it up.

        Args:
            text: the user's turn.
            pin: never drop this turn's words and answer, whatever the policy.
            options: see :class:`longctx.options.RunOptions`; they hold for each completion. And
                the limits of :class:`longctx.agents.AgentRunOptions`, which hold for the run.
                ``tool_choice`` is of the first step: ``"required"`` or a tool's name makes it
                begin with a call; the steps after it are ``"auto"``, and ``"none"`` when a call
                has brought the same result twice. ``"none"`` from the caller holds for all.
                ``response_schema`` is what the final answer satisfies. Where a server does not
                hold an answer to tools and a schema at once, it is asked once more by the schema.

        Raises:
            ContextOverflowError: the conversation does not fit, and the policy leaves nothing
                else out; nothing was cut.
            ToolError: ``tool_choice`` names no tool.
            RequestError: the text is empty or none, or an option is wrong.
            BackendError: this thread is still reading a stream of the same agent.
        """
        text = arguments.words("the text", text)
        return self._work(
            lambda: self._track.told(text, pin=pin, background=self.background), options
        )

    def resume(self, **options: Unpack[AgentRunOptions]) -> AgentResult:
        """Go on with a run that stopped in the middle, from its last complete step.

        A call whose result was lost is not made again; the model is told so. Options as
        :meth:`stream`.

        Raises:
            RequestError: there is no such run, or an argument is wrong.
        """
        return last_result(self._work(self._track.interrupted, options))

    def cancel(self) -> None:
        """End the run that is under way, and those that wait for it, at once, from any thread.

        The model stops after the token or batch it is at, tools are told that nobody waits, and the
        run's result says ``"cancelled"``. The conversation is as before; :meth:`resume` goes on.
        """
        self._track.cancel()

    def fork(self) -> Agent:
        """Another agent that goes on from here, with the same tools; this one is not changed.

        What both have in common is in the KV cache once. It writes to no store.
        """
        other = Agent(**vars(self._now()))
        other.go_on(self.conversation.without_unfinished())
        return other

    def as_tool(
        self,
        name: str,
        description: str,
        *,
        timeout_s: float | None = None,
        confirm: bool = False,
    ) -> Tool:
        """A tool by which another agent hands this one a task, and is told its answer.

        Each task goes to a fork, with a window of its own; those of one step run side by side. What
        the fork did along the way is not shown to the other agent.

        Args:
            name: of the tool.
            description: what it is good for, for the other agent's model.
            timeout_s: how long a task may take; None is the other agent's limit for tools.
            confirm: whether somebody must allow each task.

        Raises:
            ToolError: name or description is none.
        """
        return agent_tool(self._worker, name, description, timeout_s=timeout_s, confirm=confirm)

    def prepare(self) -> tuple[Compacted, ...]:
        """Compact now if the next turn would, and prefill what is left, while nobody waits.

        A summary is written, too, beside whatever else the model is doing. A turn that begins
        meanwhile waits for it, as it would have had to do it itself; one that needs more than an
        eighth of the room may still compact.

        Returns:
            What was done; nothing where there is room enough.

        Raises:
            LongCtxError: the policy or the model failed; the conversation is as before.
        """
        return self._track.prepare(self._now())

    def report(self, path: str | Path | None = None) -> str:
        """The runs of this process as one page of HTML: tokens reused and prefilled, the window,
        what was called, recalled and compacted.

        Args:
            path: a file to write it to as well.

        Raises:
            RequestError: the file is no .html, or cannot be written.
        """
        text = report.page(self._track.records, self.context)
        if path is not None:
            report.write(arguments.path("path", path), text)
        return text

    def save(self, path: str | Path, *, keep_cache: bool = True) -> None:
        """Write the conversation as readable JSON, atomically.

        Args:
            path: the file.
            keep_cache: write the KV cache beside it (``path`` with ``.kv`` behind), where the
                model can: some megabytes for every hundred tokens of a larger model.

        Raises:
            LongCtxError: the file cannot be written.
        """
        path = arguments.path("path", path)
        cache = saved.cache_path(path)
        saved.write(path, saved.SavedAgent.of(self.conversation, self.toolbox))
        if keep_cache and isinstance(self.llm, saved.KeepsCache) and self.shown:
            self.llm.save_chat(cache, self.shown, tools=self.toolbox.schemas or None)

    @classmethod
    def load(
        cls,
        path: str | Path,
        llm: ChatModel,
        tools: Sequence[ToolLike] = (),
        policy: policies.Policy | None = None,
        **settings: Unpack[AgentSettings],
    ) -> Agent:
        """Go on with a saved conversation.

        Args:
            path: what :meth:`save` wrote. The KV cache beside it is used if it is of the same
                model; otherwise the next turn prefills the conversation.
            llm: as in the constructor.
            tools: as in the constructor.
            policy: as in the constructor.
            settings: the constructor's others.

        Raises:
            LongCtxError: the file cannot be read.
            SnapshotMismatchError: it holds no agent, or one of another version.
            ToolError: a tool of the saved agent is not among ``tools``.
        """
        path = arguments.path("path", path)
        state = saved.read(path)
        agent = cls(llm, tools=tools, policy=policy, **settings)
        agent.take_up(state, str(path))
        if isinstance(llm, saved.KeepsCache):
            saved.load_cache(llm, saved.cache_path(path))
        return agent

    def take_up(self, state: saved.SavedAgent, source: str) -> None:
        """Put a saved conversation in place of this one.

        Raises:
            ToolError: a tool of the saved agent is missing.
        """
        state.check_tools(self.toolbox, source)
        self.go_on(state.conversation())

    def go_on(self, conversation: Conversation) -> None:
        """Put a conversation in place of this one; its tools are not looked at."""
        self._track.go_on(conversation)

    def __repr__(self) -> str:
        return f"Agent(tools={list(self.toolbox.tools)}, {len(self.transcript)} messages)"

    # Inside

    def _now(self) -> Setup:
        """The setup, with what was set since."""
        return self._setup.changed(
            llm=self.llm,
            policy=self.policy,
            max_steps=self.max_steps,
            tool_timeout_s=self.tool_timeout_s,
            background=self.background,
            embedder=self.archive.embedder,
            temperature=self.temperature,
            agent_name=self.agent_name,
            confirm=self.confirm,
            call_log=self.call_log,
            tracer=self.tracer,
        )

    def _work(self, begin: Callable[[], Conversation], options: AgentRunOptions) -> Iterator[Event]:
        setup = self._now()
        limits, checked = checked_options(options, self.toolbox.names(), setup.temperature)
        return self._track.work(setup, begin, limits, checked)

    def _worker(self) -> tuple[Setup, Track]:
        """Does one task of another agent's, from where this one stands now."""
        # Nothing follows the task that could be prepared.
        setup = self._now().changed(prepares=False)
        return setup, Track(setup, self.conversation.without_unfinished())
