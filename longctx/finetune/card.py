"""The card that lies beside an adapter: what it is, how it was made, what it is worth."""

from __future__ import annotations

from longctx.finetune.budget import spoken
from longctx.finetune.report import FinetuneResult, HeldOut, Measured
from longctx.model_info import TrainedFor


def card(result: FinetuneResult, trained: TrainedFor) -> str:
    """The card in Markdown."""
    recipe, name = result.recipe, result.adapter.name
    how = (
        f"sequences of {recipe.sequence_tokens:,} tokens that stand for longer texts (PoSE)"
        if recipe.skip
        else f"sequences of {recipe.sequence_tokens:,} tokens, as long as the window"
    )
    lines = [
        f"# {name}",
        "",
        f"A LoRA adapter that teaches {trained.base_name} a window of {trained.target_ctx:,} "
        f"tokens under {trained.method}, made by `longctx finetune`.",
        "",
        "```python",
        "from longctx import LongContextLLM",
        "",
        f'llm = LongContextLLM("{trained.base_name}.gguf", {trained.target_ctx}, '
        f'adapters=["{name}"])',
        "```",
        "",
        f"- beside: {trained.base_name}, file SHA-256 `{trained.base_sha256}` (any quantisation of "
        "the same weights will do)",
        f"- map of positions: {trained.method}, parameters `{trained.parameters}`; another is "
        "refused",
        f"- trained on {result.tokens:,} tokens in {result.steps:,} steps and "
        f"{spoken(result.seconds)}, on {result.machine}: {how}, {recipe.recall_share:.0%} of them "
        f"recall, {recipe.short_share:.0%} short and unmoved; its text is "
        f"{result.text_tokens:,} tokens",
        f"- LoRA on q, k, v and o, rank {recipe.rank}, learning rate {recipe.learning_rate:g}, "
        f"seed {recipe.seed}; last loss {result.loss:.3f}",
    ]
    if result.held_out:
        lines += ["", *_held_out(result.held_out)]
    if result.before is not None and result.after is not None:
        lines += ["", *_measured(result.before, result.after)]
    return "\n".join(lines) + "\n"


def _held_out(looks: tuple[HeldOut, ...]) -> list[str]:
    return [
        "On text that was held out, nats a token; where prose rises again, it is being learnt by "
        "heart:",
        "",
        "| tokens trained on | answers | prose |",
        "| --- | --- | --- |",
        *(f"| {look.tokens:,} | {look.answers:.3f} | {look.prose:.3f} |" for look in looks),
    ]


def _measured(before: Measured, after: Measured) -> list[str]:
    rows = [
        (
            f"recall at {after.length:,}, exact",
            f"{before.recall_exact:.0%}",
            f"{after.recall_exact:.0%}",
        ),
        (
            f"recall at {after.length:,}, nats a token",
            f"{before.recall_nats:.2f}",
            f"{after.recall_nats:.2f}",
        ),
        *(
            (
                f"perplexity before {mark:,}",
                f"{before.perplexity_by_position[mark]:.2f}",
                f"{value:.2f}",
            )
            for mark, value in after.perplexity_by_position.items()
        ),
        (
            f"perplexity of {after.short_length:,} tokens",
            f"{before.short_perplexity:.2f}",
            f"{after.short_perplexity:.2f}",
        ),
    ]
    table = [f"| {name} | {was} | {now} |" for name, was, now in rows]
    return [
        "Measured on text and facts that were not trained on:",
        "",
        "| | before | after |",
        "| --- | --- | --- |",
        *table,
    ]
