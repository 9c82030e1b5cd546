"""``longctx demo``: a window past the training, measured and used."""

from __future__ import annotations

import sys
import time
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from longctx.cli.output import errors, out, prefill_bar, print_json, show_cost, show_plan
from longctx.errors import DocumentError

if TYPE_CHECKING:
    from longctx.llm import LongContextLLM
    from longctx.types import Message

SCORED_TOKENS = 512
DOCUMENT_TOKENS = 12_288
QUESTION = "What does the assert statement do?"
SYSTEM = "You answer questions about a document, in one or two sentences."


def demo(
    target_ctx: Annotated[int, typer.Option(help="The window wanted, in tokens.")] = 16_384,
    method: Annotated[str, typer.Option(help="As in `longctx plan`.")] = "ntk",
    file: Annotated[
        str | None, typer.Option(help="A text of your own instead of the Python reference.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask about it.")] = QUESTION,
    model: Annotated[str | None, typer.Option(help="A GGUF file. Default: the demo model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a document longer than the model was trained for, with and without scaling.

    Measures the perplexity of the document's last 512 tokens both ways, then answers a
    question about it. Takes some four minutes on two cores. Example: `longctx demo`
    """
    from longctx.demo_model import demo_model, fast_copy
    from longctx.documents import load_document
    from longctx.llm import LongContextLLM

    started = time.monotonic()
    path = Path(model) if model else fast_copy(demo_model(), announce=errors.print)
    text = load_document(file).text if file else python_reference()
    rows: list[dict[str, Any]] = []
    for tried in ("none", method):
        with LongContextLLM(
            path, target_ctx, method=tried, window="fixed", reserve_output=256
        ) as llm:
            if tried == method and not as_json:
                show_plan(llm.plan)
            messages, ids = _prompt(llm, text, question, cut=file is None)
            label = "without scaling" if tried == "none" else f"with {llm.plan.method}"
            with prefill_bar(label) as progress:
                begun = time.monotonic()
                scores = llm.score(ids, on_progress=progress)[-SCORED_TOKENS:]
            rows.append(
                {
                    "method": llm.plan.method,
                    "rope_freq_base": llm.plan.rope.freq_base,
                    "tokens": len(ids),
                    "perplexity": exp(float(scores.mean())),
                    "seconds": time.monotonic() - begun,
                }
            )
            if tried == method:
                if not as_json:
                    _show_table(rows, llm.info.n_ctx_train)
                answer = _answer(llm, messages, question, as_json)
    if as_json:
        print_json({"perplexity": rows, "question": question, "answer": answer})
        return
    out.print(f"[dim]{time.monotonic() - started:.0f} s in all[/dim]")


def python_reference() -> str:
    """The Python language reference that ships with Python, some 460 KB of English."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics))


def _prompt(
    llm: LongContextLLM, text: str, question: str, *, cut: bool
) -> tuple[list[Message], list[int]]:
    """Build the conversation, and the ids of its part up to the document's end."""
    if cut:
        text = _first_tokens(llm, text, DOCUMENT_TOKENS)
    n_tokens = llm.count(text)
    if n_tokens <= max(llm.info.n_ctx_train, SCORED_TOKENS):
        raise DocumentError(
            f"the document is {n_tokens:,} tokens and the model was trained on "
            f"{llm.info.n_ctx_train:,}: it needs no scaling, so there is nothing to show. "
            "Pass a longer --file."
        )
    system = Message(role="system", content=SYSTEM)
    messages = [system, Message(role="user", content=f"{text}\n\nQuestion: {question}")]
    bare = llm.prompt_ids([system, Message(role="user", content=text)])
    whole = llm.prompt_ids(messages)
    shared = next(i for i, (a, b) in enumerate(zip(bare, whole, strict=False)) if a != b)
    return messages, whole[:shared]


def _first_tokens(llm: LongContextLLM, text: str, n_tokens: int) -> str:
    """The beginning of a text, cut at a blank line after at least ``n_tokens``."""
    head = llm.detokenize(llm.tokenize(text[: n_tokens * 8])[:n_tokens])
    end = text.find("\n\n", len(head))
    return text[: end if end > 0 else len(text)]


def _show_table(rows: list[dict[str, Any]], n_ctx_train: int) -> None:
    table = Table(
        "scaling", "rope_freq_base", "read", "perplexity of the last 512 tokens", "took",
        title=f"The same text, a model trained on {n_ctx_train:,} tokens",
        title_justify="left",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row["method"],
            f"{row['rope_freq_base']:,.0f}",
            f"{row['tokens']:,} tokens",
            f"{row['perplexity']:.1f}",
            f"{row['seconds']:.0f} s",
        )
    out.print(table)


def _answer(
    llm: LongContextLLM, messages: list[Message], question: str, as_json: bool
) -> dict[str, Any]:
    if not as_json:
        out.print(f"[bold]{escape(question)}[/bold]")
    for chunk in llm.stream_chat(messages, max_tokens=128):
        if not as_json:
            out.print(chunk.text, end="", markup=False, soft_wrap=True)
            sys.stdout.flush()
        if chunk.result is not None:
            if not as_json:
                out.print()
                show_cost(chunk.result)
            return chunk.result.model_dump(mode="json")
    raise AssertionError("a stream ends with its result")
