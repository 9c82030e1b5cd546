"""``longctx demo``: a window past the training, measured and used."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from longctx.cli.opening import ModelOption, found_model, takes_adapters
from longctx.cli.output import out, prefill_bar, print_json, say, show_cost, show_plan
from longctx.errors import DocumentError, RequestError

if TYPE_CHECKING:
    from longctx.llm import LongContextLLM
    from longctx.types import Messages

ANSWER_TOKENS = 64
# Answered some 10,000 tokens into the text; without it the model talks of JavaScript.
QUESTION = "What is the name of the null object?"
PASS_KEY = "48213"


@dataclass(frozen=True)
class _Reading:
    """What is read and asked; ``document_tokens`` None is all of the text.

    ``answered`` says where the text has the answer, if that is known.
    """

    text: str
    question: str
    document_tokens: int | None
    scored_tokens: int = 512
    answered: str = ""


@takes_adapters
def demo(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="On the tiny model of the package, which takes ten seconds."),
    ] = False,
    target_ctx: Annotated[
        int | None,
        typer.Option(help="The window wanted, in tokens. Default: 16384, with --quick 2048."),
    ] = None,
    method: Annotated[str, typer.Option(help="As in `longctx plan`.")] = "ntk",
    file: Annotated[
        str | None, typer.Option(help="A text of your own instead of the Python reference.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask about it.")] = QUESTION,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    *,
    adapting: dict[str, Any],
) -> None:
    """Read a document longer than the model was trained for: unscaled, scaled, and elastic.

    Measures the perplexity of the document's last 512 tokens without scaling, with a method that
    holds from the first token, and in the elastic window, which begins unscaled and grows with
    the text; and asks each a question about it. Takes some six minutes on two cores, or seconds
    with a model of 1.6 MB that finds a number again, and knows nothing else. Example:
    `longctx demo --quick`
    """
    from longctx.llm import LongContextLLM
    from longctx.models import ModelFile
    from longctx.packaged_model import tiny_model
    from longctx.planner import plan_context

    started = time.monotonic()
    if quick and (model or file or question != QUESTION or adapting):
        raise RequestError("--quick has a model, a text and a question of its own: leave yours out")
    target_ctx = target_ctx or (2_048 if quick else 16_384)
    found = ModelFile(tiny_model()) if quick else found_model(model, target_ctx)
    path, adapters = found.path, [*found.adapters, *adapting.get("adapters", ())]
    reading = _quick_reading() if quick else _reading(file, question)
    plan = plan_context(
        path, target_ctx, method=method, reserve_output=ANSWER_TOKENS, adapters=adapters
    )
    if not as_json:
        show_plan(plan, reasons=False)
        out.print("[dim]`longctx plan` gives the reasons. Now one text is read three times.[/dim]")
    rows: list[dict[str, Any]] = []
    windows: tuple[tuple[str, str, Literal["elastic", "fixed"]], ...] = (
        ("none", "none", "fixed"),
        (f"{method}, fixed", method, "fixed"),
        ("elastic", "auto", "elastic"),
    )
    for label, tried, window in windows:
        with LongContextLLM(
            path, target_ctx, method=tried, window=window, reserve_output=ANSWER_TOKENS,
            adapters=adapters,
        ) as llm:  # fmt: skip
            messages, ids = _prompt(llm, reading)
            row: dict[str, Any] = {"scaling": label, "window": window}
            row |= _score(llm, label, ids, reading.scored_tokens)
            rows.append(row)
            aloud = window == "elastic" and not as_json
            if aloud:
                _show_table(rows, llm.info.n_ctx_train, reading.scored_tokens)
                out.print(f"\n[bold]{escape(reading.question)}[/bold] {reading.answered}")
                for other in rows[:-1]:
                    answered = " ".join(other["answer"]["text"].split())
                    out.print(f"{other['scaling']}: {answered}", markup=False, style="dim")
                out.print(f"elastic ({row['method']}): ", end="", markup=False)
            # What was scored stays in the cache: only the question is prefilled.
            answer = say(llm.stream_chat(messages, max_tokens=ANSWER_TOKENS), aloud=aloud)
            row["answer"] = answer.model_dump(mode="json")
    if as_json:
        print_json(
            {"plan": plan.model_dump(mode="json"), "question": reading.question, "trials": rows}
        )
        return
    show_cost(answer)
    out.print(f"[dim]{time.monotonic() - started:.0f} s in all[/dim]")


def _reading(file: str | None, question: str) -> _Reading:
    from longctx.documents import load_document
    from longctx.evaluate import python_reference

    if file:
        return _Reading(load_document(file).text, question, None)
    answered = "(None; some 10,000 tokens into the text)" if question == QUESTION else ""
    return _Reading(python_reference(), question, 12_288, answered=answered)


def _quick_reading() -> _Reading:
    """A number three trained windows before its question, and prose between them."""
    from longctx.evaluate import python_reference

    stated = f"The pass key is {PASS_KEY}. Remember it. {PASS_KEY} is the pass key."
    text = f"{stated}\n\n{python_reference()}"
    answered = f"({PASS_KEY}; at the text's beginning)"
    return _Reading(text, "What is the pass key?", 1_536, 256, answered)


def _prompt(llm: LongContextLLM, reading: _Reading) -> tuple[Messages, list[int]]:
    """Build the conversation, and the ids of its part up to the document's end."""
    text = reading.text
    if reading.document_tokens:
        text = _first_tokens(llm, text, reading.document_tokens)
    n_tokens = llm.count(text)
    needed = llm.info.n_ctx_train + reading.scored_tokens
    if n_tokens < needed:
        raise DocumentError(
            f"the document is {n_tokens:,} tokens and the model was trained on "
            f"{llm.info.n_ctx_train:,}: it needs no scaling, so there is nothing to show. "
            f"Pass a --file of at least {needed:,} tokens; 12,000 and more show most."
        )
    messages = [{"role": "user", "content": f"{text}\n\n{reading.question}"}]
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


def _score(llm: LongContextLLM, label: str, ids: list[int], n_scored: int) -> dict[str, Any]:
    begun = time.monotonic()
    with prefill_bar(label) as progress:
        scores = llm.score(ids, on_progress=progress)
    return {
        "method": llm.plan.method,
        "rope_freq_base": llm.plan.rope.freq_base,
        "tokens": len(ids),
        "perplexity": exp(float(scores[-n_scored:].mean())),
        "seconds": time.monotonic() - begun,
    }


def _show_table(rows: list[dict[str, Any]], n_ctx_train: int, n_scored: int) -> None:
    table = Table(
        "scaling", "perplexity", "took",
        title=f"Perplexity of the last {n_scored} of {rows[0]['tokens']:,} tokens (lower is "
        f"better); the model was trained on {n_ctx_train:,}",
        title_justify="left",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row["scaling"] if row["window"] == "fixed" else f"elastic ({row['method']})",
            f"{row['perplexity']:.1f}",
            f"{row['seconds']:.0f} s",
        )
    out.print(table)
