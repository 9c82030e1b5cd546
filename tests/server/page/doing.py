"""What a person does on the page."""

from __future__ import annotations

import json
import time
from typing import Any

from playwright.sync_api import Page, expect


def say(page: Page, text: str) -> None:
    """Write a message and send it with the Enter key; wait for its answer."""
    n = page.locator(".report").count()
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")
    expect(page.locator(".report")).to_have_count(n + 1)
    expect(page.locator("#stop")).to_be_hidden()


def add(page: Page, name: str, data: str | bytes) -> None:
    """Pick a file, and wait until it is read, or refused."""
    content = data.encode() if isinstance(data, str) else data
    page.locator("#file").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    expect(page.locator("#send")).to_be_enabled()


def choose(page: Page, **settings: Any) -> None:
    """Fill fields of the settings, by their ids, and save them."""
    page.locator("#settings-button").click()
    for name, value in settings.items():
        field = page.locator(f"#{name.replace('__', '-')}")
        if name == "effort":
            field.select_option(value)
        else:
            field.fill(str(value))
    page.locator("#settings button[type=submit]").click()
    expect(page.locator("#settings")).to_be_hidden()


def expect_copied(page: Page, text: str) -> None:
    """It is in the clipboard, a moment after the click."""
    ends = time.monotonic() + 30
    while (found := page.evaluate("navigator.clipboard.readText()")) != text:
        assert time.monotonic() < ends, found
        page.wait_for_timeout(20)


def exported(page: Page) -> dict[str, Any]:
    """The conversation as JSON."""
    with page.expect_download() as download:
        page.locator("#export-json").click()
    found: dict[str, Any] = json.loads(download.value.path().read_text("utf-8"))
    return found
