"""Marks that others begin with, in text that comes in pieces."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from longctx.chat.calls.answer_reader import AnswerFormat, read_answer
from longctx.chat.calls.feed import Feed, parts_of

MARKS = ("[CALL]", "[CALL][", "<|channel>", "<|channel>thought")


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("behind", ["", "x", "<|channel>"])
def test_the_longest_mark_is_found(mark: str, behind: str) -> None:
    """Character by character as at once: a shorter one waits for what may still come."""
    text = f"Words {mark}{behind}"

    def heard(pieces: list[str]) -> tuple[str | None, str]:
        feed, told = Feed(), list[str]()
        reading: Generator[None, None, str | None] = feed.until(MARKS, told.append)
        try:
            for piece in pieces:
                feed.text += piece
                next(reading)
            feed.has_ended = True
            next(reading)
        except StopIteration as done:
            return done.value, "".join(told)
        raise AssertionError("it waits for ever")

    assert heard([text]) == heard(list(text)) == (mark, "Words ")


def test_a_fence_behind_a_list_is_a_part_of_its_own() -> None:
    """Models put a line feed where Command R+'s template has none."""
    assert parts_of("\n]```\n") == ["]", "```"]


def test_who_speaks_where_the_prompt_opened_a_thought() -> None:
    """The thought is empty, and its mark no part of the answer."""
    style = AnswerFormat(thinking=("<think>", "</think>"), wrapping=("<say>", "</say>"))
    answer = read_answer("\n<say>Yes.</say>", style, {}, head="<think>")
    assert (answer.text, answer.reasoning) == ("Yes.", "")
    thought = read_answer("Hm. <say>", style, {}, head="<think>")
    assert (thought.text, thought.reasoning) == ("", "Hm. <say>")
