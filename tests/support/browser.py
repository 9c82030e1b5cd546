"""Pages in a real browser: a profile of its own for each, errors and requests watched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

# A busy machine takes longer than five seconds to load what reads a PDF for the first time.
expect.set_options(timeout=30_000)


def launch() -> Iterator[Browser]:
    """Chromium without a window; tests that want it are skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is installed (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


class Opened:
    """A page that must log no error, and ask nobody but its own address."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self._context = browser.new_context(viewport={"width": 900, "height": 800}, **options)
        self._url = url
        self._errors: list[str] = []
        self._asked: list[str] = []

    def __enter__(self) -> Page:
        page = self._context.new_page()
        page.on("pageerror", lambda error: self._errors.append(str(error)))
        page.on("request", lambda request: self._asked.append(request.url))
        page.on(
            "console",
            lambda said: (
                self._errors.append(said.text)
                if said.type == "error" and "Failed to load resource" not in said.text
                else None
            ),
        )
        page.goto(self._url)
        return page

    def __exit__(self, *_: object) -> None:
        self._context.close()
        assert self._errors == []
        assert all(url.startswith((self._url, "data:")) for url in self._asked), self._asked
