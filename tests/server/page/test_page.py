"""The page, in a real browser."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from longctx import LongContextLLM, Message
from tests.conftest import TinyGguf
from tests.server.endless import ENDLESS, EndlessLLM
from tests.server.live_server import LiveServer, serving
from tests.server.page.doing import add, choose, exported, say
from tests.server.scripted import scripted
from tests.support.browser import Opened
from tests.support.thorough import thorough

pytestmark = thorough

MARKUP = '<img src="x" onerror="window.ran = true"><script>window.ran = true</script>'


def test_a_conversation(page: Page, tiny_llm: LongContextLLM) -> None:
    """The text is the model's, the second turn finds the prompt of the first in the cache."""
    system = "You are the page's test. " * 4
    choose(page, system=system, set__seed=3)
    asked: list[Any] = [{"role": "system", "content": system.strip()}]
    for text in ("Hello, page.", "And again."):
        asked.append({"role": "user", "content": text})
        say(page, text)
        own = tiny_llm.chat(asked, max_tokens=16, **{**tiny_llm.sampling_defaults, "seed": 3})
        asked.append({"role": "assistant", "content": own.text})
        assert exported(page)["messages"] == asked
    expect(page.locator("#n-prompt")).to_have_text(str(own.usage.prompt_tokens))
    expect(page.locator(".report").last).to_contain_text("cut after 16 tokens")
    expect(page.locator("#n-answer")).to_have_text(str(own.usage.completion_tokens))
    cached = re.match(r"(\d+) cached", page.locator(".report").last.inner_text())
    assert cached is not None
    # Noise has bytes that are no text, so that the answer's own tokens need not be found again.
    assert int(cached[1]) > tiny_llm.count(asked[:1])


def test_thoughts_are_folded(browser: Browser, tiny_llm: LongContextLLM) -> None:
    """They stand above the answer, are text alone, and go back with the next message."""
    thought = Message(role="assistant", content="Yes.", reasoning=f"Hm. {MARKUP}")
    with (
        scripted(tiny_llm, [thought, "No thoughts."]) as (live, fake),
        Opened(browser, live.url) as page,
    ):
        say(page, "Is it?")
        box = page.locator(".assistant details.thoughts")
        expect(box.locator("summary")).to_have_text("Thoughts")
        expect(box.locator(".thought")).to_be_hidden()
        box.locator("summary").click()
        expect(box.locator(".thought")).to_have_text(thought.reasoning)
        assert page.evaluate("window.ran") is None
        expect(page.locator(".assistant .text")).to_have_text("Yes.")
        expect(page.locator(".report")).to_contain_text("of them thoughts")
        say(page, "Again?")
        expect(box).to_have_count(1)
    assert fake.calls[1].messages[1] == thought


def test_it_is_sampled_as_conversations_are(page: Page, tiny_llm: LongContextLLM) -> None:
    """Each request has what /v1/models says of it."""
    page.locator("#text").fill("Hello, page.")
    with page.expect_request("**/v1/chat/completions") as asked:
        page.locator("#send").click()
    body = asked.value.post_data_json
    assert isinstance(body, dict)
    assert body.items() >= tiny_llm.sampling_defaults.items()


def test_a_file_joins_the_message_and_is_counted(page: Page, tiny_llm: LongContextLLM) -> None:
    """/tokenize tells before it is sent what is prefilled after."""
    add(page, "notes.txt", "Some notes.\nTwo lines.")
    page.locator("#text").fill("What do they say?")
    content = "File notes.txt:\n\nSome notes.\nTwo lines.\n\nWhat do they say?"
    n = tiny_llm.count([{"role": "user", "content": content}])
    own = len(tiny_llm.tokenize("Some notes.\nTwo lines."))
    expect(page.locator("#files li")).to_contain_text(f"notes.txt, {own} tokens")
    expect(page.locator("#count")).to_have_text(f"{n} tokens to send, {2048 - n:,} left of 2,048")
    page.locator("#send").click()
    expect(page.locator("#n-prompt")).to_have_text(str(n))
    expect(page.locator("#files li")).to_have_count(0)
    page.locator(".user summary").click()
    expect(page.locator(".user pre")).to_have_text("Some notes.\nTwo lines.")


