"""Files on the page: read by the server, counted, sent, left out."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, Route, expect

from longctx import LongContextLLM
from tests.server.live_server import LiveServer, serving
from tests.server.page.doing import add, exported, say
from tests.server.page.test_file_store import pdf, word
from tests.support.browser import Opened
from tests.support.thorough import thorough

pytestmark = thorough

BAD_NAME = "<img src=x onerror='window.ran=true'>.html"
BAD_PAGE = "<p>Read me</p><script>window.ran = true</script><img src=x onerror='window.ran=true'>"


def test_a_pdf_goes_into_the_conversation(page: Page, tiny_llm: LongContextLLM) -> None:
    """With its pages and its exact tokens; all of it stands there to be read."""
    add(page, "sale.pdf", pdf())
    chip = page.locator("#files li")
    expect(chip).to_contain_text(", 2 pages")
    add(page, "sale.docx", word())
    expect(chip).to_have_count(2)
    say(page, "Who bears the risk?")
    content = exported(page)["messages"][0]["content"]
    assert content.startswith("File sale.pdf:\n\nThe seller bears the risk.")
    assert "File sale.docx:\n\n" in content
    text = page.locator(".user details pre").first.text_content() or ""
    tokens = len(tiny_llm.tokenize(text))
    expect(page.locator(".user details summary").first).to_have_text(
        f"sale.pdf, {tokens} tokens, 2 pages"
    )


def test_a_file_that_is_left_out_is_kept_no_more(page: Page) -> None:
    """Neither here nor on the server."""
    with page.expect_response("**/page/files?**") as given:
        add(page, "a.txt", "Some text.")
    with page.expect_response("**/page/files/*") as dropped:
        page.get_by_label("Leave out a.txt").click()
    assert dropped.value.request.method == "DELETE"
    assert dropped.value.json()["id"] == given.value.json()["id"]
    expect(page.locator("#files li")).to_have_count(0)


def test_what_cannot_be_read_is_said(page: Page) -> None:
    """By its name; the others are taken all the same."""
    add(page, "empty.txt", "")
    add(page, "broken.docx", b"PK\x03\x04" + bytes(50))
    add(page, "large.txt", "x" * 300_000)
    errors = page.locator("#log .error")
    expect(errors).to_have_count(3)
    expect(errors.nth(0)).to_contain_text("empty.txt: it is empty")
    expect(errors.nth(1)).to_contain_text("broken.docx")
    expect(errors.nth(2)).to_contain_text("large.txt: the request has 300,000 bytes")


LINES = "".join(f"Line {i} of a long report says little. " for i in range(8_000))
"""Some 300 KB."""
DROP = """(text) => {
    const given = new DataTransfer();
    given.items.add(new File([text], "report.txt", { type: "text/plain" }));
    for (const name of ["dragover", "drop"]) {
        const event = new DragEvent(name, { dataTransfer: given, bubbles: true, cancelable: true });
        document.getElementById("log").dispatchEvent(event);
    }
}"""


def test_a_long_file_that_is_dropped_is_told_to_be_too_long(
    browser: Browser, tiny_llm: LongContextLLM
) -> None:
    """Before it is sent and after, with its tokens; it stays where it was, and one goes on without
    it."""
    text = LINES[:300_000]
    n = len(tiny_llm.tokenize(text.strip()))
    with serving(tiny_llm, max_body_bytes=2**20) as live, Opened(browser, live.url) as page:
        page.evaluate(DROP, text)
        expect(page.locator("#files li")).to_contain_text(f"report.txt, {n:,} tokens")
        count = page.locator("#count")
        expect(count).to_contain_text(f"it does not fit {tiny_llm.target_ctx:,}")
        page.locator("#text").fill("What does it say?")
        page.locator("#text").press("Enter")
        expect(page.locator("#log .error").last).to_contain_text("prompt is too long")
        expect(page.locator("#text")).to_have_value("What does it say?")
        page.get_by_label("Leave out report.txt").click()
        expect(count).to_contain_text("tokens to send")
        say(page, "Hello.")
        expect(page.locator("#log > .error")).to_have_count(0)


def test_an_error_outlives_what_is_told_later(browser: Browser, server: LiveServer) -> None:
    """A file may be refused before the page knows its model, and while it learns of another."""
    with Opened(browser, server.url) as page:
        held: list[Route] = []
        is_held = True
        page.route(
            "**/v1/models", lambda route: held.append(route) if is_held else route.continue_()
        )
        page.reload(wait_until="commit")
        page.wait_for_load_state("load")
        page.locator("#file").set_input_files(
            {"name": "empty.txt", "mimeType": "text/plain", "buffer": b""}
        )
        expect(page.locator("#log .error")).to_contain_text("empty.txt")
        is_held = False  # it may not have asked yet
        for route in held:
            route.continue_()
        expect(page.locator("#model")).to_have_text("tiny")
        expect(page.locator("#log .error")).to_contain_text("empty.txt")
        say(page, "Hello.")
        expect(page.locator("#log > .error")).to_have_count(0)


def test_markup_in_a_file_and_its_name_is_text(page: Page) -> None:
    """What no reader of the file would see is not sent, or said to be there."""
    add(page, BAD_NAME, BAD_PAGE)
    expect(page.locator("#files li")).to_contain_text(BAD_NAME)
    say(page, "Read it.")
    expect(page.locator(".user summary")).to_contain_text(BAD_NAME)
    page.reload()
    expect(page.locator(".user pre")).to_contain_text("Read me", use_inner_text=False)
    assert page.locator("img").count() == 0
    assert page.evaluate("window.ran") is None


def test_without_the_readers_it_says_so(page: Page, tiny_llm: LongContextLLM) -> None:
    """A text is read by the page itself then; of any other file the server's words are shown."""
    said = "reading PDF needs pypdfium2: pip install 'longctx-sdk[rag]'"
    page.route(
        "**/page/files?**",
        lambda route: route.fulfill(
            status=501, json={"error": {"message": said, "code": "missing_extra"}}
        ),
    )
    add(page, "a.txt", "Some text.")
    n = len(tiny_llm.tokenize("Some text."))
    expect(page.locator("#files li")).to_contain_text(f"a.txt, {n} tokens")
    add(page, "a.pdf", pdf())
    expect(page.locator("#log .error")).to_have_text(f"a.pdf: {said}")


def test_a_key_is_sent_with_it(browser: Browser, tiny_llm: LongContextLLM) -> None:
    """As with all that the page asks for."""
    with serving(tiny_llm, api_key="open sesame") as live, Opened(browser, live.url) as page:
        page.locator("#key").fill("open sesame")
        page.locator("#key").press("Enter")
        expect(page.locator("#key")).to_be_hidden()
        add(page, "a.txt", "Some text.")
        expect(page.locator("#files li")).to_contain_text("a.txt")
