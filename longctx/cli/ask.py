"""``longctx ask``: a question about whole documents."""

from __future__ import annotations

from typing import Annotated

import typer

from longctx.cli.output import out, prefill_bar, print_json, show_plan


def ask(
    files_and_question: Annotated[
        list[str], typer.Argument(metavar="FILE... QUESTION", help="Files, then the question.")
    ],
    model: Annotated[str | None, typer.Option(help="A GGUF file. Default: the demo model.")] = None,
    target_ctx: Annotated[int, typer.Option(help="The window wanted, in tokens.")] = 32_768,
    method: Annotated[str, typer.Option(help="As in `longctx plan`.")] = "auto",
    max_tokens: Annotated[int, typer.Option(help="Room for the answer.")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the plan too.")] = False,
) -> None:
    """Put whole documents into the window and ask about them.

    Nothing is cut: what does not fit is an error with the numbers.
    Example: `longctx ask contract.md letter.txt "Who bears the risk?"`
    """
    *files, question = files_and_question
    if not files:
        raise typer.BadParameter("give at least one file before the question")
    from longctx.documents import DocumentQA
    from longctx.llm import LongContextLLM

    with (
        LongContextLLM(model, target_ctx, method=method, reserve_output=max_tokens) as llm,
        prefill_bar("reading") as progress,
    ):
        if verbose:
            show_plan(llm.plan)
        documents = DocumentQA(llm)
        for file in files:
            documents.add(file)
        answer = documents.ask(question, max_tokens=max_tokens, on_progress=progress)
    if as_json:
        print_json(answer)
        return
    out.print(answer.text, markup=False)
    for citation in answer.citations:
        mark = "verified" if citation.verified else "NOT FOUND in the documents"
        out.print(f"  {citation.doc_id}: “{citation.quote}” ({mark})", markup=False, style="dim")
    out.print(str(answer.report), markup=False, style="dim")
