"""Tools: checked, described, called by grammar, and read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from longctx._native import Context, ContextParams, Model, Sampler
from longctx.chat import ChatTemplate, check_tools, expect_answer
from longctx.chat.calls import BARE, AnswerFormat, CallFormat, call_grammar, no_call_grammar
from longctx.chat.calls.answer_reader import read_answer
from longctx.chat.calls.format import HERMES
from longctx.errors import ToolError
from longctx.grammar import TokenTable
from longctx.sampling import Sampling
from longctx.tokens.special_tokens import SpecialTokens
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
    """Its template knows no tools: name, description, schema and form stand in the system's."""
    template = ChatTemplate(demo.chat_template(), demo)
    assert not template.supports_tools
    assert template.answers.calls == BARE
    messages = [SYSTEM, {"role": "user", "content": "Find x."}]
    text = template.render(messages, [TOOL]).text
    system = text.split("<|im_end|>")[0]
    for part in ("Be brief.", "find", "Search the notes.", '"required": ["query"]', '"arguments"'):
        assert part in system
    assert template.count(messages, [TOOL]) > template.count(messages)


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
    """Gemma 2 refuses system messages, so the first user message begins with the tools."""
    template = ChatTemplate(template_text(llama_cpp_models, "google-gemma-2-2b-it"), demo)
    text = template.render([{"role": "user", "content": "Find x."}], [TOOL]).text
    assert text.index("Search the notes.") < text.index("Find x.")
    assert text.count("<start_of_turn>user") == 1


@pytest.mark.parametrize(
    ("name", "supports", "form"),
    [
        ("Qwen-Qwen2.5-7B-Instruct", True, "<tool_call>"),
        ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", True, "<tool_call>"),
        ("meta-llama-Llama-3.1-8B-Instruct", True, ""),
        ("Qwen3-Coder", True, "<tool_call>"),
        ("mistralai-Mistral-Nemo-Instruct-2407", True, "[TOOL_CALLS]"),
        ("microsoft-Phi-3.5-mini-instruct", False, ""),
    ],
)
def test_templates_with_tools_of_their_own(
    name: str, supports: bool, form: str, vocabulary: Vocabularies, llama_cpp_models: Path
) -> None:
    """What a template can do is found by rendering it."""
    template = ChatTemplate(template_text(llama_cpp_models, name), vocabulary("qwen2"))
    assert template.supports_tools is supports
    assert template.answers.calls.begins[:1] == ((form,) if form else ())


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

TOOLS = {"find": TOOL["function"]["parameters"]}


def calls_of(text: str, calls: CallFormat) -> list[Any]:
    """Arguments of the calls that are read."""
    answer = read_answer(text, AnswerFormat(calls), TOOLS)
    return [json.loads(call.arguments) for call in answer.calls]


@pytest.mark.parametrize(
    ("text", "calls", "expected"),
    [
        (CALL, BARE, [{"query": "x"}]),
        (f" {CALL}\n", BARE, [{"query": "x"}]),
        (f"[{CALL}, {CALL}]", BARE, [{"query": "x"}, {"query": "x"}]),
        ('{"name": "find", "parameters": {"query": "y"}}', BARE, [{"query": "y"}]),
        ('{"name": "find", "arguments": "{\\"query\\": \\"y\\"}"}', BARE, [{"query": "y"}]),
        ('{"arguments": {"query": "y"}, "name": "find"}', BARE, [{"query": "y"}]),
        ('{"name": "find"}', BARE, [{}]),
        (f"<tool_call>\n{CALL}\n</tool_call>", HERMES, [{"query": "x"}]),
        (
            f"I look.\n<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}",
            HERMES,
            [{"query": "x"}] * 2,
        ),
    ],
)
def test_calls_are_read(text: str, calls: CallFormat, expected: list[dict[str, Any]]) -> None:
    """Bare JSON, lists and Hermes' blocks, the last one unclosed or not."""
    assert calls_of(text, calls) == expected


