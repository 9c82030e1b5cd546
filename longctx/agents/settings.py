"""What an agent is set up with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from typing_extensions import TypedDict, Unpack

from longctx import arguments
from longctx.agents import policies
from longctx.agents.call_log import CallLog
from longctx.agents.toolbox import ToolLike
from longctx.agents.tools import check_timeout
from longctx.agents.traces import check_tracer
from longctx.errors import RequestError, ToolError
from longctx.protocols import ChatModel, Embedder
from longctx.search.embedders import EmbedderLike, as_embedder
from longctx.types import ToolCall

Background: TypeAlias = Callable[[str], str]
Confirm: TypeAlias = Callable[[ToolCall], bool | str]


class AgentSettings(TypedDict, total=False):
    """The arguments of :class:`~longctx.agents.Agent` by these names."""

    max_steps: int
    tool_timeout_s: float | None
    background: Background | None
    read_back: bool
    embedder: EmbedderLike
    prepares: bool
    temperature: float | None
    agent_name: str
    confirm: Confirm | None
    call_log: str | Path | CallLog | None
    tracer: Any


@dataclass(frozen=True)
class Setup:
    """The arguments of :class:`~longctx.agents.Agent` but its system prompt, checked: a run goes by
    it, and a fork is made of it. Make one with :meth:`of`."""

    llm: ChatModel
    tools: tuple[ToolLike, ...]
    policy: policies.Policy
    max_steps: int
    tool_timeout_s: float | None
    background: Background | None
    read_back: bool
    embedder: Embedder | None
    prepares: bool
    temperature: float
    agent_name: str
    confirm: Confirm | None
    call_log: CallLog | None
    tracer: Any

    @classmethod
    def of(
        cls,
        llm: ChatModel,
        tools: Iterable[ToolLike],
        policy: policies.Policy | None,
        **settings: Unpack[AgentSettings],
    ) -> Setup:
        """Check what a caller gave.

        Raises:
            ToolError: the tools are none.
            RequestError: another argument is wrong.
        """
        if not callable(getattr(llm, "stream_chat", None)):
            raise RequestError(f"{llm!r} is no model; pass a LongContextLLM or another ChatModel")
        if not isinstance(tools, Iterable):
            raise ToolError(f"tools is {tools!r}; pass a list of functions decorated with @tool")
        if policy is not None and not callable(policy):
            raise RequestError(f"{policy!r} is no policy; pass a function of a View, or None")
        default = policies.clamp_results if _is_endless(llm) else policies.default()
        embedder, log = settings["embedder"], settings["call_log"]
        return cls(
            llm=llm,
            tools=tuple(tools),
            policy=policy or default,
            max_steps=arguments.whole("max_steps", settings["max_steps"], least=1),
            tool_timeout_s=check_timeout(settings["tool_timeout_s"]),
            background=_function("background", settings["background"], "the user's words"),
            read_back=arguments.flag("read_back", settings["read_back"]),
            embedder=None if embedder is None else as_embedder(embedder),
            prepares=arguments.flag("prepares", settings["prepares"]),
            temperature=arguments.temperature(settings["temperature"]),
            agent_name=arguments.words("agent_name", settings["agent_name"]),
            confirm=_function("confirm", settings["confirm"], "a ToolCall"),
            call_log=log if log is None or isinstance(log, CallLog) else CallLog(log),
            tracer=check_tracer(settings["tracer"]),
        )

    def changed(self, **arguments: Any) -> Setup:
        """The same with some others, checked."""
        return Setup.of(**{**vars(self), **arguments})

    @property
    def is_endless(self) -> bool:
        """Whether the model's window takes more than it holds."""
        return _is_endless(self.llm)


def _is_endless(llm: ChatModel) -> bool:
    # ChatModel does not speak of full windows; LongContextLLM does.
    return bool(getattr(llm, "overflow", "error") != "error")


def _function(name: str, value: object, of: str) -> Any:
    if value is not None and not callable(value):
        raise RequestError(f"{name} is {value!r}; pass a function of {of}, or None")
    return cast(Any, value)
