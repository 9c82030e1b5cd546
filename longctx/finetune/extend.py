"""``longctx.finetune.extend``: a model's longer window, from GGUF to GGUF."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from longctx.arguments import one_of, plain_text, real, whole
from longctx.arguments import path as checked_path
from longctx.errors import MissingExtraError, RequestError, UnsupportedModelError
from longctx.finetune.recipe import (
    ANSWER_WEIGHT,
    GPU_SEQUENCE_TOKENS,
    GPU_STEP_TOKENS,
    RANK,
    RECALL_SHARE,
    SEQUENCE_TOKENS,
    SEQUENCES_A_STEP,
    SHORT_SHARE,
    FinetuneMethod,
    Measuring,
    Recipe,
    usual_learning_rate,
)
from longctx.finetune.report import FinetuneProgress, FinetuneResult
from longctx.model_info import ModelInfo
from longctx.models import find_model
from longctx.planner import ContextPlan, plan_context

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "gguf", "filelock")


def extend(
    model: str | Path,
    target_ctx: int,
    *,
    method: FinetuneMethod = "self-extend",
    budget_s: float | None = 7200.0,
    tokens: int | None = None,
    text: str | None = None,
    out: str | Path | None = None,
    weights: str | Path | None = None,
    full_length: bool = False,
    sequence_tokens: int | None = None,
    step_tokens: int | None = None,
    rank: int = RANK,
    learning_rate: float | None = None,
    recall_share: float = RECALL_SHARE,
    short_share: float = SHORT_SHARE,
    answer_weight: float = ANSWER_WEIGHT,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    merge: bool = False,
    measure: Measuring = True,
    n_threads: int | None = None,
    on_progress: Callable[[FinetuneProgress], None] | None = None,
    announce: Callable[[str], None] | None = None,
) -> FinetuneResult:
    """Teach a model a longer window by a LoRA adapter, and measure what it brought.

    The weights are read from the GGUF itself. Training sequences are short and stand for long
    texts, by positions that are skipped (PoSE, Zhu et al. 2024); under self-extend they follow the
    map that inference will run. Ctrl-C keeps what is done, and the same call goes on with it.

    Args:
        model: a GGUF by any of its names (:func:`longctx.find_model`).
        target_ctx: the window to teach, in tokens.
        method: the map of positions: ``self-extend``, ``yarn`` or ``ntk``.
        budget_s: seconds for all of it, measuring included; None is no limit, and needs ``tokens``.
        tokens: to train on; None trains as long as the budget allows.
        text: prose like what you will read with the model; None is the docstrings of Python's
            standard library.
        out: folder of what comes out, and of the checkpoint; None is ``STEM.longctx`` here.
        weights: a folder of transformers with the same model in finer weights; None dequantises
            the GGUF's own.
        full_length: train on sequences as long as the window, which costs memory and time.
        sequence_tokens: of a training sequence; None is the trained window, up to 1,024, and up to
            8,192 on a GPU.
        step_tokens: after so many the weights move; None is four sequences, and 32,768 tokens on a
            GPU.
        rank: of the LoRA matrices.
        learning_rate: at its peak; None is 0.8 over the model's width.
        recall_share: of the sequences that ask for something stated before, 0 to 1.
        short_share: of the sequences whose positions nothing moves, 0 to 1.
        answer_weight: what a token of an answer counts, where one of prose counts 1.
        seed: draws sequences, first weights, and what is measured.
        device: ``cpu``, ``cuda``, or ``auto``: a GPU where torch finds one.
        precision: of products: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on a GPU that has
            it. Weights are kept in float32.
        merge: write the model with the adapter in its weights, too.
        measure: recall and perplexity before and after; ``"only"`` trains nothing, and measures
            what was trained with ``False``, perhaps on another machine.
        n_threads: of torch and llama.cpp; None leaves each its own choice.
        on_progress: called after each step.
        announce: called with a line at each stage.

    Raises:
        MissingExtraError: the extra ``finetune`` is not installed.
        RequestError: an argument is nonsense, the budget is too small for what it is to do, or
            another run is in the folder.
        DocumentError: the text is shorter than a sequence.
        UnsupportedModelError: transformers cannot load the model, or computes it otherwise.
        ModelFileError: the model cannot be read.
        LongCtxError: the folder cannot be written.

    Examples:
        >>> from longctx.finetune import extend
        >>> extend("model.gguf", 32_768, budget_s=7200)          # doctest: +SKIP
    """
    one_of("method", method, get_args(FinetuneMethod))
    whole("tokens", 1 if tokens is None else tokens, least=1)
    one_of("device", device, ("auto", "cpu", "cuda"))
    one_of("precision", precision, ("auto", "float32", "bfloat16"))
    if budget_s is not None:
        real("budget_s", budget_s, least=0)
    elif tokens is None and measure != "only":
        raise RequestError("without a budget_s, say how many tokens to train on")
    if text is not None:
        plain_text("text", text)
    _check_extra()
    said = announce or _say_nothing
    found = find_model(model, announce=said)
    if found.adapters:
        raise UnsupportedModelError(
            f"{model} brings LoRA adapters of its own, and finetune trains beside a plain model: "
            f"give {found.path} itself"
        )
    info = ModelInfo.from_gguf(found.path)
    plan = _plan(info, target_ctx, method)
    from longctx.finetune.device import chosen_device  # loads torch

    chosen = chosen_device(device, precision)
    on_gpu = chosen.name == "cuda"
    sequence = (
        min(info.n_ctx_train, GPU_SEQUENCE_TOKENS if on_gpu else SEQUENCE_TOKENS)
        if sequence_tokens is None
        else (whole("sequence_tokens", sequence_tokens, least=64, most=info.n_ctx_train))
    )
    longest = plan.n_ctx if full_length else sequence
    usual = longest if full_length else SEQUENCES_A_STEP * sequence
    if on_gpu:
        usual = max(longest, GPU_STEP_TOKENS)
    recipe = Recipe(
        method=method,
        target_ctx=plan.n_ctx,
        sequence_tokens=longest,
        skip=not full_length,
        step_tokens=usual
        if step_tokens is None
        else whole("step_tokens", step_tokens, least=1, most=2**31),
        rank=whole("rank", rank, least=1, most=1024),
        learning_rate=usual_learning_rate(info.n_embd)
        if learning_rate is None
        else real("learning_rate", learning_rate, above=0),
        recall_share=real("recall_share", recall_share, least=0, most=1),
        short_share=real("short_share", short_share, least=0, most=1),
        short_tokens=sequence,
        answer_weight=real("answer_weight", answer_weight, above=0),
        tokens=tokens,
        seed=whole("seed", seed, least=0, most=2**63 - 1),
    )
    from longctx.finetune.run import Run

    run = Run(
        plan,
        recipe,
        chosen,
        out=Path(f"{info.path.stem}.longctx") if out is None else checked_path("out", out),
        weights=None if weights is None else checked_path("weights", weights),
        text=text,
        n_threads=None if n_threads is None else whole("n_threads", n_threads, least=1),
        announce=said,
    )
    return run.finish(budget_s, merge=merge, measured=measure, on_progress=on_progress)


def _say_nothing(line: str) -> None:
    """Where nobody listens."""


def _check_extra() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f'fine-tuning needs {", ".join(missing)}: run `pip install "longctx-sdk[finetune]"`'
        )


def _plan(info: ModelInfo, target_ctx: Any, method: FinetuneMethod) -> ContextPlan:
    plan = plan_context(
        info,
        target_ctx,
        method=method,
        window="elastic" if method == "self-extend" else "fixed",
        reserve_output=0,
    )
    if plan.method != method:
        raise RequestError(
            f"{target_ctx:,} tokens lie within the {info.n_ctx_train:,} that {info.name} was "
            "trained on; there is nothing to teach it. Ask for more"
        )
    return plan
