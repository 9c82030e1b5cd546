"""``-f longctx:PATH``: documents as fragments."""

from __future__ import annotations

from pathlib import Path

import click
import llm


def load_fragments(argument: str) -> list[llm.Fragment]:
    """Read a PDF, an office file, HTML, mail, text or source code, or all below a folder.

    Args:
        argument: the path; ``~`` is the home folder.

    Returns:
        One fragment a document, in the order of the paths; its source is the file's path. Files
        of a folder that cannot be read are named on stderr.

    Raises:
        DocumentError: there is nothing to read; ``llm`` shows its message.
        MissingExtraError: PDF, office files and HTML need ``longctx-sdk[rag]``.
    """
    from longctx.documents.folder import load_folder
    from longctx.documents.load import load_document

    path = Path(argument).expanduser()
    if path.is_dir():
        loaded = load_folder(path)
        documents = loaded.documents
        for skipped in loaded.skipped:
            click.echo(f"Skipped {skipped.path}: {skipped.reason}", err=True)
    else:
        documents = (load_document(path),)
    return [llm.Fragment(d.text, str(Path(d.source or path).resolve())) for d in documents]
