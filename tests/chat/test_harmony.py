"""Calls of gpt-oss under ``auto``: held from the header on, in every form that it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from longctx._native import Model
from longctx.chat import ChatTemplate, expect_answer
from longctx.grammar import Guide, TokenTable
from longctx.types import Message
from tests.chat.families import called, read

TEMPLATE = (
    "{% if tools %}{{ '<|start|>developer<|message|>' + (tools | tojson) + '<|end|>' }}{% endif %}"
    "{% for m in messages %}{% if m.tool_calls %}{% set f = m.tool_calls[0].function %}"
    "{{ '<|start|>assistant<|channel|>commentary to=functions.' + f.name }}"
    "{{ ' <|constrain|>json<|message|>' + (f.arguments | tojson) + '<|call|>' }}{% else %}"
    "{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
HEADERS = {
    "as the format has it": "<|channel|>commentary to=functions.look <|constrain|>json<|message|>",
    "to whom first": " to=functions.look<|channel|>commentary <|constrain|>json<|message|>",
    "without constrain": "<|channel|>commentary to=functions.look<|message|>",
    "json by itself": "<|channel|>commentary to=functions.look json<|message|>",
    "in analysis": "<|channel|>analysis to=functions.look code<|message|>",
    "after a thought": "<|channel|>analysis<|message|>I look.<|end|><|start|>assistant"
    "<|channel|>commentary to=functions.look <|constrain|>json<|message|>",
    "after words": "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
    " to=functions.look<|channel|>commentary json<|message|>",
}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Looks.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"enum": cities}},
                "required": ["city"],
            },
        },
    }
    for name, cities in (("look", ["Rome", "Oslo"]), ("look_up", ["Bern"]))
]
PARAMETERS = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}
ASK = [Message(role="user", content="How is the weather in Oslo?")]


@pytest.fixture(scope="module")
def template(demo: Model) -> ChatTemplate:
    """The template, over the demo model's vocabulary."""
    return ChatTemplate(TEMPLATE, demo)


@pytest.fixture(scope="module")
def tokens(demo: Model) -> TokenTable:
    """Its tokens."""
    return TokenTable(demo)


@pytest.fixture
def guide(template: ChatTemplate, tokens: TokenTable) -> Guide:
    """Of an answer that may call."""
    prompt = template.render(ASK, TOOLS).text
    expected = expect_answer(template, prompt, ASK, TOOLS, "auto", None)
    assert expected.guide is not None
    return expected.guide(tokens)


def allows(guide: Guide, model: Model, text: str) -> bool:
    """Write a text, token by token; whether each was allowed."""
    for token in model.encode(text, parse_special=True):
        mask = guide.mask()
        if mask is not None and not mask[token // 32] >> (token % 32) & 1:
            return False
        guide.accept(token)
    return True


@pytest.mark.parametrize("name", HEADERS)
def test_a_call_is_held_in_every_form(
    name: str, guide: Guide, template: ChatTemplate, demo: Model
) -> None:
    """Its arguments are by the schema of the tool that it names; what is let through is read."""
    header = HEADERS[name]
    assert allows(guide, demo, header)
    assert guide.mask() is not None
    assert allows(guide, demo, '{"city": "Oslo"}')
    assert guide.has_ended
    answer = read(header + '{"city": "Oslo"}', template.answers, PARAMETERS)
    assert called(answer) == [("look", {"city": "Oslo"})]


@pytest.mark.parametrize("arguments", ['{"city": "Bern"}', '{"town": "Oslo"}', "Oslo", "[]"])
@pytest.mark.parametrize("name", HEADERS)
def test_other_arguments_are_not_let_through(
    name: str, arguments: str, guide: Guide, demo: Model
) -> None:
    """Those of another tool neither."""
    assert allows(guide, demo, HEADERS[name])
    assert not allows(guide, demo, arguments)


@pytest.mark.parametrize("name", HEADERS)
def test_no_other_tool_is_named(name: str, guide: Guide, demo: Model) -> None:
    """Nor is a name that only begins as one does."""
    assert not allows(guide, demo, HEADERS[name].replace(".look", ".looks"))


@pytest.mark.parametrize(
    "words",
    [
        "<|channel|>final<|message|>Write to=functions.nothing in the header.",
        "<|channel|>analysis<|message|>Shall I call to=functions.nothing?<|end|><|start|>assistant"
        "<|channel|>final<|message|>to=functions.nothing is none.",
        "Words without a header, and to=functions.nothing.",
    ],
)
def test_what_is_said_is_free(words: str, guide: Guide, demo: Model) -> None:
    """Of calls too, and in thoughts."""
    assert allows(guide, demo, words)
    assert guide.mask() is None


def test_the_longer_name_has_its_own_schema(guide: Guide, demo: Model) -> None:
    """One tool's name begins with another's."""
    header = "<|channel|>commentary to=functions.look_up json<|message|>"
    assert allows(guide, demo, header + json.dumps({"city": "Bern"}))
    assert guide.has_ended
