"""Calls in every shape: found by rendering, read, held to, and in a conversation again."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx import LongContextLLM, Message, RequestError
from longctx._native import Model
from longctx.agents import Agent, tool
from longctx.chat import PromptTemplate
from longctx.chat.calls import AnswerGuide, call_grammar
from longctx.chat.calls.answer_reader import ReadAnswer, read_answer
from longctx.chat.calls.probe import PROBE_TOOLS
from longctx.grammar import TokenTable
from longctx.tokens.special_tokens import SpecialTokens
from longctx.types import ToolCall
from tests.chat.call_shapes import CALL_SHAPES, SOME, THINKS
from tests.chat.families import Family, called, read
from tests.models import TINY
from tests.support.thorough import quick

STYLES = {name: PromptTemplate(source).answers for name, source in CALL_SHAPES.items()}
TOOLS = {
    "look": {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "n": {"type": "integer"},
            "deep": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["text"],
    }
}
NAMED = {"type": "function", "function": {"name": "look"}}
ASK = [{"role": "user", "content": "The code of room 7 is 4821. What is it?"}]


class Written(Family):
    """A template of ours."""

    def __init__(self, source: str) -> None:
        self.__dict__["template"] = PromptTemplate(source)


def rendered(name: str, arguments: dict[str, Any], words: str = "") -> str:
    """The assistant's message, as the template has it."""
    template = PromptTemplate(CALL_SHAPES[name])
    call = {"type": "function", "function": {"name": "look", "arguments": arguments}}
    message = {"role": "assistant", "content": words, "tool_calls": [call]}
    text = template.render([ASK[0], message], None, add_generation_prompt=False)
    return text.split("<|im_start|>assistant\n")[1].removesuffix("<|im_end|>\n")


@pytest.mark.parametrize("name", quick(CALL_SHAPES, *SOME))
def test_a_shape_is_found_by_rendering(name: str) -> None:
    """One call and two come back; where two are refused, one."""
    family = Written(CALL_SHAPES[name])
    assert family.reads(1)
    assert family.reads(2) in (True, None)


@pytest.mark.parametrize("name", quick(CALL_SHAPES, *SOME))
@settings(max_examples=40, deadline=None)
@given(
    text=st.text(st.sampled_from("ab \n{}[]()\"'\\,:=é日<>/"), min_size=1, max_size=12),
    n=st.integers(-99, 99),
    deep=st.lists(st.sampled_from(["a", "b c", ""]), max_size=3),
)
def test_what_is_rendered_is_read(name: str, text: str, n: int, deep: list[str]) -> None:
    """Whatever the arguments hold, in pieces of one character too."""
    if "Python" in name or "Gemma" in name:  # these templates quote nothing
        text = "".join(c for c in text if c.isalnum()) or "a"
    arguments = {"text": text, "n": n, "deep": deep}
    answer = read(rendered(name, arguments), STYLES[name], TOOLS)
    assert called(answer) == [("look", arguments)]


@pytest.mark.parametrize("name", quick(CALL_SHAPES, *SOME))
def test_half_a_surrogate_pair_ends_no_conversation(name: str) -> None:
    """An escape of JSON that no text can hold: such a call can be sent, and stand in a prompt."""
    text = rendered(name, {"text": "x", "n": 3, "deep": ["HALF x"]}).replace("HALF", "\\ud800")
    (call,) = read(text, STYLES[name], TOOLS).calls
    call.arguments.encode()
    known = ToolCall.parsed("1", call.name, call.arguments)
    assert known.arguments["deep"] in (["\N{REPLACEMENT CHARACTER} x"], ["\\ud800 x"])
    known.model_dump_json()
    rendered(name, known.arguments).encode()


@pytest.mark.parametrize("name", [name for name in CALL_SHAPES if "bare" not in name])
def test_words_before_a_call_and_calls_in_code(name: str) -> None:
    """Words stay words; a call that is quoted in a code block, or of a tool unknown, is text."""
    call = rendered(name, {"text": "x"})
    assert read(f"I look.\n\n{call}", STYLES[name], TOOLS).text.strip() == "I look."
    for text in (f"Write:\n```\n{call}\n```\nSo.", call.replace("look", "cook")):
        answer = read(text, STYLES[name], TOOLS)
        assert (answer.text, answer.calls) == (text, ())


