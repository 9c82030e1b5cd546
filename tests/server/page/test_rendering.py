"""Answers as they are read: Markdown, code, thoughts, calls."""

from __future__ import annotations

import json

from playwright.sync_api import Browser, Page, expect

from longctx import LongContextLLM, Message
from tests.server.live_server import LiveServer
from tests.server.page.doing import choose, expect_copied, exported, say
from tests.server.page.test_markdown import MARKUP
from tests.server.scripted import THOUGHT, scripted
from tests.support.browser import Opened
from tests.support.thorough import thorough

pytestmark = thorough

CODE = 'def f(x: str) -> str:\n    return f"<b>{x}</b>"\n'
ANSWER = f"## A heading\n\nSome **bold** words.\n\n```python\n{CODE}```\n\n- one\n- two\n"


def test_markdown_is_rendered_and_code_highlighted(
    browser: Browser, tiny_llm: LongContextLLM
) -> None:
    """By the server; a copy of the code is the code."""
    with (
        scripted(tiny_llm, [ANSWER]) as (live, _),
        Opened(browser, live.url, permissions=["clipboard-read", "clipboard-write"]) as page,
    ):
        say(page, "Show me.")
        text = page.locator(".assistant .text")
        expect(text.get_by_role("heading", name="A heading")).to_be_visible()
        expect(text.locator("strong")).to_have_text("bold")
        expect(text.locator("li")).to_have_text(["one", "two"])
        assert text.locator("pre").text_content() == CODE
        keyword = text.locator("pre .k").first
        expect(keyword).to_have_text("def")
        ink, own = (
            node.evaluate("node => getComputedStyle(node).color")
            for node in (text.locator("pre"), keyword)
        )
        assert own != ink
        text.get_by_role("button", name="Copy this code").click()
        expect_copied(page, CODE)
        page.get_by_role("button", name="Copy this message").last.click()
        expect_copied(page, ANSWER)


def test_it_is_rendered_while_it_is_written(page: Page) -> None:
    """What is settled stays the same node, and is not sent again."""
    page.evaluate(
        """async () => {
            const {Markdown} = await import("/page/markdown.js");
            window.place = document.createElement("div");
            place.id = "place";
            document.body.append(place);  // the log is the page's, which may just be filling it
            window.growing = new Markdown(place);
            growing.show("# One");
        }"""
    )
    expect(page.locator("#place h1")).to_have_text("One")
    page.evaluate("() => growing.show('# One\\n\\nTwo\\n')")
    expect(page.locator("#place p")).to_have_text("Two")
    page.evaluate("() => { window.first = place.firstChild; }")
    with page.expect_request("**/page/markdown") as asked:
        page.evaluate("() => growing.show('# One\\n\\nTwo\\n*three*')")
    assert asked.value.post_data_json == {"text": "Two\n*three*"}
    expect(page.locator("#place em")).to_have_text("three")
    assert page.evaluate("place.firstChild === first")
    page.evaluate(
        "() => growing.finish('# One\\n\\nTwo\\n[three]\\n\\n[three]: https://a.example')"
    )
    expect(page.locator("#place a")).to_have_attribute("href", "https://a.example")


def test_no_answer_runs(browser: Browser, tiny_llm: LongContextLLM) -> None:
    """Nor do thoughts, the name of a tool or its arguments; nothing is fetched for them."""
    text = "\n\n".join(MARKUP)
    call = THOUGHT.tool_calls[0].model_copy(update={"name": MARKUP[1], "arguments": {"a": text}})
    said = Message(role="assistant", content=text, reasoning=text, tool_calls=(call,))
    with scripted(tiny_llm, [said]) as (live, _), Opened(browser, live.url) as page:
        say(page, text)
        expect(page.locator(".assistant .text.rendered pre").first).to_be_visible()
        page.reload()
        expect(page.locator(".assistant .text.rendered pre").first).to_be_visible()
        assert page.locator("#log").locator("img, script, iframe, svg, style").count() == 0
        assert page.locator("#log [style], #log [onclick], #log [onerror]").count() == 0
        expect(page.locator(".call summary")).to_have_text(f"Calls the tool {MARKUP[1]}")
        assert page.evaluate("window.ran") is None


def test_the_browser_itself_refuses_markup(browser: Browser, server: LiveServer) -> None:
    """Should a script of the page ever forget: no handler runs, no string becomes markup."""
    page = browser.new_page()
    page.goto(server.url)
    refused = page.evaluate(
        """() => { try { document.getElementById("log").innerHTML = "<b>"; } catch (error) {
            return error.name; } }"""
    )
    assert refused == "TypeError"
    # The same with what the server's sanitiser let through, if it did.
    page.route(
        "**/page/markdown",
        lambda route: route.fulfill(
            json={"settled": '<img src=x onerror="window.ran = true">', "open": "", "rest": ""}
        ),
    )
    seen = page.evaluate(
        """async () => {
            const told = new Promise(done => document.addEventListener(
                "securitypolicyviolation", event => done(event.effectiveDirective)));
            const {Markdown} = await import("/page/markdown.js");
            new Markdown(document.getElementById("log")).finish("x");
            return told;
        }"""
    )
    ran = page.evaluate("window.ran")
    page.context.close()
    assert seen in ("img-src", "script-src-attr")
    assert ran is None


def test_calls_are_shown_and_answered(browser: Browser, tiny_llm: LongContextLLM) -> None:
    """Their arguments as they are; what the tools answered goes on with the conversation."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    with (
        scripted(tiny_llm, [THOUGHT, "It is warm."]) as (live, fake),
        Opened(browser, live.url) as page,
    ):
        page.locator("#settings-button").click()
        page.get_by_text("Tools", exact=True).click()
        page.locator("#set-tools").fill("{}")
        page.locator("#settings button[type=submit]").click()
        expect(page.locator("#settings-error")).to_contain_text("no JSON list")
        page.locator("#set-tools").fill(json.dumps([tool]))
        page.locator("#settings button[type=submit]").click()
        say(page, "What is the weather?")
        calls = page.locator(".call")
        expect(calls.locator("summary")).to_have_text(["Calls the tool weather"] * 2)
        shown = json.loads(calls.last.locator("pre").text_content() or "")
        assert shown == THOUGHT.tool_calls[1].arguments
        for i, answer in enumerate(("20", "9")):
            page.get_by_label("What weather answered").nth(i).fill(answer)
        page.get_by_role("button", name="Send results").click()
        expect(page.locator(".assistant .text").last).to_have_text("It is warm.")
        expect(page.locator(".tool .text")).to_have_text(["20", "9"])
        assert [message["role"] for message in exported(page)["messages"]] == [
            *("user", "assistant", "tool", "tool", "assistant")
        ]
    assert [one["function"]["name"] for one in fake.calls[0].tools] == ["weather"]
    answered = fake.calls[1].messages
    assert answered[1].tool_calls == THOUGHT.tool_calls
    results = [(message.tool_call_id, message.content) for message in answered[2:]]
    assert results == [("call_1", "20"), ("call_2", "9")]


def test_thinking_is_chosen(page: Page) -> None:
    """It goes with the request, and with the count."""
    choose(page, effort="none")
    with page.expect_request("**/tokenize") as counted:
        page.locator("#text").fill("Hello.")
    with page.expect_request("**/v1/chat/completions") as asked:
        page.locator("#send").click()
    for request in (counted.value, asked.value):
        assert (request.post_data_json or {})["reasoning_effort"] == "none"
