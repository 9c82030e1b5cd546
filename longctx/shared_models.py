"""One set of weights for all who ask for the same model with the same settings."""

from __future__ import annotations

import threading
from inspect import Parameter, signature
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from longctx.files import at_home
from longctx.llm import LongContextLLM
from longctx.models.names import parse_name
from longctx.planner import PlanOptions

OPENING_OPTIONS = frozenset(PlanOptions.__annotations__) | {
    name
    for name, parameter in signature(LongContextLLM.__init__).parameters.items()
    if parameter.kind is not Parameter.VAR_KEYWORD and name not in ("self", "model")
}
"""Names of what :class:`longctx.LongContextLLM` takes besides the model."""

_lock = threading.Lock()
_open: WeakValueDictionary[tuple[object, ...], LongContextLLM] = WeakValueDictionary()


def shared_model(
    model: str | Path | None = None, target_ctx: int = 32_768, **settings: Any
) -> LongContextLLM:
    """Open a model, or return the one that is open already with these settings.

    For adapters, whose objects are made and dropped freely. Whoever holds the returned model
    keeps it open; it is freed with the last of them, or for all of them by ``close()``.

    Args:
        model: as of :class:`longctx.LongContextLLM`.
        target_ctx: the window wanted, in tokens.
        settings: the other arguments of :class:`longctx.LongContextLLM`.

    Raises:
        ModelFileError: the file is missing or damaged.
        UnsupportedModelError: the model cannot be scaled and the target needs it.
        PlanError: no window satisfies the request.
        MissingExtraError: ``model=None`` and the demo model is not installed.
    """
    path = None if model is None else _by_path(model)
    key = (path, target_ctx, *sorted((name, str(value)) for name, value in settings.items()))
    with _lock:
        llm = _open.get(key)
        if llm is None or not llm.is_open:
            llm = LongContextLLM(path, target_ctx, **settings)
            _open[key] = llm
        return llm


def _by_path(model: str | Path) -> str | Path:
    """One name for one file, wherever the process stands; other names are theirs already."""
    name = parse_name(model)
    return at_home(name).resolve() if isinstance(name, Path) else str(name)