@pytest.mark.parametrize("name", quick(CALL_SHAPES, *SOME))
def test_a_call_that_breaks_off_is_no_call(name: str) -> None:
    """Cut anywhere before its arguments end, it is text, and none of it is lost."""
    call = rendered(name, {"text": "some words", "n": 3})
    end = call.index("some words") + 4
    for cut in (end // 2, end):
        answer = read(call[:cut], STYLES[name], TOOLS)
        assert (answer.text.strip(), answer.calls) == (call[:cut].strip(), ())


@pytest.mark.parametrize("name", quick(CALL_SHAPES, *SOME))
def test_a_model_is_held_to_the_shape(name: str) -> None:
    """What a small model writes under "required" is a call that the schema allows."""
    parameters = {
        "type": "object",
        "properties": {"unit": {"enum": ["C", "F"]}, "n": {"type": "integer", "maximum": 9}},
        "required": ["unit", "n"],
    }
    schema = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    with LongContextLLM(TINY, 1024, n_threads=1, chat_template=CALL_SHAPES[name]) as llm:
        for seed in range(3):
            options: Any = {"temperature": 1.0, "seed": seed, "max_tokens": 200}
            answer = llm.chat(ASK, tools=[schema], tool_choice=NAMED, **options)
            assert answer.finish_reason == "tool_calls", answer.text
            for call in answer.tool_calls:
                assert call.arguments["unit"] in ("C", "F")
                assert call.arguments["n"] <= 9
            with llm.stream_chat(ASK, tools=[schema], tool_choice=NAMED, **options) as stream:
                deltas = [delta for chunk in stream for delta in chunk.tool_calls]
            text = "".join(delta.arguments for delta in deltas if delta.index == 0)
            assert json.loads(text) == stream.result.tool_calls[0].arguments
            # The answer and its result go on in the same words.
            result = {"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": "7"}
            after = llm.chat([*ASK, answer.message, result], tools=[schema], max_tokens=1)
            assert after.usage.cached_tokens >= answer.usage.prompt_tokens


@pytest.mark.parametrize("name", quick(CALL_SHAPES, *SOME))
def test_an_agent_runs_the_tool(name: str) -> None:
    """A loop over the small model, its first answer a call in the family's own format."""
    heard = []

    @tool
    def look(room: Literal["seven", "eight"]) -> str:
        """Look into a room."""
        heard.append(room)
        return "The code is 4821."

    with LongContextLLM(TINY, 2048, n_threads=1, chat_template=CALL_SHAPES[name]) as llm:
        agent = Agent(llm, tools=[look], max_steps=2)
        agent.run("What is the code of room seven?", tool_choice=NAMED, max_tokens=60)
        assert set(heard) <= {"seven", "eight"}
        assert heard


# Guides


def drive(guide: AnswerGuide, model: Model, text: str) -> bool:
    """Write a text token by token, each allowed; whether the answer ends there."""
    for token in model.encode(text, parse_special=True):
        mask = guide.mask()
        assert mask is None or mask[token // 32] >> (token % 32) & 1, model.decode_bytes([token])
        guide.accept(token)
    return guide.has_ended


@pytest.mark.parametrize("name", quick(CALL_SHAPES, *SOME))
def test_auto_holds_from_where_a_call_begins(name: str, demo: Model) -> None:
    """Words are free; the family's own call is what may be written, and is held to."""
    one, _ = Written(CALL_SHAPES[name]).rendered()
    tokens, style = TokenTable(demo), STYLES[name]
    calls = call_grammar(style.calls, PROBE_TOOLS, SpecialTokens.of(demo).partition)

    def guide() -> AnswerGuide:
        return AnswerGuide(tokens, style, calls=calls, names=tuple(PROBE_TOOLS))

    free, held = guide(), guide()
    assert not drive(free, demo, 'Words {"and": 1} <b> more.')
    assert free.mask() is None
    drive(held, demo, ("" if "bare" in name else "Words. ") + one.strip())
    assert held.mask() is not None


# Thoughts


def test_thoughts_are_kept_apart() -> None:
    """In the answer, in its stream, in its count; the template puts them back."""
    style = PromptTemplate(THINKS).answers
    assert style.thinking == ("<think>", "</think>")
    text = "I see.\n</think>\n\n4821."
    answer = read_answer(text, style, {}, head="<think>")
    assert answer == ReadAnswer("4821.", "I see.", ())
    said = Message(role="assistant", content=answer.text, reasoning=answer.reasoning)
    assert said == Message.model_validate(
        {"role": "assistant", "content": "4821.", "reasoning_content": "I see."}
    )
    with LongContextLLM(TINY, 1024, n_threads=1, chat_template=THINKS) as llm:
        thinking = llm.chat(ASK, max_tokens=12)
        assert thinking.reasoning
        assert not thinking.text
        assert thinking.usage.reasoning_tokens == 12
        with llm.stream_chat(ASK, max_tokens=12) as stream:
            assert "".join(chunk.reasoning for chunk in stream).strip() == thinking.reasoning
        plain = llm.chat(ASK, max_tokens=12, thinking=False)
        assert plain.text
        assert not plain.reasoning
        same = llm.chat(ASK, max_tokens=12, template_options={"enable_thinking": False})
        assert same.text == plain.text
        held = llm.detokenize(llm.prompt_ids([*ASK, said, *ASK]))
        assert "<think>\nI see.\n</think>\n\n4821." in held


def test_a_schema_holds_what_follows_the_thoughts() -> None:
    """Thoughts are free, and the answer behind them is not."""
    with LongContextLLM(TINY, 1024, n_threads=1, chat_template=THINKS) as llm:
        answer = llm.chat(ASK, max_tokens=30, thinking=False, response_schema={"enum": ["a", "b"]})
        assert answer.text in ('"a"', '"b"')


def test_a_budget_closes_the_thought() -> None:
    """After so many tokens the mark is written, and what was asked for follows it."""
    schema = {"type": "function", "function": {"name": "look", "parameters": TOOLS["look"]}}
    with LongContextLLM(TINY, 1024, n_threads=1, chat_template=THINKS) as llm:
        free = llm.chat(ASK, max_tokens=40, thinking_budget=6)
        assert 6 <= free.usage.reasoning_tokens < 20
        assert free.text
        held = llm.chat(ASK, max_tokens=40, thinking_budget=6, response_schema={"enum": ["a", "b"]})
        assert held.text in ('"a"', '"b"')
        called = llm.chat(
            ASK, max_tokens=200, thinking_budget=6, tools=[schema], tool_choice=NAMED,
            temperature=1.0, seed=3,
        )  # fmt: skip
        assert called.reasoning
        assert called.tool_calls
        with pytest.raises(RequestError, match="thinking_budget"):
            llm.chat(ASK, thinking_budget=0)


@pytest.mark.parametrize("options", [{"thinking": True}, {"thinking": "low"}, {"thinking": 3}])
def test_no_switch_is_an_error(options: Any) -> None:
    """What the template does not look up is refused, not ignored."""
    shape = next(iter(CALL_SHAPES.values()))
    with (
        LongContextLLM(TINY, 1024, n_threads=1, chat_template=shape) as llm,
        pytest.raises(RequestError, match="thinking"),
    ):
        llm.chat(ASK, max_tokens=1, **options)


def test_variables_of_the_templates() -> None:
    """Known by their names; others are an error that lists them."""
    with LongContextLLM(TINY, 1024, n_threads=1, chat_template=THINKS) as llm:
        for wrong in ({"messages": []}, {"nothing": 1}, [1]):
            with pytest.raises(RequestError, match="template"):
                llm.chat(ASK, max_tokens=1, template_options=wrong)  # type: ignore[typeddict-item]
