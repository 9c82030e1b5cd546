"""How often a search says that something is not there, of questions that have an answer and not.

Each document of `not_found.json` is asked its own questions (answered there), the questions of the
others, and questions about anything (not answered there). The held-out questions, short ones
with pronouns, were written after the limit was set, and then shaped it once more: held out by half.
The fresh ones, in other words than the texts', were written after the limits were set, and shaped
nothing.

    python benchmarks/not_found.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from machine import save

from longctx.documents import Document, load_document
from longctx.documents.library import Library
from longctx.documents.search import Search
from longctx.documents.sources import incoming
from longctx.search.embedders import SentenceTransformersEmbedder

HERE = Path(__file__).parent


def main() -> None:
    """Print a row for each kind of question."""
    data = json.loads((HERE / "not_found.json").read_text(encoding="utf-8"))
    asked = data["questions"]
    rows: list[dict[str, Any]] = []
    for name in asked:
        document = (
            Document(doc_id=name, text=data["texts"][name])
            if name in data["texts"]
            else load_document(HERE.parent / name)
        )
        embedder = SentenceTransformersEmbedder()
        library = Library(lambda text: max(1, len(text) // 4), embedder)
        library.put([incoming(document)], replace=False)
        search = Search(library, embedder, None, None)
        kinds = {
            "answered there": asked[name],
            "answered there, held out": data["held_out"].get(name, []),
            "answered there, fresh": data["fresh"].get(name, []),
            "answered in another document": [q for n in asked if n != name for q in asked[n]],
            "about anything": data["anything"],
        }
        for kind, questions in kinds.items():
            for question in questions:
                found = search.find(library.holdings().entries, question)
                row = {"document": name, "kind": kind, "question": question}
                row |= {"relevance": found.relevance, "is_there": found.is_there}
                rows.append(row)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        there = [row["is_there"] for row in rows if row["kind"] == kind]
        print(f"{kind:30} {len(there):4} asked, {there.count(False):4} called not there")
    print("raw figures:", save("not_found", {"rows": rows}))


if __name__ == "__main__":
    main()