def test_a_file_is_dropped_on_the_page(page: Page) -> None:
    """What is no text is refused by its name."""
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["dropped text"], "dropped.md"));
            data.items.add(new File([new Uint8Array([255, 254, 0])], "image.png"));
            dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
        }"""
    )
    expect(page.locator("#log .error")).to_contain_text("image.png")
    expect(page.locator("#files li")).to_have_count(1)
    expect(page.locator("#files li")).to_contain_text("dropped.md")
    page.get_by_label("Leave out dropped.md").click()
    expect(page.locator("#files li")).to_have_count(0)


def test_the_window_is_seen_to_grow(page: Page) -> None:
    """Prefill in numbers, the trained window as a mark, and when scale and method changed."""
    expect(page.locator("#n-window")).to_have_text("1,024")
    expect(page.locator("#bar-trained")).to_be_hidden()
    page.evaluate(
        """() => { window.told = [];
            const told = document.getElementById("prefill-text");
            new MutationObserver(() => window.told.push(told.textContent))
                .observe(told, {childList: true}); }"""
    )
    say(page, "Short.")
    add(page, "long.txt", "A window grows with its text. " * 60)
    say(page, "Long.")
    expect(page.locator("#n-window")).to_have_text("2,048")
    expect(page.locator(".changed")).to_contain_text("grew from 1,024 to 2,048 tokens")
    expect(page.locator(".changed")).to_contain_text("scale")
    expect(page.locator("#state")).to_contain_text("scale")
    expect(page.locator("#bar-trained")).to_be_visible()
    bar, mark = (page.locator(f"#bar{end}").bounding_box() for end in ("", "-trained"))
    assert bar is not None
    assert mark is not None
    assert mark["x"] - bar["x"] == pytest.approx(bar["width"] / 2, abs=3)
    told = page.evaluate("window.told")
    assert any(re.fullmatch(r"reading the prompt: [\d,]+ of [\d,]+ tokens", one) for one in told)


def test_text_is_never_markup(page: Page) -> None:
    """Not in a message, a system prompt, a file, its name, an error or an answer."""
    choose(page, system=MARKUP)
    add(page, "<img src=x onerror='window.ran=true'>.txt", MARKUP)
    say(page, MARKUP)
    assert page.locator(".user .text").text_content() == MARKUP
    assert page.locator(".user pre").text_content() == MARKUP
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=500, json={"error": {"message": MARKUP}}),
    )
    page.locator("#text").fill("fail")
    page.locator("#send").click()
    expect(page.locator("#log .error")).to_have_text(MARKUP)
    page.unroute("**/v1/chat/completions")
    said = {"choices": [{"delta": {"content": MARKUP}, "finish_reason": "stop"}]}
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(
            content_type="text/event-stream", body=f"data: {json.dumps(said)}\n\ndata: [DONE]\n\n"
        ),
    )
    page.locator("#send").click()
    expect(page.locator(".assistant .text").last).to_have_text(MARKUP)
    assert page.locator("img").count() == 0
    assert page.evaluate("window.ran") is None


def test_an_error_is_shown_in_full_and_the_message_kept(page: Page) -> None:
    """Too long a prompt: the numbers, and the text back in its field."""
    add(page, "long.txt", "word " * 3000)
    page.locator("#text").fill("Read it.")
    expect(page.locator("#count")).to_contain_text("it does not fit 2,048")
    page.locator("#send").click()
    expect(page.locator("#log .error")).to_contain_text("Nothing was cut.")
    expect(page.locator("#text")).to_have_value("Read it.")
    expect(page.locator("#files li")).to_have_count(1)
    expect(page.locator(".turn")).to_have_count(0)


@pytest.mark.parametrize("by", ["button", "Escape"])
def test_an_answer_is_stopped(browser: Browser, tiny_llm: LongContextLLM, by: str) -> None:
    """What was said stays, and the server gives the answer up."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless) as live, Opened(browser, live.url) as page:
        page.locator("#text").fill(ENDLESS[0]["content"])
        page.locator("#text").press("Enter")
        expect(page.locator(".assistant .text")).to_contain_text("on and on and")
        expect(page.locator("#send")).to_be_disabled()
        if by == "button":
            page.locator("#stop").click()
        else:
            page.keyboard.press("Escape")
        expect(page.locator(".note")).to_have_text("stopped")
        assert endless.closed.wait(60)
        say(page, "Be brief.")


def test_a_key_is_asked_for(browser: Browser, tiny_llm: LongContextLLM) -> None:
    """A wrong one says so; the right one is kept for the tab, not for the machine."""
    with serving(tiny_llm, api_key="open sesame") as live:
        with Opened(browser, live.url) as page:
            key = page.locator("#key")
            expect(key).to_be_focused()
            key.fill("wrong")
            key.press("Enter")
            expect(page.locator("#key-error")).to_contain_text("missing or wrong")
            key.fill("open sesame")
            key.press("Enter")
            expect(key).to_be_hidden()
            say(page, "Hello.")
            page.reload()
            expect(page.locator(".report")).to_have_count(1)  # what was said comes back first
            say(page, "Still here.")
            assert page.evaluate("localStorage.length") == 0
        with Opened(browser, live.url) as page:
            expect(page.locator("#key")).to_be_focused()


