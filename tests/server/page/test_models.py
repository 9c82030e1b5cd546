"""The page of several models."""

from __future__ import annotations

import httpx
from playwright.sync_api import Browser, expect

from longctx.server import ModelPool, ModelSource
from tests.conftest import TinyGguf
from tests.server.live_server import serving
from tests.server.page.doing import add, exported, say
from tests.support.browser import Opened


def test_one_is_chosen_and_stays_so(browser: Browser, tiny_gguf: TinyGguf) -> None:
    """It is opened by the first message, counts its tokens and answers; after a reload, too."""
    path = str(tiny_gguf())
    sources = [
        ModelSource.of_file(name, path, target_ctx=n, reserve_output=16, n_threads=1)
        for name, n in (("first", 512), ("second", 2048))
    ]
    with (
        ModelPool(sources) as pool,
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
        listed = httpx.get(f"{live.url}/v1/models").json()["data"]
        assert [model["status"]["value"] for model in listed] == ["unloaded", "loaded"]
        page.reload()
        expect(page.locator("#models")).to_have_value("second")
