"""A folder of documents, asked again and again: each question pays only for what is new.

    pip install "longctx-sdk[demo]"
    python examples/library_of_documents.py

Documents stand in the window in a fixed order, so a question about the same ones prefills the
question alone, and one about the first few reuses those. With `cache_dir` their keys and values
are kept on disk: a second process, here a second model, begins where the first one ended.
"""

import tempfile
from pathlib import Path

from longctx import LongContextLLM
from longctx.documents import Answer, DocumentQA

RULES = "\n".join(
    f"{n}. Locker {n} opens with the code {1000 + 37 * n}. It is cleaned by {who} on {day}s."
    for n, who, day in (
        (n, ("Ada", "Ben", "Cleo", "Dan")[n % 4], ("Monday", "Tuesday", "Friday")[n % 3])
        for n in range(1, 41)
    )
)
FILES = {
    "1-handbook.md": f"# Lockers\n\n{RULES}\n\n# Opening hours\n\nThe hall is open from 7 to 22.\n",
    "2-notice.html": "<html><body><h1>Notice</h1><p>The pool is closed until 14 June.</p></body>",
    "3-fees.txt": "A day ticket costs 9 euros. A year costs 240 euros, for students 120.\n",
    "4-fees.py": "def fee(days: int) -> int:\n    return min(9 * days, 240)\n",
}


def show(question: str, answer: Answer) -> None:
    """What was answered, and what it cost."""
    print(f"\n{question}\n  {answer.text.strip()}")
    usage = answer.usage
    print(f"  {usage.prefilled_tokens:,} tokens prefilled, {usage.cached_tokens:,} reused")


def main() -> None:
    """Ask all documents, some of them, and all of them again after a restart."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch, "documents"), Path(scratch, "cache")
        folder.mkdir()
        for name, text in FILES.items():
            folder.joinpath(name).write_text(text)
        with LongContextLLM(target_ctx=8192, cache_dir=cache) as llm:
            qa = DocumentQA(llm)
            for document in qa.add_folder(folder).documents:
                print(f"{document.doc_id}: {len(document.text):,} characters")
            question = "Until when is the pool closed?"
            show(question, qa.ask(question, max_tokens=32))
            question = "When is the hall open?"
            show(question, qa.ask(question, max_tokens=32, doc_ids=["1-handbook.md"]))
        print("\nA new process:")
        with LongContextLLM(target_ctx=8192, cache_dir=cache) as llm:
            qa = DocumentQA(llm)
            qa.add_folder(folder)
            question = "What are the opening hours of the hall?"
            answer = qa.ask(question, max_tokens=32)
            show(question, answer)
            print(f"\n{answer.report}")


if __name__ == "__main__":
    main()
