"""What a run may use up, and whether it may do anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from longctx import arguments
from longctx.errors import RequestError
from longctx.options import RUN_OPTIONS, RunOptions, check_names


class AgentRunOptions(RunOptions, total=False):
    """:class:`longctx.options.RunOptions`, and the limits of a run.

    Attributes:
        budget_tokens: tokens that the run may prefill and write, all steps together; what the
            cache has costs nothing. A prompt is read whole, so the last step may go over it.
        budget_s: seconds that it may take, tools and waiting for answers included.
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

    @classmethod
    def split(cls, given: AgentRunOptions) -> tuple[Limits, RunOptions]:
        """The limits, and the options of each step.

        Raises:
            RequestError: an option is unknown, or a limit is none.
        """
        check_names(given, RUN_OPTIONS | _LIMITS, "of a run")
        tokens, seconds = given.get("budget_tokens"), given.get("budget_s")
        dry_run = given.get("dry_run") or False
        if not isinstance(dry_run, bool):
            raise RequestError(f"dry_run is {dry_run!r}; use True or False")
        limits = cls(
            tokens=None if tokens is None else arguments.whole("budget_tokens", tokens, least=1),
            seconds=None if seconds is None else arguments.seconds("budget_s", seconds),
            dry_run=dry_run,
        )
        rest: dict[str, Any] = {key: v for key, v in given.items() if key not in _LIMITS}
        return limits, cast(RunOptions, rest)
