"""A conversation that one run at a time extends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias

from longctx.agents import policies
from longctx.agents.archive import Archive, Passage
from longctx.agents.background import own_words, with_background
from longctx.agents.call_queue import CallQueue
from longctx.agents.calls import Calls
from longctx.agents.cancelling import Cancellation, RunStopped
from longctx.agents.conversation import Conversation
from longctx.agents.events import AgentResult, Compacted, Done, Event, StepEvent
from longctx.agents.limits import Limits
from longctx.agents.loop import Run
from longctx.agents.names import RECALL
from longctx.agents.preparing import Preparation, compact_ahead, warm
from longctx.agents.read_back import read_result_tool
from longctx.agents.recall import recall_tool
from longctx.agents.report import TurnRecord
from longctx.agents.results import result_of, stopped_result, unbegun_result
from longctx.agents.settings import Background, Setup
from longctx.agents.side_model import SideModel
from longctx.agents.toolbox import Toolbox, tools_by_name
from longctx.agents.traces import RunTrace, run_trace
from longctx.agents.view import View, as_shown, new_counts
from longctx.agents.watch import CacheWatch
from longctx.errors import LongCtxError, RequestError
from longctx.options import RunOptions
from longctx.types import Message, WindowReport

logger = logging.getLogger("longctx")

Journal: TypeAlias = Callable[[Conversation], None]


class Track:
    """A conversation, what is known of it, and the run that is under way.

    Args:
        setup: whose tools it has.
        conversation: what it begins with.

    Attributes:
        conversation: as far as it has come.
        toolbox: what may be called, built-in tools included; renewed at the beginning of a run.
        window: after the last step; None before the first.
        records: of its runs.
        archive: finds earlier turns.
        journal: told of every change.

    Raises:
        ToolError: a tool is none, or two have one name.
    """

    def __init__(self, setup: Setup, conversation: Conversation) -> None:
        self.conversation = conversation
        given = list(setup.tools)
        if given and setup.read_back and setup.policy is not policies.keep_everything:
            given.append(read_result_tool(lambda: self.conversation.transcript))
            # What slides out is still shown, as far as anyone can tell from here.
            if RECALL not in tools_by_name(setup.tools) and not setup.is_endless:
                given.append(recall_tool(self._find))
        self.toolbox = Toolbox(given)
        self.window: WindowReport | None = None
        self.records: list[TurnRecord] = []
        self.archive = Archive(setup.embedder)
        self.journal: Journal | None = None
        self._prepared: tuple[Compacted, ...] = ()
        self._preparation: Preparation | None = None
        self._watch = CacheWatch()
        self._counts = new_counts()
        self._queue = CallQueue("Agent")
        self._cancellations: set[Cancellation] = set()

    # What a run begins with

    def told(self, text: str, *, pin: bool, background: Background | None) -> Conversation:
        """The conversation with something said, in place of a run that stopped in the middle."""
        if background is not None:
            text = with_background(text, background(text))
        if self.conversation.unfinished:
            self._watch.forget()
        message = Message(role="user", content=text)
        return self.conversation.without_unfinished().added(message, pin=pin)

    def interrupted(self) -> Conversation:
        """The conversation of a run that stopped in the middle.

        Raises:
            RequestError: there is no such run.
        """
        if not self.conversation.unfinished:
            raise RequestError("there is no unfinished run to resume; say something with run()")
        return self.conversation

    # What is done

    def work(
        self,
        setup: Setup,
        begin: Callable[[], Conversation],
        limits: Limits,
        options: RunOptions,
        cancellation: Cancellation | None = None,
    ) -> Iterator[Event]:
        """Run until the model answers, once those before are done.

        Args:
            setup: what the run goes by.
            begin: gives what the model is to answer, when it is this run's turn.
            limits: of the run.
            options: of each step.
            cancellation: ends it; one that is set before it begins does, too.
        """
        cancellation = cancellation or Cancellation()
        try:
            with (
                self._cancelled_by(cancellation),
                cancellation.within(limits.seconds),
                self._queue.hold(cancellation),
            ):
                result = yield from self._steps(setup, begin, limits, options, cancellation)
        except RunStopped as stopped:
            yield Done(result=unbegun_result(stopped))
            return
        if setup.prepares and not limits.dry_run:
            aside = threading.Thread(
                target=self._prepare_aside, args=(setup,), name="prepare", daemon=True
            )
            aside.start()
        yield Done(result=result)

    def prepare(self, setup: Setup) -> tuple[Compacted, ...]:
        """Compact now if the next turn would, and prefill what is left.

        Returns:
            What was done; nothing where it was cancelled, and the conversation is as before.

        Raises:
            LongCtxError: the policy or the model failed; the conversation is as before.
        """
        cancellation = Cancellation()
        with self._cancelled_by(cancellation):
            try:
                with self._queue.hold(cancellation):
                    return self._compact(setup, cancellation)
            except RunStopped:
                return ()

    def cancel(self) -> None:
        """End what is under way or waits for it; from any thread."""
        for cancellation in list(self._cancellations):
            cancellation.cancel("cancelled", "the run was cancelled")

    def go_on(self, conversation: Conversation) -> None:
        """Put a conversation in place of this one."""
        with self._queue.hold():
            self._watch.forget()
            self.window = None
            self.records, self._prepared = [], ()
            self._give_up_preparing()
            self._keep(conversation)

    # Inside

    @contextmanager
    def _cancelled_by(self, cancellation: Cancellation) -> Iterator[None]:
        self._cancellations.add(cancellation)
        try:
            yield
        finally:
            self._cancellations.discard(cancellation)

    def _steps(
        self,
        setup: Setup,
        begin: Callable[[], Conversation],
        limits: Limits,
        options: RunOptions,
        cancellation: Cancellation,
    ) -> Generator[StepEvent, None, AgentResult]:
        keep: Journal = (lambda _: self._watch.forget()) if limits.dry_run else self._keep
        note = (lambda *_: None) if limits.dry_run else self._note
        trace = run_trace(setup.tracer, setup.llm, setup.agent_name)
        started = time.perf_counter()
        events: list[StepEvent] = []
        run: Run | None = None
        try:
            if self.toolbox.renew():
                self._watch.forget()
            run = self._run(setup, begin(), limits, options, cancellation, trace)
            keep(run.conversation)
            for news in self.toolbox.news():
                events.append(news)
                yield news
            try:
                for event in run.events():
                    keep(run.conversation)
                    events.append(event)
                    yield event
            finally:
                self.window = run.window
                keep(run.conversation)
                if not limits.dry_run:
                    self._preparation = run.preparation
            keep(run.conversation.finish())
            result = result_of(run, events)
        except RunStopped as stopped:
            assert run is not None  # it stops itself
            self._give_up_preparing()
            result = stopped_result(run, events, stopped)
        except BaseException as error:
            self._give_up_preparing()
            trace.end(error)
            if run is not None:
                note(run, events, _why(error), started)
            raise
        trace.end(result)
        note(run, events, result.text or result.detail, started)
        return result

    def _run(
        self,
        setup: Setup,
        conversation: Conversation,
        limits: Limits,
        options: RunOptions,
        cancellation: Cancellation,
        trace: RunTrace,
    ) -> Run:
        write = None if setup.call_log is None else setup.call_log.write
        return Run(
            llm=setup.llm,
            calls=Calls(self.toolbox.tools, setup.tool_timeout_s, cancellation, trace.tool, write),
            schemas=self.toolbox.schemas,
            policy=setup.policy,
            max_steps=setup.max_steps,
            is_endless=setup.is_endless,
            watch=self._watch,
            counts=self._counts,
            archive=self.archive,
            conversation=conversation,
            options=options,
            cancellation=cancellation,
            limits=limits,
            confirm=setup.confirm,
            trace=trace,
            window=self.window,
            prepares=setup.prepares and not setup.is_endless,
            preparation=None if limits.dry_run else self._preparation,
        )

    def _compact(self, setup: Setup, cancellation: Cancellation) -> tuple[Compacted, ...]:
        if setup.is_endless or self.conversation.unfinished:
            return ()
        is_other = self.toolbox.renew()
        now, begun = self._prepared_beside(cancellation)
        view = View.of(
            now.transcript, SideModel(setup.llm, cancellation), shown=now.shown,
            tools=self.toolbox.schemas, pinned=now.pinned, counts=self._counts,
            archive=self.archive,
        )  # fmt: skip
        after = compact_ahead(view, setup.policy)
        if after.shown == self.conversation.shown and not is_other:
            return ()
        done = tuple(entry for entry in after.log if isinstance(entry, Compacted))
        warm(after, cancellation)
        self._watch.forget()
        self._keep(replace(now, shown=after.shown, compacted=(*now.compacted, *done)))
        self._prepared += begun + done
        return begun + done

    def _prepared_beside(
        self, cancellation: Cancellation
    ) -> tuple[Conversation, tuple[Compacted, ...]]:
        """The conversation with what was begun while a tool ran, and has not taken its place."""
        begun, self._preparation = self._preparation, None
        if begun is None:
            return self.conversation, ()
        with cancellation.wakes(begun.cancel):
            begun.wait(cancellation)
        return begun.put_into(self.conversation) or (self.conversation, ())

    def _give_up_preparing(self) -> None:
        """What was begun while a tool ran is of no use any more."""
        if self._preparation is not None:
            self._preparation.cancel()
            self._preparation = None

    def _prepare_aside(self, setup: Setup) -> None:
        try:
            self.prepare(setup)
        except LongCtxError as error:  # the next turn meets it again, where it can be told
            logger.info("no room could be made for the next turn: %s", error)

    def _find(self, query: str, n: int) -> list[Passage]:
        now = self.conversation
        shown = [message.content for message in as_shown(now.transcript, now.shown)]
        return self.archive.find(now.transcript, query, n, shown=shown)

    def _note(self, run: Run, events: list[StepEvent], answer: str, started: float) -> None:
        """Keep a run for the report."""
        said = [m.content for m in run.conversation.transcript if m.role == "user"]
        record = TurnRecord.of(
            len(said),
            own_words(said[-1]),
            answer,
            steps=run.steps,
            events=events,
            seconds=time.perf_counter() - started,
            prepared=self._prepared,
        )
        self.records.append(record)
        self._prepared = ()

    def _keep(self, conversation: Conversation) -> None:
        if conversation is not self.conversation:
            self.conversation = conversation
            if self.journal is not None:
                self.journal(conversation)


def _why(error: BaseException) -> str:
    """Why a run has no answer, for the report."""
    if isinstance(error, GeneratorExit):
        return "nobody read it to its end"
    return f"{type(error).__name__}: {error}"
