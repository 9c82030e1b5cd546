"""The page of several models."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect

from longctx.server import ModelPool, ModelSource
from tests.conftest import TinyGguf
from tests.server.live_server import serving
from tests.server.page.doing import add, exported, say
from tests.support.browser import Opened
from tests.support.thorough import thorough

pytestmark = thorough


def _sources(path: Path) -> list[ModelSource]:
    return [
        ModelSource.of_file(name, str(path), target_ctx=n, reserve_output=16, n_threads=1)
        for name, n in (("first", 512), ("second", 2048))
    ]


def test_what_is_typed_opens_nothing(browser: Browser, tiny_gguf: TinyGguf) -> None:
    """Not before its first message, and not when another has taken its place; tokens are counted
    while the model is open."""
    with (
        ModelPool(_sources(tiny_gguf()), max_open=1) as pool,
        serving(pool) as live,
        Opened(browser, live.url) as page,
    ):
        typed, count = page.locator("#text"), page.locator("#count")

        def draft_a_while() -> None:
            typed.fill("A draft.")
            page.wait_for_timeout(600)  # longer than until tokens are counted

        expect(page.locator("#state")).to_have_text("opened at its first message")
        draft_a_while()
        assert [entry.state for entry in pool.entries] == ["unloaded", "unloaded"]
        say(page, "Hello there.")
        typed.fill("A draft.")
        expect(count).to_contain_text("tokens to send")
        page.locator("#models").select_option("second")
        say(page, "And you?")
        with page.expect_response("**/v1/models"):
            page.locator("#models").select_option("first")
        draft_a_while()
        expect(count).to_have_text("")
        assert [entry.state for entry in pool.entries] == ["unloaded", "loaded"]
        add(page, "a.txt", "Some words.")
        expect(count).to_contain_text("tokens to send")
        assert [entry.state for entry in pool.entries] == ["loaded", "unloaded"]


def test_one_is_chosen_and_stays_so(browser: Browser, tiny_gguf: TinyGguf) -> None:
    """It is opened by the first message, counts its tokens and answers; after a reload, too."""
    with (
        ModelPool(_sources(tiny_gguf())) as pool,
        serving(pool) as live,
        Opened(browser, live.url) as page,
    ):
        expect(page.locator("#model")).to_be_hidden()
        expect(page.locator("#models")).to_have_value("first")
        expect(page.locator("#state")).to_have_text("opened at its first message")
        page.locator("#models").select_option("second")
        expect(page.locator("#n-window")).to_have_text("2,048")
        add(page, "a.txt", "Some words.")
        say(page, "Hello there.")
        expect(page.locator("#state")).not_to_have_text("opened at its first message")
        expect(page.locator("#n-trained")).to_have_text("1,024")
        assert exported(page)["model"] == "second"
        listed = httpx.get(f"{live.url}/v1/models", timeout=60).json()["data"]
        assert [model["status"]["value"] for model in listed] == ["unloaded", "loaded"]
        page.reload()
        expect(page.locator("#models")).to_have_value("second")
