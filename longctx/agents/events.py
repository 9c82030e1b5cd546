"""What happens while an agent runs, as frozen events.

:class:`longctx.types.ToolCall`, which the model's message carries, is itself the event of a
call: the agent yields the same object.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import PrivateAttr

from longctx.mcp import ServerQuestion
from longctx.types import Completion, Frozen, ToolCall, Usage

StopReason: TypeAlias = Literal[
    "answer", "length", "step_limit", "repeated_call", "budget", "cancelled", "dry_run"
]


class TextDelta(Frozen):
    """A piece of the model's text."""

    text: str


class ReasoningDelta(Frozen):
    """A piece of what the model thinks before it answers or calls."""

    text: str


class ToolResult(Frozen):
    """What a tool returned, as the model will read it; with ``is_error`` why it did not.

    ``clamped``: the text is the head and the tail of a longer one, which the transcript has.
    """

    call_id: str
    name: str
    text: str
    is_error: bool = False
    clamped: bool = False


class ToolProgress(Frozen):
    """How far a call is, as its tool tells it: ``done`` of ``total``, where that is known."""

    call_id: str
    name: str
    done: float
    total: float | None = None
    message: str = ""


class ConfirmCall(Frozen):
    """A call that somebody must allow before it is made (``@tool(confirm=True)``).

    Answer it before reading on: with :meth:`allow` or :meth:`deny`. A call that nobody answered for
    is not made. In a saved event ``call`` is all that is left.
    """

    call: ToolCall
    _answer: bool = PrivateAttr(default=False)
    _reason: str = PrivateAttr(default="nobody was asked")

    def allow(self) -> None:
        """Let it be made."""
        self._answer = True

    def deny(self, reason: str = "the user said no") -> None:
        """Let it not be made.

        Args:
            reason: what the model is told.
        """
        self._answer, self._reason = False, reason

    @property
    def is_allowed(self) -> bool:
        """Whether it was allowed."""
        return self._answer

    @property
    def reason(self) -> str:
        """Why it was not."""
        return self._reason


class ServerAsks(Frozen):
    """A server asks the user something in the middle of a call (``mcp(…, ask=True)``).

    Answer it before reading on: with :meth:`answer` or :meth:`decline`; one that nobody answers is
    declined. In a saved event ``call`` and ``question`` are all that is left.
    """

    call: ToolCall
    question: ServerQuestion
    _values: dict[str, Any] | None = PrivateAttr(default=None)

    def answer(self, /, **values: Any) -> None:
        """Tell it what it asks for, by the fields' names; of a ``url`` nothing, once it was opened.

        Args:
            values: texts, numbers, truth values and lists of texts.
        """
        self._values = values

    def decline(self) -> None:
        """Tell it nothing."""
        self._values = None

    @property
    def values(self) -> dict[str, Any] | None:
        """What it is told; None is nothing."""
        return self._values


class WindowGrown(Frozen):
    """The window grew to hold the conversation: tokens before and after, and the time it took."""

    grew_from: int
    n_ctx: int
    scale: float
    method: str
    rescale_s: float


class WindowShrunk(Frozen):
    """The window went back, after a compaction: tokens before and after."""

    shrank_from: int
    n_ctx: int
    scale: float
    method: str


class Compacted(Frozen):
    """A policy showed the model less: tokens of the prompt before and after, exactly.

    ``detail`` says what went, or, with the same tokens before and after, why nothing did.
    """

    policy: str
    tokens_before: int
    tokens_after: int
    detail: str = ""


class Recalled(Frozen):
    """Passages of earlier turns were put beside the user's words, as ``text`` has them.

    ``turns`` are the numbers of those turns, ``tokens`` what it adds to the prompt.
    """

    turns: tuple[int, ...]
    text: str
    tokens: int


class CacheLost(Frozen):
    """Tokens were prefilled again although the conversation only went on.

    ``expected_tokens`` stood in the cache after the step before, ``cached_tokens`` were found.
    """

    expected_tokens: int
    cached_tokens: int
    reason: str


class ToolsChanged(Frozen):
    """A server offers other tools than it did in the turn before; names as the model calls them.

    Tools stand at the beginning of the prompt, so that all of it is prefilled again, once.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = {"new": self.added, "gone": self.removed, "changed": self.changed}
        said = (f"{what}: {', '.join(names)}" for what, names in parts.items() if names)
        return f"other tools ({'; '.join(said) or 'in another order'})"


class ServerChanged(Frozen):
    """A server has other documents (``"resources"``) or prompts than it had in the turn before.

    The prompt is as it was: ``list_resources`` and ``server.prompts()`` tell what there is now.
    """

    server: str
    lists: tuple[Literal["resources", "prompts"], ...]

    def __str__(self) -> str:
        return f"{self.server} has other {' and '.join(self.lists)}"


class AgentResult(Frozen):
    """One run.

    ``stop_reason``: ``"answer"`` when the model ended by itself; ``"length"`` when ``max_tokens``,
    or the end of the window, cut its text; ``"step_limit"`` when it still wanted tools after the
    last step; ``"repeated_call"`` when the same call brought the same result for the third time;
    ``"budget"`` and ``"cancelled"`` when a limit of the run, or ``Agent.cancel``, ended it, and
    ``Agent.resume`` goes on; ``"dry_run"`` when the model called in a run that does nothing.
    ``detail`` says so in words (empty for an answer). ``text`` is the model's last text, and empty
    where it ended in a call; ``reasoning`` is what it thought before it. ``value`` is the text as
    JSON, where a ``response_schema`` was asked for and the text is whole. ``steps`` are the model's
    completions, ``usage`` their sum, ``events`` all that :meth:`~longctx.agents.Agent.stream`
    yielded before :class:`Done`.
    """

    text: str
    stop_reason: StopReason
    detail: str
    steps: tuple[Completion, ...]
    usage: Usage
    events: tuple[
        TextDelta
        | ReasoningDelta
        | ToolCall
        | ToolResult
        | ToolProgress
        | ConfirmCall
        | ServerAsks
        | WindowGrown
        | WindowShrunk
        | Compacted
        | Recalled
        | CacheLost
        | ToolsChanged
        | ServerChanged,
        ...,
    ]
    value: Any = None
    reasoning: str = ""


class Done(Frozen):
    """The end of a run; always the last event."""

    result: AgentResult


StepEvent: TypeAlias = (
    TextDelta
    | ReasoningDelta
    | ToolCall
    | ToolResult
    | ToolProgress
    | ConfirmCall
    | ServerAsks
    | WindowGrown
    | WindowShrunk
    | Compacted
    | Recalled
    | CacheLost
    | ToolsChanged
    | ServerChanged
)
Event: TypeAlias = StepEvent | Done
