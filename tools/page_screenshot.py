"""Makes docs/page.png: the server's page, with the demo model.

Usage: python -m tools.page_screenshot [TEXT ...], with Chromium and the extras ``demo``, ``rag``
and ``dev``; the texts are those that the model is asked about.
By default they are long enough for its window to grow past its training, which takes minutes.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from longctx import LongContextLLM
from longctx.server import Server, ServerSettings

ROOT = Path(__file__).parent.parent
LONG_TEXTS = ("evaluation.md", "concepts.md")
SIZE = {"width": 1200, "height": 800}
PATIENCE_MS = 40 * 60_000


def main() -> None:
    """Serve, talk, and take the picture."""
    texts = [Path(name) for name in sys.argv[1:]] or [ROOT / "docs" / name for name in LONG_TEXTS]
    with LongContextLLM(target_ctx=16_384, reserve_output=256) as llm:
        server = Server(llm, ServerSettings(), log_level="warning")
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.05)
            port = server.servers[0].sockets[0].getsockname()[1]
            _take(f"http://127.0.0.1:{port}", texts)
        finally:
            server.should_exit = True
            thread.join()


def _take(url: str, texts: list[Path]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.goto(url)
        _choose(page, {"set-seed": "7", "max-tokens": "30"})
        page.locator("#file").set_input_files(texts)
        expect(page.locator("#files li")).to_have_count(len(texts))
        expect(page.locator("#send")).to_be_enabled()
        _say(page, "What are these texts about?", 1)
        _choose(page, {"set-seed": "7", "max-tokens": "80"})
        _say(page, "Thank you. Write a Python function that reads the first line of a file.", 2)
        page.get_by_role("button", name="Regenerate").first.wait_for()
        page.locator("#count").filter(has_text="tokens to send").wait_for()
        page.screenshot(path=ROOT / "docs" / "page.png")
        browser.close()


def _choose(page: Page, fields: dict[str, str]) -> None:
    page.locator("#settings-button").click()
    for name, value in fields.items():
        page.locator(f"#{name}").fill(value)
    page.locator("#settings button[type=submit]").click()


def _say(page: Page, text: str, n_answers: int) -> None:
    page.locator("#text").fill(text)
    page.locator("#send").click()
    expect(page.locator(".report")).to_have_count(n_answers)
    expect(page.locator("#stop")).to_be_hidden()


if __name__ == "__main__":
    main()
