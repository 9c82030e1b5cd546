"""Tools: checked, described, called by grammar, and read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from longctx._native import Context, ContextParams, Model, Sampler
from longctx.chat import ChatTemplate, check_tools, parse_tool_calls, tool_grammar
from longctx.errors import ToolError
from longctx.grammar import TokenTable
from longctx.sampling import Sampling
from longctx.types import ToolCall
from tests.chat.conversations import SYSTEM, TOOL, with_call
from tests.chat.test_chat_template import template_text
from tests.conftest import TinyGguf
from tests.grammar.acceptor import accepts
from tests.support.vocabularies import Vocabularies

CALL = '{"name": "find", "arguments": {"query": "x"}}'


def make_tool(name: str, parameters: Any) -> dict[str, Any]:
    """A tool with these parameters."""
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


# Templates


def test_the_demo_model_gets_tools_in_words(demo: Model) -> None:
    """Its template knows no tools: name, description, schema and form stand in the system turn."""
    template = ChatTemplate(demo.chat_template(), demo)
    assert not template.supports_tools
    assert template.call_format == "json"
    turns = [SYSTEM, {"role": "user", "content": "Find x."}]
    text = template.render(turns, [TOOL]).text
    system = text.split("<|im_end|>")[0]
    for part in ("Be brief.", "find", "Search the notes.", '"required": ["query"]', '"arguments"'):
        assert part in system
    assert template.count(turns, [TOOL]) > template.count(turns)


def test_calls_and_results_in_words(demo: Model) -> None:
    """A call stays the JSON that was asked for, and its result is what the user says next."""
    template = ChatTemplate(demo.chat_template(), demo)
    second = {"role": "tool", "tool_call_id": "call_1", "content": "again"}
    last = {"role": "user", "content": "And?"}
    text = template.render([*with_call({"query": "x"}, "found it"), second, last], [TOOL]).text
    assert f"<|im_start|>assistant\n{CALL}<|im_end|>" in text
    results = "Result of find:\nfound it\n\nResult of find:\nagain\n\nAnd?"
    assert f"<|im_start|>user\n{results}<|im_end|>" in text
    assert "<|im_start|>tool" not in text


def test_tools_for_a_template_without_system_role(demo: Model, llama_cpp_models: Path) -> None:
    """Gemma 2 refuses system messages, so the first user turn begins with the tools."""
    template = ChatTemplate(template_text(llama_cpp_models, "google-gemma-2-2b-it"), demo)
    text = template.render([{"role": "user", "content": "Find x."}], [TOOL]).text
    assert text.index("Search the notes.") < text.index("Find x.")
    assert text.count("<start_of_turn>user") == 1


@pytest.mark.parametrize(
    ("name", "supports", "form"),
    [
        ("Qwen-Qwen2.5-7B-Instruct", True, "hermes"),
        ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", True, "hermes"),
        ("meta-llama-Llama-3.1-8B-Instruct", True, "json"),
        ("Qwen3-Coder", True, "json"),  # its <tool_call> holds XML
        ("microsoft-Phi-3.5-mini-instruct", False, "json"),
    ],
)
def test_templates_with_tools_of_their_own(
    name: str, supports: bool, form: str, vocabulary: Vocabularies, llama_cpp_models: Path
) -> None:
    """What a template can do is found by rendering it."""
    template = ChatTemplate(template_text(llama_cpp_models, name), vocabulary("qwen2"))
    assert template.supports_tools is supports
    assert template.call_format == form


# Definitions


@pytest.mark.parametrize(
    "tools",
    [
        "find",
        {"name": "find"},
        [3],
        [{"type": "function"}],
        [make_tool("", {})],
        [make_tool("two words", {})],
        [make_tool("<|im_end|>", {})],
        [make_tool("find", {"type": "string"})],
        [make_tool("find", "query")],
        [make_tool("find", {"type": "object", "default": {1, 2}})],
        [TOOL, TOOL],
        [{"type": "function", "function": {"name": "find", "description": 3}}],
    ],
)
def test_bad_definitions(tools: Any, demo: Model) -> None:
    """Each is a ToolError, from the check and from rendering."""
    with pytest.raises(ToolError):
        check_tools(tools)
    with pytest.raises(ToolError):
        ChatTemplate(None, demo).render([{"role": "user", "content": "Hi"}], tools)


# Answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CALL, [{"query": "x"}]),
        (f" {CALL}\n", [{"query": "x"}]),
        (f"```json\n{CALL}\n```", [{"query": "x"}]),
        (f"[{CALL}, {CALL}]", [{"query": "x"}, {"query": "x"}]),
        ('{"name": "find", "parameters": {"query": "y"}}', [{"query": "y"}]),
        ('{"name": "find", "arguments": "{\\"query\\": \\"y\\"}"}', [{"query": "y"}]),
        ('{"name": "find"}', [{}]),
        (f"<tool_call>\n{CALL}\n</tool_call>", [{"query": "x"}]),
        (f"I look.\n<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}", [{"query": "x"}] * 2),
    ],
)
def test_calls_are_read(text: str, expected: list[dict[str, Any]]) -> None:
    """Bare JSON, fenced JSON, lists and Hermes' blocks, the last one unclosed or not."""
    assert parse_tool_calls(text, ["find"]) == [
        ToolCall(id=f"call_{number}", name="find", arguments=arguments)
        for number, arguments in enumerate(expected, 1)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris.",
        "{",
        "[]",
        "null",
        '{"answer": 42}',
        '{"name": "other", "arguments": {}}',
        '{"name": ["find"], "arguments": {}}',
        '{"name": "find", "arguments": [1]}',
        '{"name": "find", "arguments": "not json"}',
        f"See: {CALL}",
        "<tool_call>find(x)</tool_call>",
        "[" * 100_000,
    ],
)
def test_words_are_no_calls(text: str) -> None:
    """Anything else is an answer in words."""
    assert parse_tool_calls(text, ["find"]) is None


