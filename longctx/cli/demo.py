"""``longctx demo``: a window past the training, measured and used."""

from __future__ import annotations

import time
from math import exp
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from longctx.cli.opening import ModelOption, model_path
from longctx.cli.output import out, prefill_bar, print_json, say, show_cost, show_plan
from longctx.errors import DocumentError

if TYPE_CHECKING:
    from longctx.llm import LongContextLLM
    from longctx.types import Messages

SCORED_TOKENS = 512
DOCUMENT_TOKENS = 12_288
ANSWER_TOKENS = 64
# Answered some 10,000 tokens into the text; without it the model talks of JavaScript.
QUESTION = "What is the name of the null object?"


def demo(
    target_ctx: Annotated[int, typer.Option(help="The window wanted, in tokens.")] = 16_384,
    method: Annotated[str, typer.Option(help="As in `longctx plan`.")] = "ntk",
    file: Annotated[
        str | None, typer.Option(help="A text of your own instead of the Python reference.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask about it.")] = QUESTION,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a document longer than the model was trained for: unscaled, scaled, and elastic.

    Measures the perplexity of the document's last 512 tokens without scaling, with a method that
    holds from the first token, and in the elastic window, which begins unscaled and grows with
    the text; and asks each a question about it. Takes some six minutes on two cores. Example:
    `longctx demo`
    """
    from longctx.documents import load_document
    from longctx.evaluate import python_reference
    from longctx.llm import LongContextLLM
    from longctx.planner import plan_context

    started = time.monotonic()
    path = model_path(model, target_ctx)
    text = load_document(file).text if file else python_reference()
    plan = plan_context(path, target_ctx, method=method, reserve_output=ANSWER_TOKENS)
    if not as_json:
        show_plan(plan)
    rows: list[dict[str, Any]] = []
    windows: tuple[tuple[str, str, Literal["elastic", "fixed"]], ...] = (
        ("none", "none", "fixed"),
        (f"{method}, fixed", method, "fixed"),
        ("elastic", "auto", "elastic"),
    )
    for label, tried, window in windows:
        with LongContextLLM(
            path, target_ctx, method=tried, window=window, reserve_output=ANSWER_TOKENS
        ) as llm:
            messages, ids = _prompt(llm, text, question, cut=file is None)
            row = {"scaling": label, "window": window, **_score(llm, label, ids)}
            rows.append(row)
            aloud = window == "elastic" and not as_json
            if aloud:
                _show_table(rows, llm.info.n_ctx_train)
                out.print(f"\n[bold]{escape(question)}[/bold]")
                for other in rows[:-1]:
                    answered = " ".join(other["answer"]["text"].split())
                    out.print(f"{other['scaling']}: {answered}", markup=False, style="dim")
                out.print(f"elastic ({row['method']}): ", end="", markup=False)
            # What was scored stays in the cache: only the question is prefilled.
            answer = say(llm.stream_chat(messages, max_tokens=ANSWER_TOKENS), aloud=aloud)
            row["answer"] = answer.model_dump(mode="json")
    if as_json:
        print_json({"plan": plan.model_dump(mode="json"), "question": question, "trials": rows})
        return
    show_cost(answer)
    out.print(f"[dim]{time.monotonic() - started:.0f} s in all[/dim]")


def _prompt(
    llm: LongContextLLM, text: str, question: str, *, cut: bool
) -> tuple[Messages, list[int]]:
    """Build the conversation, and the ids of its part up to the document's end."""
    if cut:
        text = _first_tokens(llm, text, DOCUMENT_TOKENS)
    n_tokens = llm.count(text)
    needed = llm.info.n_ctx_train + SCORED_TOKENS
    if n_tokens < needed:
        raise DocumentError(
            f"the document is {n_tokens:,} tokens and the model was trained on "
            f"{llm.info.n_ctx_train:,}: it needs no scaling, so there is nothing to show. "
            f"Pass a --file of at least {needed:,} tokens; 12,000 and more show most."
        )
    messages = [{"role": "user", "content": f"{text}\n\n{question}"}]
    whole = llm.prompt_ids(messages)
    llm.plan.check_answer(len(whole), ANSWER_TOKENS)
    bare = llm.prompt_ids([{"role": "user", "content": text}])
    shared = next(i for i, (a, b) in enumerate(zip(bare, whole, strict=False)) if a != b)
    return messages, whole[:shared]


def _first_tokens(llm: LongContextLLM, text: str, n_tokens: int) -> str:
    """The beginning of a text, cut at a blank line after at least ``n_tokens``."""
    head = llm.detokenize(llm.tokenize(text[: n_tokens * 8])[:n_tokens])
    end = text.find("\n\n", len(head))
    return text[: end if end > 0 else len(text)]


def _score(llm: LongContextLLM, label: str, ids: list[int]) -> dict[str, Any]:
    begun = time.monotonic()
    with prefill_bar(label) as progress:
        scores = llm.score(ids, on_progress=progress)
    return {
        "method": llm.plan.method,
        "rope_freq_base": llm.plan.rope.freq_base,
        "tokens": len(ids),
        "perplexity": exp(float(scores[-SCORED_TOKENS:].mean())),
        "seconds": time.monotonic() - begun,
    }


def _show_table(rows: list[dict[str, Any]], n_ctx_train: int) -> None:
    table = Table(
        "scaling", "rope_freq_base", "read", "perplexity", "took",
        title=f"The same text, and its last {SCORED_TOKENS} tokens' perplexity; "
        f"trained on {n_ctx_train:,}",
        title_justify="left",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row["scaling"] if row["window"] == "fixed" else f"elastic ({row['method']})",
            f"{row['rope_freq_base']:,.0f}",
            f"{row['tokens']:,} tokens",
            f"{row['perplexity']:.1f}",
            f"{row['seconds']:.0f} s",
        )
    out.print(table)
