"""``longctx ask``: a question about documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.files import STDIN, Named, named_files, read_stdin
from longctx.cli.opening import ModelOption, opens_model
from longctx.cli.output import (
    MaxTokensOption,
    ThinkingBudgetOption,
    ThinkingOption,
    Thoughts,
    errors,
    out,
    prefill_bar,
    print_json,
    show_plan,
    show_words,
)
from longctx.cli.sampling import conversation_options, takes_sampling
from longctx.cli.streams import text_of
from longctx.errors import DocumentError, LongCtxError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longctx.documents import Answer, AnswerStream, Citation, Document, DocumentQA
    from longctx.documents.sources import SourceOptions


EncodingOption = Annotated[
    str | None,
    typer.Option(help="Of text files that do not say it, such as cp1252. Default: found out."),
]
PasswordOption = Annotated[
    str | None,
    typer.Option(
        envvar="LONGCTX_DOCUMENT_PASSWORD",
        help="Of PDFs and Office documents that ask for one; better in the environment, for "
        "others can read a command.",
        show_envvar=True,
    ),
]
CompileOption = Annotated[
    float | None,
    typer.Option(
        "--compile",
        help="Keep this share of the documents' keys and values, such as 0.75; with "
        "--cache-dir also for the next time.",
    ),
]


@opens_model
@takes_sampling
def ask(
    files_and_question: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... QUESTION",
            help="Files, folders, patterns, NAME=FILE, or - for stdin; then the question.",
        ),
    ],
    questions: Annotated[
        list[str] | None,
        typer.Option(
            "--question", "-q", help="A question; may be given again. Then all else are files."
        ),
    ] = None,
    follow_up: Annotated[
        bool, typer.Option("--follow-up", help="Each question knows those before it.")
    ] = False,
    model: ModelOption = None,
    thinking: ThinkingOption = None,
    thinking_budget: ThinkingBudgetOption = None,
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
    reranker: Annotated[
        str | None,
        typer.Option(help="A CrossEncoder of sentence-transformers that sorts the passages found."),
    ] = None,
    not_found: Annotated[
        str,
        typer.Option(
            help="Where a search finds nothing: auto (say so), say (and always search), or ask."
        ),
    ] = "auto",
    instructions: Annotated[str | None, typer.Option(help="How to answer, in plain words.")] = None,
    max_tokens: MaxTokensOption = None,
    encoding: EncodingOption = None,
    password: PasswordOption = None,
    compile_share: CompileOption = None,
    library: Annotated[
        Path | None,
        typer.Option(
            help="A file that keeps the documents: those given are added or updated, and all that "
            "are in it are asked. Then files may be left out."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the plan too.")] = False,
    *,
    opening: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    """Ask about documents: PDF, office files, mail, HTML, text, source code, whole folders.

    Whole if they fit the window; otherwise the passages that answer the question, or all of them
    a part at a time if it asks for a summary. The report says which, and what was left out.
    Example: `longctx ask contract.pdf letters/ "Who bears the risk?"`
    """
    files = files_and_question
    if not questions:
        *files, question = files_and_question
        questions = [question]
        if not files and library is None:
            raise typer.BadParameter("give at least one file before the question")
    from longctx.documents import DocumentQA
    from longctx.llm import LongContextLLM
    from longctx.types import Message

    with (
        LongContextLLM(model, **opening) as llm,
        prefill_bar("reading") as reading,
        prefill_bar("searching") as searching,
    ):
        if verbose:
            show_plan(llm.plan)
        # What the command line gives as text, DocumentQA checks.
        documents = DocumentQA(
            llm,
            strategy=strategy,  # type: ignore[arg-type]  # it checks the word
            embedder=embedder,
            reranker=reranker,
            not_found=not_found,  # type: ignore[arg-type]  # this one, too
            instructions=instructions and text_of(instructions),
            budget_tokens=budget,
            path=library,
        )
        add_all(
            documents, list(named_files(files)),
            encoding=encoding, password=password, compile_share=compile_share,
        )  # fmt: skip
        answers: list[Answer] = []
        history: list[Message] = []
        for question in map(text_of, questions):
            stream = documents.stream(
                question,
                max_tokens=max_tokens,
                on_progress=reading,
                on_search=searching,
                history=history if follow_up else None,
                thinking=thinking,
                thinking_budget=thinking_budget,
                **conversation_options(llm.sampling_defaults, sampling),
            )
            answers.append(stream.answer if as_json else _told(stream, question, len(questions)))
            history += [
                Message(role="user", content=question),
                Message(role="assistant", content=answers[-1].text),
            ]
    if as_json:
        print_json(
            answers[0] if len(answers) == 1 else [a.model_dump(mode="json") for a in answers]
        )


def _told(stream: AnswerStream, question: str, n_questions: int) -> Answer:
    """Show an answer as it comes, then what it rests on."""
    if n_questions > 1:
        out.print(question, markup=False, style="bold")
    thoughts = Thoughts()
    with stream:
        for chunk in stream:
            thoughts.show(chunk.reasoning)
            if chunk.text:
                thoughts.end()
                show_words(chunk.text)
    thoughts.end()
    answer = stream.answer
    out.print()
    for citation in answer.citations:
        out.print(f"  {_shown(citation)}", markup=False, style="dim")
    if answer.unfounded:
        said = ", ".join(answer.unfounded)
        out.print(f"  NOT VERIFIED, in no document: {said}", markup=False, style="dim")
    elif answer.grounded is False and not answer.citations:
        out.print("  nothing in the documents is near this question", style="dim")
    out.print(str(answer.report), markup=False, style="dim")
    return answer


def add_all(
    documents: DocumentQA,
    files: Sequence[Named],
    *,
    encoding: str | None = None,
    password: str | None = None,
    compile_share: float | None = None,
) -> None:
    """Take files in; one of several that cannot be read is left out, and said.

    Args:
        documents: to add them to.
        files: and folders.
        encoding: of text files.
        password: of those that have one.
        compile_share: of their keys and values, to keep; None is all.
    """
    from longctx.documents.reading.pdf_process import one_process

    unread: list[LongCtxError] = []
    with one_process():
        for named in files:
            try:
                how: SourceOptions = {"encoding": encoding, "password": password}
                _add(documents, named, {**how, "compile": compile_share})
            except (DocumentError, MissingExtraError) as error:
                unread.append(error)
                if len(unread) == len(files):
                    raise
                errors.print(f"skipped: {error}", markup=False)


def _add(documents: DocumentQA, named: Named, how: SourceOptions) -> None:
    added: Sequence[Document]
    if named.path == STDIN:
        document = read_stdin(
            named.name or "stdin", encoding=how.get("encoding"), password=how.get("password")
        )
        added = (documents.update(document, compile=how.get("compile")),)
    elif named.is_folder:
        loaded = documents.add_folder(
            named.path,
            encoding=how.get("encoding"),
            password=how.get("password"),
            compile=how.get("compile"),
        )
        added = (*loaded.added, *loaded.replaced)
        for skipped in loaded.skipped:
            errors.print(f"skipped {skipped.path}: {skipped.reason}", markup=False, style="dim")
    else:
        options: SourceOptions = {**how, "doc_id": named.name}
        added = (documents.update(Path(named.path), **options),)
    for document in added:
        for note in document.notes:
            errors.print(f"{document.doc_id}: {note}", markup=False, style="dim")


def _shown(citation: Citation) -> str:
    mark = f"[{citation.mark}] " if citation.mark else ""
    page = f", page {citation.page}" if citation.page else ""
    place = f"{citation.doc_id}{page}: " if citation.doc_id else ""
    return f"{mark}{place}“{citation.quote}” ({citation.verdict})"
