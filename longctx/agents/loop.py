"""One run of an agent: complete, call tools, complete again, until there is nothing to call."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from longctx.agents.events import Compacted, StopReason, TextDelta, ToolResult, WindowGrown
from longctx.agents.policies import Policy, Transcript
from longctx.agents.tools import Tool
from longctx.errors import BackendError, ToolError
from longctx.protocols import ChatModel, ToolChoice
from longctx.types import Completion, Message, ProgressCallback, ToolCall, ToolSchema

StepEvent: TypeAlias = TextDelta | ToolCall | ToolResult | WindowGrown | Compacted

# The same call with the same result is no progress (asking again for what changes is). The
# second time, the next step must be words: a small model copies its own call for ever, and
# answers well once it may not. A model that calls a third time is stopped.
ANSWER_AFTER, STOP_AFTER = 2, 3


@dataclass
class Run:
    """The state of one run; ``transcript`` is the conversation so far, the user's turn last."""

    llm: ChatModel
    tools: Mapping[str, Tool]
    schemas: Sequence[ToolSchema]
    policy: Policy
    max_steps: int
    transcript: Transcript
    tool_choice: ToolChoice
    max_tokens: int | None
    on_progress: ProgressCallback | None
    steps: list[Completion] = field(default_factory=list)
    stop_reason: StopReason = "answer"
    detail: str = ""

    def events(self) -> Iterator[StepEvent]:
        """Work until the model answers or a limit stops it; each event as it happens."""
        seen: Counter[tuple[str, str, str]] = Counter()
        for _ in range(self.max_steps):
            completion = yield from self._complete()
            if not completion.tool_calls:
                if completion.finish_reason == "length":
                    self._stop("length", "max_tokens cut the model's text; allow it more")
                return
            repeats = 0
            for call in completion.tool_calls:
                yield call
                result = self._call(call)
                yield result
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
            must_answer = self.tool_choice == "none" or repeats >= ANSWER_AFTER
            self.tool_choice = "none" if must_answer else "auto"
        self._stop(
            "step_limit",
            f"the model still wanted tools after {self.max_steps} steps; raise max_steps, "
            "or give it fewer things to do at once",
        )

    def _complete(self) -> Generator[StepEvent, None, Completion]:
        completion = None
        for chunk in self.llm.stream_chat(
            self.policy(self.transcript),
            tools=self.schemas or None,
            tool_choice=self.tool_choice,
            max_tokens=self.max_tokens,
            on_progress=self.on_progress,
        ):
            if chunk.text:
                yield TextDelta(text=chunk.text)
            completion = chunk.result or completion
        if completion is None:
            raise BackendError("the model's stream ended without a result")
        self.steps.append(completion)
        self.transcript = (*self.transcript, completion.message)
        window = completion.window
        if window.grew_from is not None:
            yield WindowGrown(
                grew_from=window.grew_from,
                n_ctx=window.n_ctx,
                scale=window.scale,
                method=window.method,
                rescale_s=completion.timings.rescale_s,
            )
        return completion

    def _call(self, call: ToolCall) -> ToolResult:
        """Run a tool; what goes wrong in it is for the model to read, not for the caller."""
        try:
            if call.name not in self.tools:
                known = ", ".join(self.tools) or "none"
                raise ToolError(f"there is no tool {call.name!r}; the tools are: {known}")
            text, is_error = self.tools[call.name].call(call.arguments), False
        except ToolError as error:
            text, is_error = f"Error: {error}", True
        except Exception as error:
            text, is_error = f"Error: {type(error).__name__}: {error}", True
        self.transcript = (
            *self.transcript,
            Message(role="tool", content=text, tool_call_id=call.id, name=call.name),
        )
        return ToolResult(call_id=call.id, name=call.name, text=text, is_error=is_error)

    def _stop(self, reason: StopReason, detail: str) -> None:
        self.stop_reason, self.detail = reason, detail
