"""Files of the page: read, counted, bounded, gone in time."""

from __future__ import annotations

import io
import sys
from typing import Any

import docx
import httpx
import pytest
from fpdf import FPDF

from longctx import LongContextLLM
from longctx.server.errors import ApiError
from longctx.server.page.files import FileStore, FileText
from longctx.server.page.reading import safe_name
from tests.server.live_server import LiveServer, serving


def text(name: str, n: int = 10) -> FileText:
    """A file of so many bytes."""
    return FileText(name, "x" * n, "text/plain", n)


def pdf() -> bytes:
    """Two pages."""
    made = FPDF()
    for words in ("The seller bears the risk.", "The buyer pays."):
        made.add_page()
        made.set_font("helvetica")
        made.cell(text=words)
    return bytes(made.output())


def word() -> bytes:
    """A document of Word."""
    made, held = docx.Document(), io.BytesIO()
    made.add_heading("Sale")
    made.add_paragraph("The seller bears the risk.")
    made.save(held)
    return held.getvalue()


def give(http: httpx.Client, name: str, data: bytes) -> httpx.Response:
    """Send a file."""
    return http.post("/page/files", params={"name": name}, content=data)


def test_the_oldest_make_way() -> None:
    """Beyond a number of files, and of bytes."""
    store = FileStore(2, 25, minutes=1)
    first, second = store.keep(text("a")), store.keep(text("b"))
    third = store.keep(text("c"))
    with pytest.raises(ApiError, match="1 minutes, the last 2 of them"):
        store.find(first)
    assert [store.find(one).name for one in (second, third)] == ["b", "c"]
    store.keep(text("d", 20))
    assert len(store) == 1
    assert store.n_bytes == 20
    with pytest.raises(ApiError, match="26 bytes, and 25"):
        store.keep(text("e", 26))
    with pytest.raises(ApiError, match="of 0 files are kept"):
        FileStore(0, 25, minutes=1).keep(text("f"))


def test_each_is_kept_for_some_minutes() -> None:
    """And then gone, whether or not somebody asks for it."""
    now = 0.0
    store = FileStore(9, 99, minutes=2, clock=lambda: now)
    first = store.keep(text("a"))
    now = 100
    second = store.keep(text("b"))
    now = 119
    assert store.find(first).name == "a"
    now = 120
    with pytest.raises(ApiError) as caught:
        store.find(first)
    assert (caught.value.status, caught.value.code) == (404, "file_not_found")
    assert store.find(second).name == "b"
    now = 220
    store.expire()
    assert len(store) == 0
    assert store.n_bytes == 0


@pytest.mark.parametrize(
    ("name", "data", "pages", "said"),
    [
        ("sale.pdf", pdf(), 2, "The seller bears the risk."),
        ("sale.docx", word(), None, "The seller bears the risk."),
        ("sale", pdf(), 2, "The buyer pays."),  # its bytes say what it is
        ("sale.csv", b"who,what\nseller,risk\n", None, "seller"),
        ("../../sale.txt", "Größe".encode("cp1252"), None, "Größe"),
        ("sale.md\0", b"# Sale", None, "# Sale"),
    ],
)
def test_a_file_is_read_and_counted(
    server: LiveServer, tiny_llm: LongContextLLM, name: str, data: bytes, pages: Any, said: str
) -> None:
    """Its text, its pages, its tokens by the model's own tokenizer; kept until it is dropped."""
    with server.http() as http:
        found = give(http, name, data).json()
        assert said in found["text"]
        assert (found["name"], found["n_pages"]) == (name, pages)
        assert found["n_tokens"] == len(tiny_llm.tokenize(found["text"]))
        path = f"/page/files/{found['id']}"
        assert http.get(path).json() == found
        assert http.delete(path).json() == {"id": found["id"]}
        assert http.get(path).json()["error"]["code"] == "file_not_found"
        assert http.delete(path).status_code == 404


def test_what_cannot_be_read_says_why(server: LiveServer) -> None:
    """In the file's own name: where it lay on the server is told to nobody."""
    with server.http() as http:
        for name, data, why in [
            ("a.pdf", b"", "empty"),
            ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "photo.png"),
            ("broken.docx", b"PK\x03\x04" + bytes(50), "broken.docx"),
        ]:
            error = give(http, name, data).json()["error"]
            assert error["code"] == "unreadable_file"
            assert why in error["message"]
            assert "longctx-" not in error["message"]
        assert give(http, "a.txt", b"x" * 300_000).status_code == 413
        assert http.post("/page/files", content=b"x").json()["error"]["param"] == "name"


def test_a_key_is_asked_for(tiny_llm: LongContextLLM) -> None:
    """What the page is made of is open, what it asks for is not; settings bound what is kept."""
    with serving(tiny_llm, api_key="k", max_files=1) as live:
        assert give(httpx.Client(base_url=live.url, timeout=60), "a.txt", b"a").status_code == 401
        markdown = httpx.post(f"{live.url}/page/markdown", json={"text": "a"}, timeout=60)
        assert markdown.status_code == 401
        assert httpx.get(f"{live.url}/page/page.js", timeout=60).status_code == 200
        with live.http() as http:
            first = give(http, "a.txt", b"a").json()["id"]
            give(http, "b.txt", b"b")
            assert http.get(f"/page/files/{first}").status_code == 404


def test_it_is_gone_in_time(tiny_llm: LongContextLLM) -> None:
    """As the settings say."""
    with serving(tiny_llm, files_minutes=1e-6) as live, live.http() as http:
        file_id = give(http, "a.txt", b"a").json()["id"]
        assert "kept for 1e-06 minutes" in http.get(f"/page/files/{file_id}").text


def test_without_the_extra_it_says_so(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to get it."""
    monkeypatch.setitem(sys.modules, "lxml", None)
    with server.http() as http:
        reply = give(http, "a.docx", word())
    assert reply.status_code == 501
    assert reply.json()["error"]["code"] == "missing_extra"
    assert "longctx-sdk[rag]" in reply.json()["error"]["message"]


def test_the_page_is_its_files_and_no_others(server: LiveServer) -> None:
    """Each with its media type; no name leads elsewhere."""
    with server.http() as http:
        for name, kind in [("page.css", "css"), ("code.css", "css"), ("page.js", "javascript")]:
            reply = http.get(f"/page/{name}")
            assert reply.headers["content-type"] == f"text/{kind}; charset=utf-8"
            assert reply.headers["x-content-type-options"] == "nosniff"
        for name in ("routes.py", "..%2Froutes.py", "__init__.py", "static"):
            assert http.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize(
    "name", ["../a.pdf", "/etc/passwd", "..", "a\\b", "a" * 999 + ".pdf", "漢" * 200]
)
def test_a_name_is_no_path(name: str) -> None:
    """Its end stays, which says what the file is."""
    safe = safe_name(name)
    assert "/" not in safe
    assert "\\" not in safe
    assert safe not in (".", "..")
    assert len(safe.encode()) <= 255
    assert safe.endswith(name[-3:].replace("\\", "_").replace("/", "_").lstrip("."))
