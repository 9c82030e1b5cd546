"""Conversations: kept in the browser, exported, edited, asked again, branched."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from longctx import LongContextLLM
from longctx.testing import ScriptedChatModel
from tests.server.page.doing import add, choose, exported, say
from tests.server.scripted import scripted
from tests.support.browser import Opened
from tests.support.thorough import thorough

pytestmark = thorough


@pytest.fixture
def talk(browser: Browser, tiny_llm: LongContextLLM) -> Iterator[tuple[Page, ScriptedChatModel]]:
    """A page whose model answers with one number after the other."""
    answers = ["one", "two", "three", "four", "five"]
    with scripted(tiny_llm, answers) as (live, fake), Opened(browser, live.url) as page:
        yield page, fake


def said(page: Page) -> list[str]:
    """What stands in the conversation."""
    return [node.inner_text() for node in page.locator(".turn .text").all()]


def asked(fake: ScriptedChatModel) -> list[str]:
    """What the model was sent last."""
    return [message.content for message in fake.calls[-1].messages]


def test_it_is_kept_in_this_browser(talk: tuple[Page, ScriptedChatModel]) -> None:
    """Over a reload, with what it cost; another is begun beside it, and either is opened again."""
    page, fake = talk
    say(page, "First of all")
    cost = page.locator(".report").inner_text()
    page.reload()
    expect(page.locator(".turn .text")).to_have_text(["First of all", "one"])
    expect(page.locator(".report")).to_have_text(cost)
    page.locator("#new").click()
    say(page, "Something else")
    listed = page.locator("#conversations button")
    expect(listed).to_have_text(["Something else", "First of all"])
    expect(listed.first).to_have_attribute("aria-current", "true")
    listed.last.click()
    expect(page.locator(".turn .text")).to_have_text(["First of all", "one"])
    say(page, "And then?")
    assert asked(fake) == ["First of all", "one", "And then?"]


def test_it_is_deleted_at_the_second_click(talk: tuple[Page, ScriptedChatModel]) -> None:
    """The first only asks."""
    page, _ = talk
    expect(page.locator("#delete")).to_be_disabled()
    say(page, "Forget me")
    page.locator("#delete").click()
    expect(page.locator("#delete")).to_have_text("Delete for good?")
    page.locator("#text").focus()
    expect(page.locator("#delete")).to_have_text("Delete")
    page.locator("#delete").click()
    page.locator("#delete").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#conversations button")).to_have_count(0)
    page.reload()
    expect(page.locator("#no-conversations")).to_be_visible()


def test_it_is_asked_again(talk: tuple[Page, ScriptedChatModel]) -> None:
    """The same question; both answers stay, and the one that is shown is the one that counts."""
    page, fake = talk
    say(page, "Count")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".turn .text")).to_have_text(["Count", "two"])
    assert asked(fake) == ["Count"]
    versions = page.locator(".assistant .versions")
    expect(versions).to_have_text("2 of 2")
    page.get_by_role("button", name="Earlier version").click()
    expect(page.locator(".turn .text")).to_have_text(["Count", "one"])
    expect(page.get_by_role("button", name="Later version")).to_be_focused()
    say(page, "Go on")
    assert asked(fake) == ["Count", "one", "Go on"]
    page.reload()
    expect(versions).to_have_text("1 of 2")
    page.get_by_role("button", name="Later version").click()
    expect(page.locator(".turn .text")).to_have_text(["Count", "two"])


def test_a_message_is_edited(talk: tuple[Page, ScriptedChatModel]) -> None:
    """It is answered anew, its files with it; the old one and what followed it stay."""
    page, fake = talk
    add(page, "notes.txt", "Some notes.")
    say(page, "Frist")
    say(page, "Second")
    page.get_by_role("button", name="Edit").first.click()
    field = page.get_by_label("The message, edited")
    expect(field).to_be_focused()
    expect(field).to_have_value("Frist")
    field.press("Escape")
    expect(field).to_have_count(0)
    page.get_by_role("button", name="Edit").first.click()
    field.fill("First")
    field.press("Enter")
    expect(page.locator(".turn .text")).to_have_text(["First", "three"])
    assert asked(fake) == ["File notes.txt:\n\nSome notes.\n\nFirst"]
    page.get_by_role("button", name="Earlier version").click()
    expect(page.locator(".turn .text")).to_have_text(["Frist", "one", "Second", "two"])


def test_a_branch_is_a_conversation_of_its_own(talk: tuple[Page, ScriptedChatModel]) -> None:
    """It begins as the other does, and changes nothing of it."""
    page, fake = talk
    say(page, "A")
    say(page, "B")
    page.get_by_role("button", name="Branch").first.click()
    expect(page.locator(".turn .text")).to_have_text(["A", "one"])
    say(page, "C")
    assert asked(fake) == ["A", "one", "C"]
    expect(page.locator("#conversations button")).to_have_count(2)
    page.locator("#conversations button").last.click()
    expect(page.locator(".turn .text")).to_have_text(["A", "one", "B", "two"])


def test_what_cannot_be_asked_again_stays_as_it_was(
    talk: tuple[Page, ScriptedChatModel],
) -> None:
    """A failure takes back what led to it, and nothing else."""
    page, _ = talk
    say(page, "A")
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=500, json={"error": {"message": "It broke."}}),
    )
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("#log .error")).to_have_text("It broke.")
    assert said(page) == ["A", "one"]
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("The message, edited").fill("B")
    page.get_by_role("button", name="Send edited").click()
    expect(page.get_by_label("The message, edited")).to_have_value("B")
    page.unroute("**/v1/chat/completions")
    page.get_by_role("button", name="Send edited").click()
    expect(page.locator(".turn .text")).to_have_text(["B", "two"])


def test_it_is_exported(talk: tuple[Page, ScriptedChatModel]) -> None:
    """As JSON with all its branches, and as Markdown that another program reads."""
    page, _ = talk
    choose(page, system="Be brief.")
    add(page, "a.md", "```\ncode\n```")
    say(page, "Read it")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".versions")).to_be_visible()
    found = exported(page)
    assert found["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "File a.md:\n\n```\ncode\n```\n\nRead it"},
        {"role": "assistant", "content": "two"},
    ]
    nodes = found["conversation"]["nodes"]
    assert [node["text"] for node in nodes] == ["Read it", "one", "two"]
    with page.expect_download() as download:
        page.locator("#export-markdown").click()
    text = download.value.path().read_text("utf-8")
    assert re.findall(r"^#+ .*", text, re.M) == ["# Read it", "## System", "## You", "## tiny"]
    assert "````\n```\ncode\n```\n````" in text


def test_settings_are_kept_and_sent(page: Page) -> None:
    """What is left empty is the server's; the fields say what that is."""
    page.locator("#settings-button").click()
    expect(page.locator("#set-temperature")).to_have_attribute("placeholder", "0.5")
    page.locator("#settings-cancel").click()
    choose(page, system="Be brief.", max__tokens=5, set__temperature=1.5, set__top_k=7)
    page.reload()
    expect(page.locator("#model")).to_have_text("tiny")
    with page.expect_request("**/v1/chat/completions") as request:
        say(page, "Hello.")
    body = request.value.post_data_json or {}
    assert (body["temperature"], body["top_k"], body["max_tokens"]) == (1.5, 7, 5)
    assert body["min_p"] == 0.1
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    expect(page.locator(".report")).to_contain_text("5 generated")
    expect(page.locator(".report")).to_contain_text("cut after 5 tokens")
    page.locator("#settings-button").click()
    expect(page.locator("#set-temperature")).to_have_value("1.5")
    page.locator("#settings-reset").click()
    page.locator("#settings button[type=submit]").click()
    with page.expect_request("**/v1/chat/completions") as request:
        say(page, "Hello.")
    assert "max_tokens" not in (request.value.post_data_json or {})