@pytest.mark.parametrize("calls", [BARE, HERMES])
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
        f"```\n<tool_call>{CALL}</tool_call>\n```",
        "<tool_call>find(x)</tool_call>",
        "[" * 100_000,
    ],
)
def test_words_are_no_calls(text: str, calls: CallFormat) -> None:
    """Anything else is an answer in words, and none of them is lost."""
    answer = read_answer(text, AnswerFormat(calls), TOOLS)
    assert (answer.text, answer.calls) == (text, ())


# Grammars


class Inner(BaseModel):
    """A nested argument."""

    flag: bool


class Tree(BaseModel):
    """An argument that contains itself."""

    children: list[Tree]
    inner: Inner


def grammar_of(model: Model, tools: list[dict[str, Any]], calls: CallFormat = BARE) -> Any:
    """What holds an answer to one call of these."""
    functions = [tool["function"] for tool in check_tools(tools)]
    parameters = {function["name"]: function["parameters"] for function in functions}
    return call_grammar(calls, parameters, SpecialTokens.of(model).partition)


def test_required_means_one_call_of_a_known_tool(demo: Model) -> None:
    """Nothing but a call that the schema allows gets through."""
    grammar = grammar_of(demo, [TOOL])
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


def test_several_calls(demo: Model) -> None:
    """As many as the model likes, where its format has several."""
    block = f"<tool_call>\n{CALL}\n</tool_call>"
    grammar = grammar_of(demo, [TOOL], HERMES)
    assert [accepts(demo, grammar, text) for text in (block, f"{block}\n{block}", CALL)] == [
        True,
        True,
        False,
    ]


def test_none_allows_words_alone(demo: Model) -> None:
    """Where no tool may be called, no answer has a call in it."""
    partition = SpecialTokens.of(demo).partition
    bare, hermes = (no_call_grammar(calls, partition) for calls in (BARE, HERMES))
    assert accepts(demo, bare, "Paris {is} nice.")
    assert not accepts(demo, bare, CALL)
    assert accepts(demo, hermes, "<tool> Paris")
    assert not accepts(demo, hermes, f"So: <tool_call>\n{CALL}")


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
    grammar = grammar_of(demo, tools)
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
def test_schemas_that_make_no_grammar(parameters: Any, demo: Model) -> None:
    """What no grammar can hold, or would have to be fetched, is a ToolError."""
    with pytest.raises(ToolError):
        grammar_of(demo, [make_tool("find", parameters)])


def expected(model: Model, tools: list[Any], choice: Any) -> Any:
    """What an answer in ChatML is held to."""
    return expect_answer(ChatTemplate(None, model), "", [], tools, choice, None)


@pytest.mark.parametrize("choice", ["maybe", {}, {"function": {"name": "lose"}}, None, 3])
def test_a_choice_that_is_none(choice: Any, demo: Model) -> None:
    """A tool that was not passed cannot be chosen."""
    with pytest.raises(ToolError, match="find"):
        expected(demo, [TOOL], choice)


def test_required_needs_tools(demo: Model) -> None:
    """There is nothing to require."""
    with pytest.raises(ToolError, match="no tools"):
        expected(demo, [], "required")


def test_a_model_of_noise_calls_a_tool(tiny_gguf: TinyGguf) -> None:
    """Random weights, held by the grammar, write a call that can be read."""
    model = Model(tiny_gguf("llama"))
    parameters = {
        "type": "object",
        "properties": {"unit": {"enum": ["C", "F"]}, "exact": {"type": "boolean"}},
        "required": ["unit", "exact"],
    }
    grammar = grammar_of(model, [make_tool("weather", parameters)])
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
        text = model.decode_bytes(written).decode()
        (call,) = read_answer(text, AnswerFormat(BARE), {"weather": parameters}).calls
        assert set(json.loads(call.arguments)) == {"unit", "exact"}
    context.close()


def test_thoughts_stay_where_calls_are_written_in_words(demo: Model) -> None:
    """A template that knows thoughts and no tools shows both."""
    source = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
        "{% if m.reasoning_content %}{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}"
        "{{ m.content + '<|im_end|>\\n' }}{% endfor %}"
    )
    ask, said, result = with_call({"query": "x"}, "found it")
    said["reasoning_content"] = "I look it up."
    text = ChatTemplate(source, demo).render([ask, said, result], [TOOL]).text
    assert f"<think>I look it up.</think>{CALL}<|im_end|>" in text
