"""The engines, by name."""

from __future__ import annotations

from collections.abc import Callable

from longctx.errors import RequestError
from longctx.export.koboldcpp import export_koboldcpp
from longctx.export.llama_cpp import export_llama_server
from longctx.export.ollama import export_ollama
from longctx.export.result import Engine, Export
from longctx.export.transformers import export_transformers
from longctx.export.vllm import export_vllm
from longctx.planner import ContextPlan

ENGINES: dict[Engine, Callable[[ContextPlan, str | None], Export]] = {
    "llama-server": export_llama_server,
    "ollama": export_ollama,
    "koboldcpp": export_koboldcpp,
    "vllm": export_vllm,
    "transformers": export_transformers,
}


def export_plan(plan: ContextPlan, engine: str, *, model: str | None = None) -> Export:
    """Say a plan in the words of a serving engine.

    Args:
        plan: of :func:`longctx.plan_context`, or ``llm.plan``.
        engine: llama-server, ollama, koboldcpp, vllm or transformers.
        model: what the engine loads. None is the plan's GGUF; for vllm and transformers a
            placeholder of the repository that the GGUF was made from.

    Returns:
        The export; its ``cannot`` lists what the engine does not do.

    Raises:
        RequestError: the engine is unknown.

    Examples:
        >>> from longctx import demo_model, plan_context
        >>> plan = plan_context(demo_model(), 16_384, method="yarn", memory_limit="8GiB")
        >>> print(export_plan(plan, "llama-server").text)
        -c 16384 -np 1 --override-kv llama.context_length=int:16384 --rope-scaling yarn \
--rope-freq-base 100000.0 --rope-freq-scale 0.5 --yarn-orig-ctx 8192 --yarn-beta-fast 32.0 \
--yarn-beta-slow 1.0 -n 1024 --no-context-shift
    """
    for name, export in ENGINES.items():
        if name == engine:
            return export(plan, model)
    raise RequestError(f"the engine {engine!r} is unknown; export to one of {', '.join(ENGINES)}")
