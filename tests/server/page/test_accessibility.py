"""For keyboard and screen reader: names, roles, focus, contrast."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from longctx import LongContextLLM
from tests.server.page.doing import add, say
from tests.server.page.test_rendering import ANSWER
from tests.server.scripted import THOUGHT, scripted
from tests.support.browser import Opened
from tests.support.thorough import thorough

pytestmark = thorough

CONTROLS = (
    "button, input, textarea, select, summary, a, dialog, [role=meter], [role=alert], nav, main, "
    "article, section"
)
FOUND = """controls => [...document.querySelectorAll(controls)].filter(
    node => node.checkVisibility()).map(node => [node.outerHTML.slice(0, 120), (
        node.getAttribute("aria-label")
        || node.getAttribute("aria-labelledby")?.split(" ").map(
            id => document.getElementById(id).textContent).join(" ")
        || [...node.labels || []].map(label => label.textContent).join(" ")
        || node.textContent).trim()])"""
CONTRAST = """() => {
    const parsed = color => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(
        c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const ground = node => {
        for (; node; node = node.parentElement) {
            const found = parsed(getComputedStyle(node).backgroundColor);
            if (found[3] !== 0) return found;
        }
        return [255, 255, 255];
    };
    const poor = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode.parentElement;
        if (!walk.currentNode.textContent.trim() || !node.checkVisibility()) continue;
        if (node.closest(":disabled")) continue;
        const [a, b] = [parsed(getComputedStyle(node).color), ground(node)].map(light);
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (ratio < 4.5) poor.push([walk.currentNode.textContent, ratio.toFixed(2)]);
    }
    return poor;
}"""


def _unnamed(page: Page) -> list[Any]:
    return [html for html, name in page.evaluate(FOUND, CONTROLS) if not name]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(
    browser: Browser, tiny_llm: LongContextLLM, scheme: Any
) -> None:
    """Every control, region and turn has a name; every text 4.5 to 1 of contrast (WCAG 2, AA)."""
    with (
        scripted(tiny_llm, [ANSWER, ANSWER, THOUGHT]) as (live, _),
        Opened(browser, live.url, color_scheme=scheme) as page,
    ):
        say(page, "Show me.")
        page.get_by_role("button", name="Regenerate").click()
        expect(page.locator(".versions")).to_be_visible()
        say(page, "Call it.")
        add(page, "a.md", "# Text")
        add(page, "empty.md", "")
        page.get_by_role("button", name="Edit").first.click()
        assert _unnamed(page) == []
        assert page.evaluate(CONTRAST) == []
        page.locator("#settings-button").click()
        page.get_by_text("Tools", exact=True).click()
        assert _unnamed(page) == []
        assert page.evaluate(CONTRAST) == []


def test_a_conversation_by_keyboard_alone(browser: Browser, tiny_llm: LongContextLLM) -> None:
    """Send, regenerate, settings; the focus never falls out of the page."""
    with scripted(tiny_llm, ["one", "two"]) as (live, _), Opened(browser, live.url) as page:
        page.keyboard.type("Hello.")
        page.keyboard.press("Enter")
        expect(page.locator(".turn .text")).to_have_text(["Hello.", "one"])
        again = page.get_by_role("button", name="Regenerate")
        for _ in range(40):
            page.keyboard.press("Shift+Tab")
            if again.evaluate("node => node === document.activeElement"):
                break
        page.keyboard.press("Enter")
        expect(page.locator(".turn .text")).to_have_text(["Hello.", "two"])
        expect(page.locator("#stop")).to_be_hidden()
        assert page.evaluate("document.activeElement !== document.body")
        page.locator("#settings-button").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#system")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#settings-button")).to_be_focused()


def test_on_a_phone_the_conversations_are_behind_a_button(page: Page) -> None:
    """It says whether they are shown; Escape puts them away, and the focus goes back."""
    page.set_viewport_size({"width": 375, "height": 740})
    say(page, "Hello.")
    opener, shelf = page.locator("#shelf-button"), page.locator("#shelf")
    expect(shelf).to_be_hidden()
    expect(opener).to_have_attribute("aria-expanded", "false")
    opener.click()
    expect(shelf).to_be_visible()
    expect(opener).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(shelf).to_be_hidden()
    expect(opener).to_be_focused()
    opener.click()
    page.locator("#conversations button").click()
    expect(shelf).to_be_hidden()


def test_an_answer_is_told_once(page: Page) -> None:
    """The log is busy while it grows, so that a screen reader waits for the whole."""
    log = page.locator("#log")
    page.evaluate(
        """() => { window.busy = []; new MutationObserver(
            () => busy.push(document.getElementById("log").getAttribute("aria-busy"))).observe(
            document.getElementById("log"), {attributeFilter: ["aria-busy"]}); }"""
    )
    say(page, "Hello.")
    assert page.evaluate("busy") == ["true", "false"]
    expect(log).to_have_attribute("aria-live", "polite")