def test_everything_is_reached_by_keyboard(page: Page) -> None:
    """The message has the focus; Tab comes by every control."""
    expect(page.locator("#text")).to_be_focused()
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"pick", "send", "new", "log", "settings-button", "text"} <= set(seen)
    page.locator("#text").press("a")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("b")
    expect(page.locator("#text")).to_have_value("a\nb")


def test_a_narrow_screen_needs_no_sideways_scrolling(page: Page) -> None:
    """Down to 320 pixels, with a long word in the conversation."""
    page.set_viewport_size({"width": 320, "height": 568})
    add(page, f"{'n' * 80}.txt", "x" * 400)
    say(page, "w" * 300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.evaluate("document.getElementById('log').scrollWidth") <= 320
    log = page.locator("#log").bounding_box()
    assert log is not None
    assert log["height"] > 150


def test_dark_and_light_follow_the_system(browser: Browser, server: LiveServer) -> None:
    """Ground and ink change places."""
    seen = {}
    for scheme in ("light", "dark"):
        with Opened(browser, server.url, color_scheme=scheme) as page:
            seen[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert seen == {"light": "rgb(251, 251, 249)", "dark": "rgb(21, 23, 26)"}


def test_only_this_server_may_be_asked(browser: Browser, server: LiveServer) -> None:
    """The browser itself refuses a request to another host."""
    page = browser.new_page()
    page.goto(server.url)
    refused = page.evaluate(
        """() => new Promise(done => {
            document.addEventListener("securitypolicyviolation",
                                      event => done(event.effectiveDirective));
            fetch("http://127.0.0.2:9/").catch(() => {});
        })"""
    )
    page.context.close()
    assert refused == "connect-src"


@pytest.mark.parametrize(
    ("overflow", "changed", "state"),
    [
        ("slide", "of the oldest tokens were dropped", "tokens dropped"),
        ("compress", "of the oldest tokens", "tokens compressed"),
    ],
)
def test_what_was_dropped_is_told(
    browser: Browser, tiny_gguf: TinyGguf, overflow: str, changed: str, state: str
) -> None:
    """A window that slides says how many tokens are gone, one that compresses what is left."""
    with (
        LongContextLLM(tiny_gguf(), 512, overflow=overflow, reserve_output=16, n_threads=1) as llm,
        serving(llm) as live,
        Opened(browser, live.url) as page,
    ):
        say(page, "The first words. " * 8)
        for _ in range(2):
            say(page, "Many more words. " * 12)
        expect(page.locator(".changed")).to_contain_text(changed)
        expect(page.locator("#state")).to_contain_text(state)


def test_a_server_that_is_gone(browser: Browser, tiny_llm: LongContextLLM) -> None:
    """It is said, and what was typed is still there."""
    with browser.new_context() as context:
        page = context.new_page()
        with serving(tiny_llm) as live:
            page.goto(live.url)
            expect(page.locator("#n-window")).to_have_text("1,024")
        page.locator("#text").fill("Hello?")
        page.locator("#text").press("Enter")
        expect(page.locator("#log .error")).to_contain_text("the server cannot be reached")
        expect(page.locator("#text")).to_have_value("Hello?")


def test_a_new_chat_forgets(page: Page) -> None:
    """The conversation and its fill."""
    say(page, "Hello.")
    page.locator("#new").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#n-prompt")).to_have_text("0")


def test_times_are_never_powers_of_ten(page: Page) -> None:
    """Two digits of a short prefill, and all seconds of one that takes half an hour."""
    source = page.locator("script[src]").first.get_attribute("src") or ""
    line = """async ([source, prefill_s]) => {
        const { cost } = await import(new URL("bar.js", new URL(source, location)));
        const usage = { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 };
        return cost({
            usage: { ...usage, prompt_tokens_details: { cached_tokens: 0 } },
            report: { timings: { prefill_s, decode_s: 0 }, window: {} }, finished: "stop", limit: 9,
        });
    }"""
    for seconds, shown in ((0.0333, "0.033 s"), (3.71, "3.7 s"), (1600.4, "1,600 s")):
        assert f"5 prefilled in {shown} ·" in page.evaluate(line, [source, seconds])
