"""What a run may use up, and whether it may do anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from longctx import arguments
from longctx.options import RUN_OPTIONS, RunOptions, check_names, tool_choice_of


class AgentRunOptions(RunOptions, total=False):
    """:class:`longctx.options.RunOptions`, and the limits of a run.

    Attributes:
        budget_tokens: tokens that the run may prefill and write, all steps together, with the
            summaries that its policy asks for, prepared ones too; what the cache has costs nothing.
            A prompt is read whole, so the last step may go over it.
        budget_s: seconds that it may take, waiting for a run before it, tools and waiting for
            answers included.
        dry_run: end where the model calls: the calls are told and checked, and none is made.
    """

    budget_tokens: int | None
    budget_s: float | None
    dry_run: bool | None


_LIMITS = frozenset(AgentRunOptions.__annotations__) - RUN_OPTIONS


@dataclass(frozen=True)
class Limits:
    """The limits of one run."""

    tokens: int | None = None
    seconds: float | None = None
    dry_run: bool = False


def checked_options(
    options: AgentRunOptions, tools: Sequence[str], temperature: float
) -> tuple[Limits, RunOptions]:
    """Check what a run was asked with, before any work.

    Args:
        options: of the caller.
        tools: names that may be called.
        temperature: where they do not say.

    Returns:
        The limits, and the options of each step.

    Raises:
        RequestError: an option is unknown, or wrong.
        ToolError: ``tool_choice`` names no tool.
    """
    check_names(options, RUN_OPTIONS | _LIMITS, "of a run")
    tokens, seconds = options.get("budget_tokens"), options.get("budget_s")
    dry_run = options.get("dry_run")
    limits = Limits(
        tokens=None if tokens is None else arguments.whole("budget_tokens", tokens, least=1),
        seconds=None if seconds is None else arguments.seconds("budget_s", seconds),
        dry_run=dry_run is not None and arguments.flag("dry_run", dry_run),
    )
    given = cast(RunOptions, {key: v for key, v in options.items() if key not in _LIMITS})
    arguments.tool_choice(tool_choice_of(given), tools)
    if given.get("response_schema") is not None:
        arguments.json_schema(given["response_schema"])
    given["max_tokens"] = arguments.max_tokens(given.get("max_tokens"))
    if given.get("temperature") is None:
        given["temperature"] = temperature
    return limits, given
