"""Ask a document that stands whole in the window; only the first question pays for it.

    pip install "longctx-sdk[demo,rag]"
    python examples/whole_document_rag.py

The document is a chapter of the Python language reference (it ships with CPython), about 3,000
tokens. The packaged model has 135M parameters: it finds things better than it words them, so
look at what is in the window, at what each question cost, and at the citations.
"""

from pydoc_data.topics import topics

from longctx import LongContextLLM, Progress
from longctx.documents import DocumentQA

QUESTIONS = (
    "What does the with statement do?",
    "What does the else clause of a loop do?",
    "Which statement catches exceptions?",
)


def show_progress(progress: Progress) -> None:
    """Say how far the prefill is."""
    print(
        f"  prefill {progress.done_tokens:,} of {progress.total_tokens:,} tokens, "
        f"{progress.tokens_per_s:.0f} tokens/s"
    )


def main() -> None:
    """Load, add, ask three times."""
    with LongContextLLM(target_ctx=8192, reserve_output=256) as llm:
        qa = DocumentQA(llm)
        document = qa.add(topics["compound"][:12_000], doc_id="python-compound-statements")
        print(f"{document!r}\n")
        for question in QUESTIONS:
            answer = qa.ask(question, max_tokens=80, on_progress=show_progress)
            usage = answer.usage
            print(f"{question}\n  {answer.text.strip()}")
            for citation in answer.citations:
                where = f"{citation.doc_id}[{citation.start}:{citation.end}]"
                print(f"  {'verified' if citation.verified else 'NOT FOUND'}: {where}")
            print(f"  prefilled {usage.prefilled_tokens}, from the cache {usage.cached_tokens}\n")
        print(answer.report)


if __name__ == "__main__":
    main()
