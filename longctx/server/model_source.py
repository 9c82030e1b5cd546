"""Models that can be opened when they are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from longctx.devices import DeviceOptions
from longctx.errors import RequestError
from longctx.llm import LongContextLLM
from longctx.models import DEFAULT_CTX, find_model
from longctx.planner import PlanOptions, plan_context
from longctx.server.relay import RelayedModel
from longctx.server.served import ServedModel

_PATH = re.compile(r"[^\n{}]*[/\\][^\n{}]*")


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
        paths: of this machine that it is made of.
    """

    name: str
    prepare: Callable[[int], Prepared]
    target_ctx: int | None = None
    paths: tuple[Path, ...] = ()

    def without_paths(self, text: str) -> str:
        """An error as clients are told it: where files lie is the operator's business."""
        for path in self.paths:
            for form in (path, path.absolute(), path.resolve()):
                text = text.replace(str(form), path.name)
                if form.is_absolute() and form.parent != form.parent.parent:  # its neighbours
                    text = text.replace(f"{form.parent}{os.sep}", "")
        home = os.path.expanduser("~")  # where downloads are kept
        return text.replace(home + os.sep, f"~{os.sep}") if len(home) > 1 else text

    @classmethod
    def of_file(cls, name: str, model: str, **opening: Any) -> ModelSource:
        """A model of this machine, or of Hugging Face's hub, whose file is found when it is
        opened.

        Args:
            name: that clients give.
            model: as :class:`longctx.LongContextLLM` takes it.
            opening: the other arguments of that class.
        """
        paths = tuple(_paths_of(model, *opening.values()))
        target_ctx = opening.pop("target_ctx", DEFAULT_CTX)
        planning = {k: opening.pop(k) for k in PlanOptions.__annotations__ if k in opening}

        def prepare(n_bytes: int) -> Prepared:
            devices = DeviceOptions.of(planning.get("devices"), planning.get("n_gpu_layers"))
            found = find_model(model, target_ctx, memory_limit=n_bytes, devices=devices)
            wanted = {**planning, "memory_limit": n_bytes}
            if found.adapters:
                wanted["adapters"] = [*found.adapters, *(planning.get("adapters") or ())]
            plan = plan_context(found.path, target_ctx, **cast(PlanOptions, wanted))
            plan = plan.because(*found.reasons)
            return Prepared(
                plan.memory.host_bytes, lambda: LongContextLLM(found.path, plan=plan, **opening)
            )

        return cls(name, prepare, target_ctx, paths)

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


def _paths_of(*given: Any) -> Iterator[Path]:
    """What of a model's arguments may be a path: templates and texts have line breaks or braces."""
    for value in given:
        if isinstance(value, list | tuple):
            yield from _paths_of(*value)
        elif isinstance(value, Path) or (isinstance(value, str) and _PATH.fullmatch(value)):
            yield Path(os.path.expanduser(value))


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