# Grammars


class Inner(BaseModel):
    """A nested argument."""

    flag: bool


class Tree(BaseModel):
    """An argument that contains itself."""

    children: list[Tree]
    inner: Inner


def test_required_means_one_call_of_a_known_tool(demo: Model) -> None:
    """Nothing but a call that the schema allows gets through."""
    grammar = tool_grammar([TOOL], "required")
    assert grammar is not None
    assert accepts(demo, grammar, CALL)
    for text in (
        "",
        "Paris.",
        f"{CALL} and more",
        CALL.replace("find", "lose"),
        '{"name": "find", "arguments": {}}',
        '{"name": "find", "arguments": {"query": 3}}',
        '{"arguments": {"query": "x"}}',
    ):
        assert not accepts(demo, grammar, text)


def test_a_named_tool_excludes_the_others(demo: Model) -> None:
    """Only the named function may be called."""
    tools = [TOOL, make_tool("lose", {"type": "object", "properties": {}})]
    named = tool_grammar(tools, {"type": "function", "function": {"name": "lose"}})
    either = tool_grammar(tools, "required")
    assert named is not None
    assert either is not None
    lose = '{"name": "lose", "arguments": {}}'
    assert [accepts(demo, named, text) for text in (lose, CALL)] == [True, False]
    assert [accepts(demo, either, text) for text in (lose, CALL)] == [True, True]


def test_auto_allows_words_that_do_not_begin_like_a_call(demo: Model) -> None:
    """A call must be complete; words are free, also with braces further on."""
    grammar = tool_grammar([TOOL], "auto")
    assert grammar is not None
    for text in (CALL, "Paris.", "", "Paris {is} nice\n\n- ok", "日本", "<b>", "\nOk"):
        assert accepts(demo, grammar, text), text
    for text in ('{"answer": 42}', "{", f" {CALL.replace('find', 'lose')}", f"{CALL} more"):
        assert not accepts(demo, grammar, text), text
    assert tool_grammar([], "auto") is None


def test_none_allows_words_alone(demo: Model) -> None:
    """Where no tool may be called, no answer begins like a call."""
    grammar = tool_grammar([TOOL], "none")
    assert grammar is not None
    assert accepts(demo, grammar, "Paris {is} nice.")
    assert not accepts(demo, grammar, CALL)


