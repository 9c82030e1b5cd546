"""One rule for system messages that a template would refuse or drop: the user says them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx._native import Model
from longctx.chat import ChatTemplate
from longctx.errors import TemplateError
from tests.chat import shapes
from tests.chat.conversations import TOOL, with_call
from tests.support.thorough import thorough


def message(role: str, content: str) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content}


BRIEF, FRENCH = message("system", "Be brief."), message("system", "Answer in French.")
ASK, SAID, MORE = message("user", "Who?"), message("assistant", "She."), message("user", "Why?")


@pytest.mark.parametrize("name", shapes.NO_SYSTEM)
@pytest.mark.parametrize("role", ["system", "developer"])
def test_at_the_head_of_the_first_message(name: str, role: str, demo: Model) -> None:
    """With tools and without, in short conversations and in long ones, in the same place."""
    template = ChatTemplate(shapes.NO_SYSTEM[name], demo)
    brief = message(role, "Be brief.")
    text = template.render([brief, ASK, SAID, MORE]).text
    assert text.startswith("<|im_start|>user\nBe brief.\n\nWho?<|im_end|>\n")
    assert text.count("Be brief.") == 1
    shown = template.render([brief, ASK, SAID, MORE], [TOOL]).text
    assert shown.startswith("<|im_start|>user\nBe brief.\n\nYou can call tools.")
    assert "\n\nWho?<|im_end|>" in shown
    worked = template.render([brief, *with_call({"query": "x"}, "42")], [TOOL]).text
    assert worked.startswith("<|im_start|>user\nBe brief.\n\nYou can call tools.")
    assert "Result of find:\n42" in worked


@pytest.mark.parametrize("name", shapes.NO_SYSTEM)
def test_without_a_question_to_stand_before(name: str, demo: Model) -> None:
    """Alone, or before the assistant, a system message is a message of the user's."""
    template = ChatTemplate(shapes.NO_SYSTEM[name], demo)
    for messages in ([BRIEF], [BRIEF, SAID, MORE]):
        text = template.render(messages).text
        assert text.startswith("<|im_start|>user\nBe brief.<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("name", shapes.ONE_SYSTEM)
def test_more_than_one(name: str, demo: Model) -> None:
    """Those at the head become one; a later one stands before the question that follows it."""
    template = ChatTemplate(shapes.ONE_SYSTEM[name], demo)
    both = template.render([BRIEF, FRENCH, ASK]).text
    assert "Be brief.\n\nAnswer in French." in both
    assert "<|im_start|>user\nWho?<|im_end|>" in both
    late = template.render([BRIEF, ASK, SAID, FRENCH, MORE]).text
    assert "<|im_start|>user\nAnswer in French.\n\nWhy?<|im_end|>" in late
    last = template.render([BRIEF, ASK, SAID, FRENCH]).text
    assert "<|im_start|>user\nAnswer in French.<|im_end|>" in last
    begun = template.render([BRIEF, ASK, FRENCH, message("assistant", "Elle")]).text
    assert "<|im_start|>user\nWho?\n\nAnswer in French.<|im_end|>" in begun
    assert begun.endswith("assistant\nElle")


def test_a_template_that_takes_them_all_is_left_alone(demo: Model) -> None:
    """ChatML shows each where it stands."""
    text = ChatTemplate(None, demo).render([BRIEF, ASK, SAID, FRENCH, MORE]).text
    assert "<|im_start|>system\nAnswer in French.<|im_end|>\n<|im_start|>user\nWhy?" in text


def test_the_developer_is_the_system_where_that_is_what_there_is(demo: Model) -> None:
    """ChatML would write any role; only a template that names this one was trained with it."""
    messages = [message("developer", "Be brief."), ASK]
    as_system = ChatTemplate(None, demo).render(messages)
    assert as_system == ChatTemplate(None, demo).render([BRIEF, ASK])
    known = ChatTemplate(shapes.DEVELOPER, demo).render(messages).text
    assert known.startswith("<|im_start|>developer\nBe brief.<|im_end|>")


ROLES = st.sampled_from(["system", "developer", "user", "assistant"])


@pytest.fixture(scope="module")
def unlike(demo: Model) -> list[ChatTemplate]:
    """A template of each shape that takes system messages in its own way."""
    sources = (*shapes.NO_SYSTEM.values(), *shapes.ONE_SYSTEM.values(), shapes.DEVELOPER)
    return [ChatTemplate(source, demo) for source in sources]


@settings(max_examples=60, deadline=None)
@given(roles=st.lists(ROLES, min_size=1, max_size=7), tools=st.booleans())
def test_no_word_is_lost_in_any_conversation(
    unlike: list[ChatTemplate], roles: list[str], tools: bool
) -> None:
    """Any order of roles: all words stand in the prompt, once, or the template refuses it."""
    messages = [message(role, f"wor{i}d") for i, role in enumerate(roles)]
    for template in unlike:
        with contextlib.suppress(Refused):
            text = rendered(template, messages, [TOOL] if tools else None)
            assert [text.count(message["content"]) for message in messages] == [1] * len(messages)
            assert text.endswith(messages[-1]["content"]) is (roles[-1] == "assistant")


class Refused(Exception):
    """Gemma wants user and assistant to alternate."""


def rendered(
    template: ChatTemplate, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> str:
    """The prompt's text."""
    try:
        return template.render(messages, tools).text
    except TemplateError as error:
        if "must alternate" in str(error):
            raise Refused from error
        raise


CONVERSATIONS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = {
    "question": ([ASK], None),
    "talk": ([ASK, SAID, MORE], None),
    "system": ([BRIEF, ASK, SAID, MORE], None),
    "two systems": ([BRIEF, FRENCH, ASK], None),
    "late system": ([BRIEF, ASK, SAID, FRENCH, MORE], None),
    "developer": ([message("developer", "Be brief."), ASK], None),
    "tools": ([BRIEF, ASK], [TOOL]),
    "a call": ([BRIEF, *with_call({"query": "Lisbon"}, "42")], [TOOL]),
    "after a call": ([BRIEF, *with_call({"query": "Lisbon"}, "42"), SAID, MORE], [TOOL]),
    "an answer to continue": ([BRIEF, ASK, message("assistant", "She is")], None),
}


@thorough
def test_every_template_of_llama_cpp(demo: Model, llama_cpp_models: Path) -> None:
    """Seventy real templates: no word of any conversation is lost, none is refused.

    Four do not work without tools, or without variables of their own, in transformers.
    """
    paths = list(llama_cpp_models.glob("*.jinja"))
    assert len(paths) > 65
    for path in paths:
        template = ChatTemplate(path.read_text(encoding="utf-8"), demo)
        for name, (messages, tools) in CONVERSATIONS.items():
            text = template.render(messages, tools).text
            wanted = [message["content"] for message in messages]
            wanted += ["Lisbon"] if any("tool_calls" in message for message in messages) else []
            wanted += ["Search the notes."] if tools else []
            missing = [words for words in wanted if words not in text]
            assert not missing, f"{path.name}: {name}: {missing}"
            if name == "an answer to continue":
                assert text.endswith("She is"), path.name
