"""Models that can be opened when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from longctx.errors import RequestError
from longctx.llm import LongContextLLM
from longctx.models import DEFAULT_CTX, find_model
from longctx.planner import PlanOptions, plan_context
from longctx.server.relay import RelayedModel
from longctx.server.served import ServedModel


@dataclass(frozen=True)
class Prepared:
    """A model whose plan is made, and that holds no memory yet.

    Attributes:
        n_bytes: what it takes while it is open; 0 where another machine has it.
        open: does so.
    """

    n_bytes: int
    open: Callable[[], ServedModel]


@dataclass(frozen=True)
class ModelSource:
    """A model by the name that clients give.

    Attributes:
        name: theirs.
        prepare: plans it for so many bytes of memory, or raises why it cannot be opened.
        target_ctx: its window in tokens; None where that is known when it is open.
    """

    name: str
    prepare: Callable[[int], Prepared]
    target_ctx: int | None = None

    @classmethod
    def of_file(cls, name: str, model: str, **opening: Any) -> ModelSource:
        """A model of this machine, or of Hugging Face's hub, whose file is found when it is
        opened.

        Args:
            name: that clients give.
            model: as :class:`longctx.LongContextLLM` takes it.
            opening: the other arguments of that class.
        """
        target_ctx = opening.pop("target_ctx", DEFAULT_CTX)
        planning = {k: opening.pop(k) for k in PlanOptions.__annotations__ if k in opening}

        def prepare(n_bytes: int) -> Prepared:
            found = find_model(model, target_ctx, memory_limit=n_bytes)
            wanted = {**planning, "memory_limit": n_bytes}
            if found.adapters:
                wanted["adapters"] = [*found.adapters, *(planning.get("adapters") or ())]
            plan = plan_context(found.path, target_ctx, **cast(PlanOptions, wanted))
            plan = plan.because(*found.reasons)
            return Prepared(
                plan.memory.total_bytes, lambda: LongContextLLM(found.path, plan=plan, **opening)
            )

        return cls(name, prepare, target_ctx)

    @classmethod
    def of_server(cls, name: str, base_url: str, model: str, **options: Any) -> ModelSource:
        """A model of another server.

        Args:
            name: that clients give.
            base_url: of that server.
            model: its name there.
            options: of :class:`longctx.RemoteLLM`.
        """
        return cls(
            name,
            lambda _: Prepared(0, lambda: RelayedModel.connect(base_url, model, **options)),
            options.get("target_ctx"),
        )


def check_sources(sources: Sequence[ModelSource]) -> None:
    """Refuse names that are none, or are given twice.

    Raises:
        RequestError: so it is.
    """
    names = [source.name for source in sources]
    if not names:
        raise RequestError("there is no model to serve; name one or more")
    for name in names:
        if names.count(name) > 1:
            raise RequestError(
                f"two models are called {name!r}; call one otherwise, as in OTHER=path.gguf"
            )
