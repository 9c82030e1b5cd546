"""What every measurement says: what was measured, as a table, as a plot, as JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from longctx.evaluate.figures.plots import write_figure
from longctx.evaluate.figures.tables import Table
from longctx.rope import RopeConfig, SelfExtendConfig
from longctx.types import Frozen

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Self

    from longctx.llm import LongContextLLM


class Subject(Frozen):
    """The model, with its LoRA adapters, and the window that were measured. Lengths in tokens."""

    model: str
    n_ctx_train: int
    n_ctx: int
    method: str
    scale: float
    window: Literal["elastic", "fixed"]
    kv_type_k: str
    kv_type_v: str
    rope: RopeConfig
    self_extend: SelfExtendConfig | None
    model_sha256: str

    @classmethod
    def of(cls, llm: LongContextLLM) -> Subject:
        """Describe an open model."""
        plan = llm.plan
        adapters = (f"{each.path.name} at {each.scale:g}" for each in plan.adapters)
        return cls(
            model=" + ".join([llm.info.name, *adapters]),
            n_ctx_train=plan.n_ctx_train,
            n_ctx=plan.n_ctx,
            method=plan.method,
            scale=plan.scale,
            window=plan.window,
            kv_type_k=plan.kv_type_k,
            kv_type_v=plan.kv_type_v,
            rope=plan.rope,
            self_extend=plan.self_extend,
            model_sha256=llm.info.sha256,
        )

    @property
    def label(self) -> str:
        """A few words for a legend: the method, its s, and whether the window grows."""
        scaled = f"{self.method} s={self.scale:.3g}" if self.method != "none" else "none"
        return f"{scaled}, elastic" if self.window == "elastic" else scaled


class EvaluationResult(Frozen, ABC):
    """Base of the results: one measurement of one model in one window.

    ``seed`` with the same arguments gives the same text, facts and prompts again.
    """

    measure: ClassVar[str]
    """The name of the measure, as on the command line."""

    subject: Subject
    seed: int

    @classmethod
    @abstractmethod
    def tabulate(cls, results: Sequence[Self]) -> Table:
        """Lay several measurements out in one table, for comparison."""

    @classmethod
    @abstractmethod
    def figure(cls, results: Sequence[Self]) -> Figure:
        """Draw several measurements in one figure.

        Raises:
            MissingExtraError: the extra ``eval`` is not installed.
        """

    @classmethod
    def table(cls, results: Sequence[Self]) -> str:
        """:meth:`tabulate` as text."""
        return str(cls.tabulate(results))

    @classmethod
    def plot_all(cls, results: Sequence[Self], path: str | Path) -> None:
        """Write :meth:`figure` to a file; its suffix says the format (png, svg, pdf).

        Raises:
            MissingExtraError: the extra ``eval`` is not installed.
            RequestError: matplotlib cannot write such a file there.
        """
        write_figure(cls.figure(results), path)

    def plot(self, path: str | Path) -> None:
        """Draw this measurement; :meth:`plot_all` draws several in one figure."""
        self.plot_all([self], path)

    def __repr__(self) -> str:
        return self.table([self])

    __str__ = __repr__
