"""An agent: a conversation, its tools and its window."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict, Unpack

from longctx import arguments
from longctx.agents import policies, report, saved
from longctx.agents.archive import Archive, Passage
from longctx.agents.call_queue import CallQueue
from longctx.agents.context import AgentContext, measure
from longctx.agents.conversation import Conversation
from longctx.agents.events import AgentResult, Compacted, Done, Event, StepEvent
from longctx.agents.loop import Run
from longctx.agents.names import RECALL
from longctx.agents.preparing import compact_ahead, warm
from longctx.agents.read_back import read_result_tool
from longctx.agents.recall import recall_tool
from longctx.agents.recalling import BACKGROUND
from longctx.agents.tools import Tool, check_timeout
from longctx.agents.view import Transcript, View, as_shown, new_counts
from longctx.agents.watch import CacheWatch
from longctx.errors import BackendError, LongCtxError, RequestError, ToolError
from longctx.options import RUN_OPTIONS, RunOptions, check_names, tool_choice_of
from longctx.protocols import ChatModel
from longctx.search.embedders import EmbedderLike, as_embedder
from longctx.types import (
    Message,
    ToolSchema,
    Usage,
    WindowReport,
    as_messages,
)

logger = logging.getLogger("longctx")

Background = Callable[[str], str]
Journal = Callable[[Conversation], None]


class AgentSettings(TypedDict, total=False):
    """What :class:`Agent` is set up with, besides model, tools, system prompt and policy."""

    max_steps: int
    tool_timeout_s: float | None
    background: Background | None
    read_back: bool
    embedder: EmbedderLike
    prepares: bool
    temperature: float


class Agent:
    """A conversation with a model that may call tools, on a window that grows with it.

    System prompt and tools stay byte for byte the same, so each step prefills only what is new.
    A run that raises leaves the conversation as it was before, and :meth:`resume` takes it up
    again. Runs of several threads queue.

    Args:
        llm: a :class:`longctx.LongContextLLM`, or anything that satisfies ``ChatModel``.
        tools: functions decorated with :func:`longctx.agents.tool`.
        system: the system prompt.
        policy: what of the transcript the model is shown; None is ``policies.archive()``, or,
            where the model's window slides, ``policies.clamp_results``.
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
        prepares: call :meth:`prepare` in a thread after each run.
        temperature: of sampling, where a run does not say; 0 is greedy.

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
        tools: Sequence[Tool] = (),
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
    ) -> None:
        if policy is not None and not callable(policy):
            raise RequestError(f"{policy!r} is no policy; pass a function of a View, or None")
        self.llm = llm
        # ChatModel does not speak of sliding; LongContextLLM does.
        self._slides = getattr(llm, "overflow", "error") == "slide"
        self.policy = policy or (policies.clamp_results if self._slides else policies.default())
        self.max_steps = arguments.whole("max_steps", max_steps, least=1)
        self.tool_timeout_s = check_timeout(tool_timeout_s)
        self.background = background
        self._prepares = prepares
        self._records: list[report.TurnRecord] = []
        self._prepared: tuple[Compacted, ...] = ()
        self.temperature = arguments.temperature(temperature)
        own = list(tools)
        if own and read_back and self.policy is not policies.keep_everything:
            own.append(read_result_tool(lambda: self._conversation.transcript))
            # What slides out is still shown, as far as anyone can tell from here.
            has_own = any(isinstance(tool, Tool) and tool.name == RECALL for tool in own)
            if not has_own and not self._slides:
                own.append(recall_tool(self._find))
        self._tools = _by_name(own)
        self._schemas: tuple[ToolSchema, ...] = tuple(tool.schema for tool in own)
        self._conversation = Conversation()
        if system:
            (message,) = as_messages([{"role": "system", "content": system}])
            self._conversation = self._conversation.added(message).finish()
        self._window: WindowReport | None = None
        self._watch = CacheWatch()
        self._counts = new_counts()
        self._queue = CallQueue("Agent")
        # Told of every change; a ConversationStore writes it down.
        self.journal: Journal | None = None
        # What finds earlier turns; a ConversationStore keeps it in its file.
        self.archive = Archive(as_embedder(embedder) if embedder is not None else None)

    @property
    def transcript(self) -> Transcript:
        """The whole conversation, system message first; nothing is ever taken out of it."""
        now = self._conversation
        return now.transcript[: now.finished]

    @property
    def unfinished(self) -> Transcript:
        """Messages of a run that stopped in the middle; :meth:`resume` goes on from them."""
        now = self._conversation
        return now.transcript[now.finished :]

    @property
    def shown(self) -> Transcript:
        """What of the transcript the model is shown."""
        now = self._conversation.without_unfinished()
        return as_shown(now.transcript, now.shown)

    @property
    def conversation(self) -> Conversation:
        """The whole state: transcript, what is shown, what is pinned, what was compacted."""
        return self._conversation

    @property
    def context(self) -> AgentContext:
        """Tokens by section, where the window stands, and what was compacted."""
        conversation = self._conversation.without_unfinished()
        return measure(self.llm, conversation, self._schemas, self._window)

    def run(self, text: str, *, pin: bool = False, **options: Unpack[RunOptions]) -> AgentResult:
        """Say something, and let the agent work until it answers; arguments as :meth:`stream`."""
        return _result_of(self.stream(text, pin=pin, **options))

    def stream(
        self, text: str, *, pin: bool = False, **options: Unpack[RunOptions]
    ) -> Iterator[Event]:
        """Say something, and watch the agent work; :class:`Done` comes last.

        What goes wrong in a tool (unknown name, wrong arguments, an exception, a timeout) is
        told to the model as the call's result. The conversation is extended when the run is
        done; a stream that is not read to its end changes nothing, but :meth:`resume` can take
        it up.

        Args:
            text: the user's turn.
            pin: never drop this turn's words and answer, whatever the policy.
            options: see :class:`longctx.options.RunOptions`; they hold for each completion.
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
        return self._work(lambda: self._told(text, pin), self._options(options))

    def resume(self, **options: Unpack[RunOptions]) -> AgentResult:
        """Go on with a run that stopped in the middle, from its last complete step.

        A call whose result was lost is not made again; the model is told so. Options as
        :meth:`stream`.

        Raises:
            RequestError: there is no such run, or an argument is wrong.
        """
        return _result_of(self._work(self._interrupted, self._options(options)))

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
        with self._queue.hold():
            now = self._conversation
            if self._slides or self.unfinished:
                return ()
            view = View.of(
                now.transcript, self.llm, shown=now.shown, tools=self._schemas, pinned=now.pinned,
                counts=self._counts, archive=self.archive,
            )  # fmt: skip
            after = compact_ahead(view, self.policy)
            if after.shown == view.shown:
                return ()
            done = tuple(entry for entry in after.log if isinstance(entry, Compacted))
            warm(after)
            self._watch.forget()
            self._keep(replace(now, shown=after.shown, compacted=(*now.compacted, *done)))
            self._prepared += done
            return done

    def report(self, path: str | Path | None = None) -> str:
        """The runs of this process as one page of HTML: tokens reused and prefilled, the window,
        what was called, recalled and compacted.

        Args:
            path: a file to write it to as well.

        Raises:
            RequestError: the file is no .html, or cannot be written.
        """
        text = report.page(self._records, self.context)
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
        saved.write(path, saved.SavedAgent.of(self._conversation, tuple(self._tools)))
        if keep_cache and isinstance(self.llm, saved.KeepsCache) and self.shown:
            self.llm.save_chat(cache, self.shown, tools=self._schemas or None)

    @classmethod
    def load(
        cls,
        path: str | Path,
        llm: ChatModel,
        tools: Sequence[Tool] = (),
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
        missing = [name for name in state.tools if name not in self._tools]
        if missing:
            raise ToolError(
                f"the agent saved in {source} has the tools {', '.join(missing)}, which are not "
                "passed; pass them in tools=[...], or take them out of the file's 'tools'"
            )
        with self._queue.hold():
            self._conversation = state.conversation()
            self._watch.forget()
            self._window = None

    def __repr__(self) -> str:
        return f"Agent(tools={list(self._tools)}, {len(self.transcript)} messages)"

    # Inside

    def _options(self, given: RunOptions) -> RunOptions:
        """The options of a run, checked; the agent's own where they say nothing."""
        check_names(given, RUN_OPTIONS, "of a run")
        arguments.tool_choice(tool_choice_of(given), list(self._tools))
        if given.get("response_schema") is not None:
            arguments.json_schema(given["response_schema"])
        given["max_tokens"] = arguments.max_tokens(given.get("max_tokens"))
        if given.get("temperature") is None:
            given["temperature"] = self.temperature
        return given

    def _find(self, query: str, n: int) -> list[Passage]:
        now = self._conversation
        shown = [message.content for message in as_shown(now.transcript, now.shown)]
        return self.archive.find(now.transcript, query, n, shown=shown)

    def _told(self, text: str, pin: bool) -> Conversation:
        if self.background is not None:
            known = self.background(text)
            if known:
                text = f"{text}{BACKGROUND}{known}\n</background>"
        if self.unfinished:
            self._watch.forget()
        message = Message(role="user", content=text)
        return self._conversation.without_unfinished().added(message, pin=pin)

    def _interrupted(self) -> Conversation:
        if not self.unfinished:
            raise RequestError("there is no unfinished run to resume; say something with run()")
        return self._conversation

    def _work(self, begin: Callable[[], Conversation], options: RunOptions) -> Iterator[Event]:
        with self._queue.hold():
            run = Run(
                llm=self.llm,
                tools=self._tools,
                schemas=self._schemas,
                policy=self.policy,
                max_steps=self.max_steps,
                tool_timeout_s=self.tool_timeout_s,
                slides=self._slides,
                watch=self._watch,
                counts=self._counts,
                archive=self.archive,
                conversation=begin(),
                options=options,
                window=self._window,
            )
            events: list[StepEvent] = []
            started = time.perf_counter()
            said = [m.content for m in run.conversation.transcript if m.role == "user"]
            self._keep(run.conversation)
            try:
                for event in run.events():
                    self._keep(run.conversation)
                    events.append(event)
                    yield event
            finally:
                self._window = run.window
                self._keep(run.conversation)
            self._keep(run.conversation.finish())
            result = _result(run, events)
            seconds = time.perf_counter() - started
            record = report.TurnRecord.of(len(said), said[-1], result, seconds, self._prepared)
            self._records.append(record)
            self._prepared = ()
        if self._prepares:
            threading.Thread(target=self._prepare_aside, name="prepare", daemon=True).start()
        yield Done(result=result)

    def _prepare_aside(self) -> None:
        try:
            self.prepare()
        except LongCtxError as error:  # the next turn meets it again, where it can be told
            logger.info("no room could be made for the next turn: %s", error)

    def _keep(self, conversation: Conversation) -> None:
        if conversation is not self._conversation:
            self._conversation = conversation
            if self.journal is not None:
                self.journal(conversation)


def _result_of(events: Iterator[Event]) -> AgentResult:
    return next(event.result for event in events if isinstance(event, Done))


def _result(run: Run, events: Sequence[StepEvent]) -> AgentResult:
    last = run.conversation.transcript[-1]
    text = last.content if last.role == "assistant" and not last.tool_calls else ""
    by_schema = run.options.get("response_schema") is not None and run.stop_reason == "answer"
    return AgentResult(
        text=text,
        reasoning=last.reasoning if last.role == "assistant" else "",
        stop_reason=run.stop_reason,
        detail=run.detail,
        steps=tuple(run.steps),
        usage=_sum(step.usage for step in run.steps),
        events=tuple(events),
        value=_parsed(text) if by_schema and run.steps else None,
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BackendError(
            f"the model did not hold its answer to response_schema ({error}): {text[:80]!r}"
        ) from error


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
    return sum(usages, Usage())
