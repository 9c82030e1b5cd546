"""One run of an agent: complete, call tools, complete again, until there is nothing to call."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from longctx.agents.archive import Archive
from longctx.agents.arranging import arrange
from longctx.agents.calls import Calls, failed
from longctx.agents.cancelling import Cancellation, RunStopped
from longctx.agents.conversation import INTERRUPTED, Conversation
from longctx.agents.events import (
    Compacted,
    ConfirmCall,
    ReasoningDelta,
    Recalled,
    StepEvent,
    StopReason,
    TextDelta,
    ToolResult,
    WindowGrown,
    WindowShrunk,
)
from longctx.agents.limits import Limits
from longctx.agents.policies import Policy
from longctx.agents.preparing import Preparation
from longctx.agents.side_model import SideModel, Spent
from longctx.agents.traces import RunTrace, Untraced
from longctx.agents.view import Counts, View
from longctx.agents.watch import CacheWatch
from longctx.errors import ToolError
from longctx.options import ChatOptions, RunOptions, ToolChoice, tool_choice_of
from longctx.protocols import ChatModel
from longctx.types import (
    Completion,
    Message,
    ToolCall,
    ToolSchema,
    Usage,
    WindowReport,
)

# The same call with the same result is no progress (asking again for what changes is). The
# second time, the next step must be words: a small model copies its own call for ever, and
# answers well once it may not. A model that calls a third time is stopped.
ANSWER_AFTER, STOP_AFTER = 2, 3


@dataclass
class Run:
    """The state of one run; ``conversation`` ends with what the model is to answer.

    With ``prepares``, what the policy would soon take out is made ready while tools run
    (``preparation``), and takes its place where a step begins, or in a later run.
    """

    llm: ChatModel
    calls: Calls
    schemas: Sequence[ToolSchema]
    policy: Policy
    max_steps: int
    is_endless: bool
    watch: CacheWatch
    counts: Counts
    archive: Archive
    conversation: Conversation
    options: RunOptions
    cancellation: Cancellation
    limits: Limits = field(default_factory=Limits)
    confirm: Callable[[ToolCall], bool | str] | None = None
    trace: RunTrace = field(default_factory=Untraced)
    window: WindowReport | None = None
    steps: list[Completion] = field(default_factory=list)
    stop_reason: StopReason = "answer"
    detail: str = ""
    prepares: bool = False
    preparation: Preparation | None = None
    _spent: Spent = field(default_factory=Spent)
    _avoidable: str = ""
    _arranged: View | None = None

    @cached_property
    def _side(self) -> SideModel:
        """The model as policies ask it."""
        return SideModel(self.llm, self.cancellation, self._spent)

    @property
    def usage(self) -> Usage:
        """Of all steps."""
        return sum((step.usage for step in self.steps), Usage())

    def events(self) -> Iterator[StepEvent]:
        """Work until the model answers or a limit stops it; each event as it happens.

        Raises:
            RunStopped: it was cancelled, its budget is used up, or it does nothing but look.
        """
        yield from self._answer_open_calls()
        yield from self._arrange()
        if self.conversation.transcript[-1].role == "assistant":
            return  # the program ended right after the answer
        seen: Counter[tuple[str, str, str]] = Counter()
        tool_choice = tool_choice_of(self.options)
        for _ in range(self.max_steps):
            completion = yield from self._complete(tool_choice)
            if not completion.tool_calls:
                if completion.finish_detail == "repetition":
                    self._stop("length", "the model said the same over and over, and was cut")
                elif completion.finish_reason == "length":
                    self._stop("length", _cut(self.options.get("max_tokens")))
                return
            if self.limits.dry_run:
                yield from completion.tool_calls
                raise RunStopped("dry_run", self._would_call(completion.tool_calls))
            repeats = 0
            for call, result in (yield from self._call(completion.tool_calls)):
                arguments = json.dumps(call.arguments, sort_keys=True)
                seen[call.name, arguments, result.text] += 1
                repeats = max(repeats, seen[call.name, arguments, result.text])
                if repeats == STOP_AFTER:
                    self._stop(
                        "repeated_call",
                        f"the model called {call.name}({arguments}) {repeats} times and got the "
                        "same result each time, so the run was stopped",
                    )
            if repeats >= STOP_AFTER:
                return
            # A forced choice holds for the first step, or the model could never answer.
            must_answer = tool_choice == "none" or repeats >= ANSWER_AFTER
            tool_choice = "none" if must_answer else "auto"
        self._stop(
            "step_limit",
            f"the model still wanted tools after {self.max_steps} steps; raise max_steps, "
            "or give it fewer things to do at once",
        )

    # The model

    def _complete(self, tool_choice: ToolChoice) -> Generator[StepEvent, None, Completion]:
        """One step: calls, or an answer by the schema, where there is one."""
        schema = self.options.get("response_schema")
        completion = yield from self._generate(tool_choice, schema)
        is_cut = completion.finish_reason == "length"
        says = not completion.tool_calls and not is_cut
        if schema is not None and self.schemas and says and not _is_json(completion.text):
            # A server that holds an answer to tools or to a schema, and not to both: asked once
            # more without tools, and only what the model says then counts.
            completion = yield from self._generate("none", schema)
        message = self.conversation.with_own_ids(completion.message)
        self.conversation = self.conversation.added(message)
        self.steps[-1] = completion.model_copy(update={"message": message})
        return self.steps[-1]

    def _generate(
        self, tool_choice: ToolChoice, schema: Any
    ) -> Generator[StepEvent, None, Completion]:
        assert self._arranged is not None  # before each step
        self.cancellation.check()
        prompt = self._arranged.prompt
        max_tokens, capped = self._room()
        options = ChatOptions(
            {
                **self.options,
                "tools": self.schemas or None,
                "tool_choice": tool_choice,
                "response_schema": schema,
                "max_tokens": max_tokens,
            }
        )
        held: list[str] = []
        # Words that are no JSON are told once a call follows them: without one they do not count.
        aloud = schema is None or not self.schemas
        with (
            self.trace.step(max_tokens, prompt.messages) as noted,
            self.llm.stream_chat(prompt, **options) as stream,
            self.cancellation.wakes(stream.close),
        ):
            for chunk in stream:
                self.cancellation.check()
                if chunk.reasoning:
                    yield ReasoningDelta(text=chunk.reasoning)
                if chunk.text:
                    held.append(chunk.text)
                    aloud = aloud or "".join(held).lstrip()[:1] in ("{", "[")
                if chunk.tool_calls:
                    aloud = True
                if aloud and held:
                    yield TextDelta(text="".join(held))
                    held.clear()
            self.cancellation.check()
            completion = stream.result
            noted(completion)
            # Of a model that tells its calls at the end; or of a number, by the schema.
            if held and (completion.tool_calls or _is_json(completion.text)):
                yield TextDelta(text="".join(held))
        self.steps.append(completion)
        yield from self._window_events(completion)
        lost = self.watch.check(prompt.messages, completion, self._avoidable)
        self._avoidable = ""
        if lost is not None:
            yield lost
        if capped and completion.finish_reason == "length" and not completion.finish_detail:
            raise self._used_up()
        return completion

    def _room(self) -> tuple[int | None, bool]:
        """Tokens that the next step may write, and whether the budget says so.

        Raises:
            RunStopped: there are none.
        """
        asked = self.options.get("max_tokens")
        if self.limits.tokens is None:
            return asked, False
        left = (
            self.limits.tokens
            - self._spent.tokens
            - sum(step.usage.prefilled_tokens + step.usage.completion_tokens for step in self.steps)
        )
        if left <= 0:
            raise self._used_up()
        room = self.llm.target_ctx - self._arranged.tokens if self._arranged else left
        if left >= (room if asked is None else asked):
            return asked, False
        return left, True

    def _used_up(self) -> RunStopped:
        return RunStopped("budget", f"the run has used up budget_tokens={self.limits.tokens}")

    def _window_events(self, completion: Completion) -> Iterator[StepEvent]:
        old, now = self.window, completion.window
        self.window = now
        # After a compaction the model may go on in another session, which grew by itself.
        grew_from = now.grew_from if old is None else old.n_ctx
        if grew_from is not None and now.n_ctx > grew_from:
            yield WindowGrown(
                grew_from=grew_from,
                n_ctx=now.n_ctx,
                scale=now.scale,
                method=now.method,
                rescale_s=completion.timings.rescale_s,
            )
        elif old is not None and now.n_ctx < old.n_ctx:
            yield WindowShrunk(
                shrank_from=old.n_ctx, n_ctx=now.n_ctx, scale=now.scale, method=now.method
            )

    # The tools

    def _call(
        self, calls: Sequence[ToolCall]
    ) -> Generator[StepEvent, None, list[tuple[ToolCall, ToolResult]]]:
        yield from calls
        denied: dict[str, ToolResult] = {}
        for call in calls:
            tool = self.calls.tools.get(call.name)
            if tool is not None and tool.confirm:
                asked = ConfirmCall(call=call)
                if self.confirm is not None:
                    _answer(asked, self.confirm(call))
                yield asked
                if not asked.is_allowed:
                    why = ToolError(f"{call.name} was not called: {asked.reason}")
                    denied[call.id] = failed(call, why)
        self.cancellation.check()
        if self.prepares and self.preparation is None and self._arranged is not None:
            self.preparation = Preparation(self._arranged, self.policy, self._spent)
            self.preparation.start()
        made = iter((yield from self.calls.run([c for c in calls if c.id not in denied])))
        results = [denied.get(call.id) or next(made) for call in calls]
        yield from self._take(results)
        return list(zip(calls, results, strict=True))

    def _would_call(self, calls: Sequence[ToolCall]) -> str:
        """What a dry run found."""
        said = []
        for call in calls:
            tool, wrong = self.calls.tools.get(call.name), ""
            try:
                if tool is None:
                    raise ToolError(f"there is no tool {call.name!r}")
                tool.check(call.arguments)
            except ToolError as error:
                wrong = f" ({error})"
            said.append(f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)}){wrong}")
        return f"nothing was called; the model would call {', '.join(said)}"

    def _answer_open_calls(self) -> Iterator[StepEvent]:
        """Of a run that was interrupted: nobody knows what became of its calls."""
        calls = self.conversation.open_calls
        results = [
            ToolResult(call_id=call.id, name=call.name, text=INTERRUPTED, is_error=True)
            for call in calls
        ]
        if results:
            yield from self._take(results)

    def _take(self, results: Sequence[ToolResult]) -> Iterator[StepEvent]:
        """Put results into the conversation, and show the model what the policy says."""
        for result in results:
            self.conversation = self.conversation.added(
                Message(
                    role="tool", content=result.text, tool_call_id=result.call_id, name=result.name
                )
            )
        compactions = list(self._arrange())
        shown = {one.index: one for one in self.conversation.shown}
        first = len(self.conversation.transcript) - len(results)
        for place, result in enumerate(results, first):
            one = shown.get(place)
            if one is not None and one.content is not None:
                clamped = {"text": one.content, "clamped": one.state == "clamped"}
                result = result.model_copy(update=clamped)
            yield result
        yield from compactions

    # The window

    def _arrange(self) -> Iterator[Compacted | Recalled]:
        """Let the policy say what is shown from now on, or what was prepared.

        Raises:
            ContextOverflowError: even so it does not fit.
            TemplateError: the policy broke the conversation.
        """
        before = self._view()
        if (ready := self.preparation) is not None:
            if before.tokens > before.room_tokens:
                ready.wait(self.cancellation)  # what is begun is nearer than what is not
            if ready.is_done:
                self.preparation = None
                if (prepared := ready.put_into(self.conversation)) is not None:
                    self.conversation, log = prepared
                    before = self._view()
                    yield from log
        done = arrange(before, self.policy, is_endless=self.is_endless)
        self._arranged, self._avoidable = done.view, done.avoidable
        compacted = (entry for entry in done.log if isinstance(entry, Compacted))
        self.conversation = replace(
            self.conversation,
            shown=done.view.shown,
            compacted=(*self.conversation.compacted, *compacted),
        )
        yield from done.log

    def _view(self) -> View:
        """What is shown, as a policy sees it."""
        now = self.conversation
        return View.of(
            now.transcript,
            self._side,
            shown=now.shown,
            tools=self.schemas,
            pinned=now.pinned,
            reserve_tokens=self.options.get("max_tokens"),
            counts=self.counts,
            archive=self.archive,
        )

    def _stop(self, reason: StopReason, detail: str) -> None:
        self.stop_reason, self.detail = reason, detail


def _answer(asked: ConfirmCall, said: bool | str) -> None:
    """A function answers True, False, or why not."""
    if said is True:
        asked.allow()
    elif isinstance(said, str) and said:
        asked.deny(said)
    else:
        asked.deny()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _cut(max_tokens: int | None) -> str:
    if max_tokens is None:
        return "the window was full before the model's text ended; ask for a larger target_ctx"
    return "max_tokens cut the model's text; allow it more"
