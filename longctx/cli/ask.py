"""``longctx ask``: a question about documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.opening import opens_model
from longctx.cli.output import (
    MaxTokensOption,
    ThinkingOption,
    Thoughts,
    errors,
    out,
    prefill_bar,
    print_json,
    show_plan,
)
from longctx.cli.sampling import conversation_options, takes_sampling
from longctx.cli.streams import text_of

if TYPE_CHECKING:
    from longctx.documents import Citation, DocumentQA


@opens_model
@takes_sampling
def ask(
    files_and_question: Annotated[
        list[str],
        typer.Argument(metavar="FILE... QUESTION", help="Files or folders, then the question."),
    ],
    model: Annotated[str | None, typer.Option(help="A GGUF file. Default: the demo model.")] = None,
    thinking: ThinkingOption = None,
    strategy: Annotated[
        str, typer.Option(help="auto, whole, retrieve, map_reduce or refine.")
    ] = "auto",
    budget: Annotated[
        int | None, typer.Option(help="Tokens of the window to use. Default: all of it.")
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="A sentence-transformers model to search with. Default: the packaged."),
    ] = None,
    max_tokens: MaxTokensOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the plan too.")] = False,
    *,
    opening: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    """Ask about documents: text, Markdown, HTML, PDF, DOCX, source code, whole folders.

    Whole if they fit the window; otherwise the passages that answer the question, or all of them
    a part at a time if it asks for a summary. The report says which, and what was left out.
    Example: `longctx ask contract.pdf letters/ "Who bears the risk?"`
    """
    *files, question = files_and_question
    if not files:
        raise typer.BadParameter("give at least one file before the question")
    from longctx.documents import DocumentQA
    from longctx.llm import LongContextLLM

    with LongContextLLM(model, **opening) as llm, prefill_bar("reading") as progress:
        if verbose:
            show_plan(llm.plan)
        # What the command line gives as text, DocumentQA checks.
        documents = DocumentQA(
            llm,
            strategy=strategy,  # type: ignore[arg-type]
            embedder=embedder,
            budget_tokens=budget,
        )
        for file in files:
            _add(documents, file)
        answer = documents.ask(
            text_of(question),
            max_tokens=max_tokens,
            on_progress=progress,
            thinking=thinking,
            **conversation_options(llm.sampling_defaults, sampling),
        )
    if as_json:
        print_json(answer)
        return
    thoughts = Thoughts()
    thoughts.show(answer.reasoning)
    thoughts.end()
    out.print(answer.text, markup=False)
    for citation in answer.citations:
        out.print(f"  {_shown(citation)}", markup=False, style="dim")
    out.print(str(answer.report), markup=False, style="dim")


def _add(documents: DocumentQA, file: str) -> None:
    if Path(file).is_dir():
        loaded = documents.add_folder(file)
        added = loaded.documents
        for skipped in loaded.skipped:
            errors.print(f"skipped {skipped.path}: {skipped.reason}", markup=False, style="dim")
    else:
        added = (documents.add(file),)
    for document in added:
        for note in document.notes:
            errors.print(f"{document.doc_id}: {note}", markup=False, style="dim")


def _shown(citation: Citation) -> str:
    mark = f"[{citation.mark}] " if citation.mark else ""
    page = f", page {citation.page}" if citation.page else ""
    place = f"{citation.doc_id}{page}: " if citation.doc_id else ""
    return f"{mark}{place}“{citation.quote}” ({citation.verdict})"
