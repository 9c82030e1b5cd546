"""Chunks are the whole text, cut where it pauses, and never larger than asked."""

from hypothesis import given
from hypothesis import strategies as st

from longctx.documents import Document, Page
from longctx.documents.chunks import chunks_of
from longctx.documents.reading.markdown import markdown_sections

texts = st.text(st.sampled_from("ab .\n\u3002,#x"), min_size=1, max_size=400).filter(str.strip)


@given(text=texts, max_tokens=st.integers(1, 40))
def test_chunks_are_the_text_in_order(text, max_tokens):
    """Nothing is lost, doubled or moved; no chunk is larger than the limit (here: characters)."""
    document = Document(doc_id="a", text=text, sections=markdown_sections(text))
    chunks = chunks_of(document, len, max_tokens)
    assert "".join(chunk.text for chunk in chunks) == text
    assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert max(chunk.tokens for chunk in chunks) <= max_tokens
    assert all(chunk.tokens == len(chunk.text) for chunk in chunks)


def test_cuts_are_made_at_the_widest_pause():
    """A paragraph's end before a line's, a sentence's before a word's."""
    text = "One two. Three four.\nFive six.\n\nSeven eight. Nine ten."
    chunks = chunks_of(Document(doc_id="a", text=text), lambda s: len(s.split()), 6)
    assert [chunk.text.strip() for chunk in chunks] == [
        "One two. Three four.\nFive six.",
        "Seven eight. Nine ten.",
    ]


def test_a_chunk_does_not_run_into_the_next_page():
    """So that a passage has one page, unless a page holds next to nothing."""
    first, second = "word " * 30, "other " * 30
    pages = (Page(number=1, start=0, end=150), Page(number=2, start=150, end=330))
    document = Document(doc_id="a", text=first + second, pages=pages)
    chunks = chunks_of(document, lambda s: len(s.split()), 40)
    assert [document.page_at(chunk.start) for chunk in chunks] == [1, 2]


def test_a_text_without_pauses_is_halved():
    """Ten thousand letters, and no memory or time lost on them."""
    document = Document(doc_id="a", text="x" * 10_000)
    assert len(chunks_of(document, len, 100)) == 128


def test_a_chunk_is_searched_with_its_headings():
    """What stands only in the title still finds the text below it."""
    text = "# Delivery\n## Risk\nIt passes at the port."
    document = Document(doc_id="a", text=text, sections=markdown_sections(text))
    last = chunks_of(document, len, 25)[-1]
    assert last.searchable.startswith("Delivery > Risk\n")
