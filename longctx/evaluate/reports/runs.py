"""What one command measured, as the JSON that it prints and that a report is made from."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from longctx.errors import RequestError
from longctx.evaluate.figures.tables import Table
from longctx.evaluate.measures.compress import CompressResult
from longctx.evaluate.measures.needle import NeedleResult
from longctx.evaluate.measures.passkey import PasskeyResult
from longctx.evaluate.measures.perplexity import PerplexityResult
from longctx.evaluate.measures.recall import RecallResult
from longctx.evaluate.measures.result import EvaluationResult
from longctx.evaluate.measures.ruler import RulerResult
from longctx.evaluate.measures.stream import StreamResult
from longctx.types import Frozen, first_problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KINDS: Mapping[str, type[EvaluationResult]] = {
    kind.measure: kind
    for kind in (
        PerplexityResult, RecallResult, PasskeyResult, NeedleResult, RulerResult, StreamResult,
        CompressResult,
    )
}  # fmt: skip


def _environment() -> dict[str, str]:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "Python": platform.python_version(),
        "longctx-sdk": _version("longctx-sdk"),
        "llama-cpp-python": _version("llama-cpp-python"),
    }


def _version(package: str) -> str:
    """Of what is installed; a checkout beside a path is not, and nothing measured is lost by it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


class EvaluationRun(Frozen):
    """The measurements that one command made; its JSON is what ``longctx eval --json`` prints.

    ``measure`` names the kind of all ``results``, ``command`` is what makes them again, and
    ``environment`` says when and on what they were made.
    """

    measure: str
    command: str | None = None
    environment: dict[str, str] = Field(default_factory=_environment)
    results: tuple[SerializeAsAny[EvaluationResult], ...] = Field(min_length=1)

    @field_validator("measure")
    @classmethod
    def _is_known(cls, measure: str) -> str:
        if measure not in _KINDS:
            raise ValueError(f"the measure is {measure!r}, not one of {', '.join(_KINDS)}")
        return measure

    @field_validator("results", mode="before")
    @classmethod
    def _of_their_kind(cls, results: Sequence[Any], info: ValidationInfo) -> Sequence[Any]:
        kind = _KINDS.get(info.data.get("measure", ""))
        return results if kind is None else [kind.model_validate(result) for result in results]

    @classmethod
    def of(
        cls, results: Sequence[EvaluationResult], *, command: str | None = None
    ) -> EvaluationRun:
        """Describe measurements of one kind that were just made."""
        return cls(measure=results[0].measure, command=command, results=tuple(results))

    @property
    def table(self) -> Table:
        """All results in one table."""
        return _KINDS[self.measure].tabulate(self.results)

    @property
    def figure(self) -> Figure:
        """All results in one figure."""
        return _KINDS[self.measure].figure(self.results)


def load_run(path: str | Path) -> EvaluationRun:
    """Read what ``longctx eval … --json`` wrote.

    Raises:
        RequestError: the file cannot be read, or is something else.
    """
    try:
        return EvaluationRun.model_validate_json(Path(path).read_bytes())
    except (OSError, ValidationError) as error:
        why = first_problem(error, "the file") if isinstance(error, ValidationError) else error
        raise RequestError(
            f"{path} is not what `longctx eval … --json` writes ({why}); run the measure again "
            "with --json"
        ) from error
