"""From a file to a model that runs: planned, loaded in a thread of its own, with its template."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path

from longctx import arguments
from longctx.chat import ChatTemplate, PromptEncoder, PromptTemplate, find_template
from longctx.devices import DeviceOptions
from longctx.engine import Engine
from longctx.errors import RequestError
from longctx.model_info import ModelInfo
from longctx.model_thread import ModelThread
from longctx.models import DEFAULT_CTX, ModelFile, find_model
from longctx.packaged_model import demo_model, fast_copy
from longctx.planner import ContextPlan, PlanOptions, plan_context
from longctx.tokens import ModelTokenizer

logger = logging.getLogger("longctx")


@dataclass(frozen=True)
class LoadedModel:
    """What a model that runs consists of.

    Attributes:
        info: what the file says about itself.
        plan: how it was opened, with what is warned of.
        thread: where the engine lives; it ends when nobody holds it.
        engine: the weights, the caches and the answers.
        prompts: its template and its tokens.
    """

    info: ModelInfo
    plan: ContextPlan
    thread: ModelThread
    engine: Engine
    prompts: PromptEncoder


def load_model(
    model: str | Path | None,
    target_ctx: int | None,
    plan: ContextPlan | None,
    planning: PlanOptions,
    *,
    chat_template: str | PathLike[str] | None,
    n_threads: int | None,
    cache_dir: str | Path | None,
) -> LoadedModel:
    """Load a model; the arguments are those of :class:`longctx.LongContextLLM`.

    Everything that can be refused without the weights is checked before they are read.

    Raises:
        ModelFileError: the file is missing or damaged, or nothing has that name.
        UnsupportedModelError: the model cannot be scaled and the target needs it.
        PlanError: no window satisfies the request.
        RequestError: an argument is wrong, or contradicts another.
        MissingExtraError: ``model=None`` and the demo model is not installed, or the extra ``hub``.
        RemoteError: Hugging Face's hub cannot be reached, or refuses.
        TemplateError: ``chat_template`` is no template.
    """
    cache_dir = None if cache_dir is None else arguments.path("cache_dir", cache_dir)
    given = None if chat_template is None else find_template(chat_template)
    found = (
        ModelFile(_demo_copy(cache_dir))
        if model is None
        else find_model(
            model,
            plan.n_ctx if plan else target_ctx,
            memory_limit=planning.get("memory_limit"),
            devices=plan.devices if plan else _devices(planning),
        )
    )
    info = ModelInfo.from_gguf(found.path)
    source = info.chat_template if given is None else given
    if found.adapters and plan is None:
        planning["adapters"] = [*found.adapters, *(planning.get("adapters") or ())]
    plan = _plan_of(info, target_ctx, plan, planning).because(*found.reasons)
    plan = plan.warned(*PromptTemplate(source).announce(str(found.path)))
    thread = ModelThread()
    try:
        engine = thread.serve(
            partial(
                Engine,
                info,
                plan,
                n_threads=n_threads,
                cache_dir=cache_dir,
                checkpoint=thread.checkpoint,
            )
        )
        tokenizer = ModelTokenizer(engine.model)
        # Whoever names a template means it for conversations with tools as well.
        for_tools = info.tool_template if given is None else None
        template = ChatTemplate(source, tokenizer, for_tools=for_tools)
    except BaseException:
        thread.close()
        raise
    prompts = PromptEncoder(tokenizer, template, check_open=thread.check_open, pins=plan.is_endless)
    # The engine's plan has what the backend warns of as well.
    return LoadedModel(info, engine.plan, thread, engine, prompts)


def _devices(planning: PlanOptions) -> DeviceOptions:
    return DeviceOptions.of(planning.get("devices"), planning.get("n_gpu_layers"))


def log_to_stderr() -> None:
    """Show what llama.cpp says, and what longctx logs, in a program that logs nothing itself."""
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)


def _plan_of(
    info: ModelInfo, target_ctx: int | None, plan: ContextPlan | None, planning: PlanOptions
) -> ContextPlan:
    if plan is None:
        return plan_context(info, DEFAULT_CTX if target_ctx is None else target_ctx, **planning)
    if target_ctx is not None or planning:
        given = ", ".join([*(["target_ctx"] if target_ctx is not None else []), *planning])
        raise RequestError(f"the plan says it all already: pass plan= alone, without {given}")
    # Hashing a large file takes seconds; it is asked where the files may differ.
    if plan.info != info and plan.info.sha256 != info.sha256:
        raise RequestError(
            f"the plan is of {plan.info.name} ({plan.info.path}), not of {info.path}; make one "
            "with plan_context(model, target_ctx)"
        )
    return plan


def _demo_copy(cache_dir: str | Path | None) -> Path:
    return fast_copy(demo_model(), cache_dir=cache_dir, announce=logger.warning)