def test_hermes_grammar(demo: Model) -> None:
    """Calls stand between the tags; words may begin with another tag, or with a brace."""
    auto = tool_grammar([TOOL], "auto", call_format="hermes")
    required = tool_grammar([TOOL], "required", call_format="hermes")
    assert auto is not None
    assert required is not None
    block = f"<tool_call>\n{CALL}\n</tool_call>"
    for text in (block, "Paris.", "<think>hm</think> Paris.", "<tool", '{"answer": 42}'):
        assert accepts(demo, auto, text), text
    for text in ("<tool_call>", "<tool_call>\nfind\n</tool_call>", f"{block} more"):
        assert not accepts(demo, auto, text), text
    assert accepts(demo, required, block)
    assert not accepts(demo, required, CALL)


def test_schemas_with_references_do_not_collide(demo: Model) -> None:
    """Two tools may define different things under one name, and a thing may contain itself."""
    other = {
        "type": "object",
        "properties": {"inner": {"$ref": "#/$defs/Inner"}, "root": {"type": "integer"}},
        "required": ["inner", "root"],
        "$defs": {"Inner": {"type": "string", "enum": ["a", "b"]}},
    }
    tools = [make_tool("grow", Tree.model_json_schema()), make_tool("cut", other)]
    # pydantic writes a recursive model as a bare reference; a tool's schema is an object.
    tools[0]["function"]["parameters"] = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Tree"}},
        "required": ["tree"],
        "$defs": Tree.model_json_schema()["$defs"],
    }
    grammar = tool_grammar(tools, "required")
    assert grammar is not None
    leaf = {"children": [], "inner": {"flag": True}}
    tree = {"children": [leaf], "inner": {"flag": False}}
    good = [
        {"name": "grow", "arguments": {"tree": tree}},
        {"name": "cut", "arguments": {"inner": "b", "root": 3}},
    ]
    bad = [
        {"name": "grow", "arguments": {"tree": {"children": [3], "inner": {"flag": True}}}},
        {"name": "grow", "arguments": {"tree": {"children": [], "inner": "b"}}},
        {"name": "cut", "arguments": {"inner": {"flag": True}, "root": 3}},
    ]
    assert [accepts(demo, grammar, json.dumps(call)) for call in good] == [True, True]
    assert [accepts(demo, grammar, json.dumps(call)) for call in bad] == [False, False, False]


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/Nothing"}}},
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/schema.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "other.json"}}},
        {"type": "object", "properties": {"a": {"type": "fancy"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?<=back)"}}},
        {"type": "object", "properties": 3},
        {"type": "object", "properties": {"a": 3}},
    ],
)
def test_schemas_that_make_no_grammar(parameters: Any) -> None:
    """What the converter cannot express, or would fetch, is a ToolError."""
    with pytest.raises(ToolError):
        tool_grammar([make_tool("find", parameters)], "required")


@pytest.mark.parametrize("choice", ["maybe", {}, {"function": {"name": "lose"}}, None, 3])
def test_a_choice_that_is_none(choice: Any) -> None:
    """A tool that was not passed cannot be chosen."""
    with pytest.raises(ToolError, match="find"):
        tool_grammar([TOOL], choice)


def test_required_needs_tools() -> None:
    """There is nothing to require."""
    with pytest.raises(ToolError, match="no tools"):
        tool_grammar([], "required")


def test_a_model_of_noise_calls_a_tool(tiny_gguf: TinyGguf) -> None:
    """Random weights, held by the grammar, write a call that can be read."""
    model = Model(tiny_gguf("llama"))
    parameters = {
        "type": "object",
        "properties": {"unit": {"enum": ["C", "F"]}, "exact": {"type": "boolean"}},
        "required": ["unit", "exact"],
    }
    grammar = tool_grammar([make_tool("weather", parameters)], "required")
    assert grammar is not None
    tokens = TokenTable(model)
    context = Context(model, ContextParams(n_ctx=512))
    prompt = ChatTemplate(model.chat_template(), model).render([{"role": "user", "content": "Hi"}])
    for seed in range(3):
        sampler = Sampler(model, Sampling(temperature=1.0, seed=seed))
        matcher = grammar.start(tokens)
        context.clear()
        context.decode(prompt.ids, 0)
        written: list[int] = []
        while len(written) < 400 and not matcher.has_ended:
            token = sampler.sample(context, mask=matcher.mask())
            matcher.accept(token)
            written.append(token)
            context.decode([token], len(prompt.ids) + len(written) - 1)
        calls = parse_tool_calls(model.decode_bytes(written).decode(), ["weather"])
        assert calls is not None
        assert set(calls[0].arguments) == {"unit", "exact"}
    context.close()
