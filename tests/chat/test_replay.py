"""What was rendered and cut before is not again, and the prompt is the same to the token."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from longctx._native import Model
from longctx.chat import ChatTemplate, PromptTemplate
from longctx.chat.held_values import MOST_HELD
from longctx.chat.jinja_sandbox import FULL_LIMITS, compile_template
from longctx.chat.prompt_tokens import PromptTokens
from longctx.chat.replay import Recorder
from longctx.chat.seen_values import n_same, same
from longctx.errors import TemplateError
from longctx.tokens.fragment_memory import FragmentMemory
from longctx.tokens.special_tokens import SpecialTokens
from tests.chat.histories import WEATHER, growing
from tests.support.thorough import thorough

TOOLS: Any = [WEATHER]
OPTIONS: Any = (None, {"enable_thinking": False}, {"enable_thinking": True})


class _Generation(Extension):
    tags = {"generation"}  # noqa: RUF012  # Jinja's own declaration

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Plain(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up, with nothing of ours."""

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True,
            extensions=[_Generation, "jinja2.ext.loopcontrols"],
        )  # fmt: skip
        self.filters["tojson"] = self._json
        self.globals.update(raise_exception=self._refuse, strftime_now=lambda _: "today")

    @staticmethod
    def _json(
        value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, default=list, **more)

    @staticmethod
    def _refuse(message: str) -> str:
        raise ValueError(message)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr in ("append", "pop") or super().is_safe_attribute(obj, attr, value)


@pytest.fixture(scope="module")
def templates(llama_cpp_models: Path) -> dict[str, str]:
    """All that llama.cpp carries."""
    return {p.stem: p.read_text(encoding="utf-8") for p in sorted(llama_cpp_models.glob("*.jinja"))}


def outcome(render: Any) -> str:
    """A text, or a refusal."""
    try:
        return str(render())
    except Exception as error:
        return f"refused: {type(error).__name__}"


def rendered(template: PromptTemplate, *args: Any, **options: Any) -> str:
    """A text, or the refusal in its own words."""
    try:
        return template.render(*args, **options)
    except TemplateError as error:
        return f"refused: {error}"


@thorough
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_every_template_goes_on_as_if_it_began(templates: dict[str, str], seed: int) -> None:
    """With tools, thoughts, several calls, late system messages; forked, cut and changed."""
    for name, source in templates.items():
        template, kept = PromptTemplate(source), PromptTemplate(source)
        chance = Random(seed)
        options, tools = chance.choice(OPTIONS), chance.choice((None, TOOLS))
        text_arguments = template.traits.text_arguments
        for messages in growing(chance, n_turns=8, text_arguments=text_arguments):
            more: Any = {"options": options, "add_generation_prompt": chance.random() < 0.7}
            expected = rendered(template, messages, tools, **more)
            assert rendered(kept, messages, tools, keep=True, **more) == expected, name


@thorough
def test_loops_that_end_early_write_what_jinja_writes(templates: dict[str, str]) -> None:
    """Every template, rewritten and not."""
    plain = _Plain()
    n = 0
    for name, source in templates.items():
        if "strftime_now" in source:  # of another day
            continue
        template, compiled = plain.from_string(source), compile_template(source)
        text_arguments = PromptTemplate(source).traits.text_arguments
        for messages in growing(Random(7), n_turns=3, text_arguments=text_arguments):
            variables = {
                "messages": messages, "tools": TOOLS, "add_generation_prompt": True,
                "bos_token": "<s>", "eos_token": "</s>",
            }  # fmt: skip
            expected = outcome(lambda t=template, v=variables: t.render(**v))
            found = outcome(lambda c=compiled, v=variables: c(v, FULL_LIMITS))
            assert found.startswith("refused") == expected.startswith("refused"), name
            if not found.startswith("refused"):
                assert found == expected, name
                n += 1
    assert n > 120


FIRST, LAST = "{{ messages[0].content }}", "{{ messages[-1].content }}"
READS = {
    "the message": ("{{ m.content }}", True),
    "the first": (FIRST, True),
    "the one before": ("{{ (loop.previtem or m).content }}", True),
    "an option": ("{{ m.content }}{{ x }}", True),
    "a flag": ("{% if ns.a %}{{ m.content }}{% endif %}{% set ns.a = not ns.a %}", True),
    "the calls in order": ("{% set ns.a = ns.a + 1 %}{{ ns.a }}{{ m.content }}", True),
    "a macro": ("{% macro f(y) %}{{ y.content }}{{ ns.a }}{% endmacro %}{{ f(m) }}", True),
    "one of its own": ("{% set own = namespace(b=1) %}{% set own.b = 2 %}{{ own.b }}", True),
    "what a break leaves": ("{% if loop.index0 > 60 %}{% break %}{% endif %}{{ m.content }}", True),
    "the last": (LAST, False),
    "the length": ("{{ messages | length }}", False),
    "the length of the loop": ("{{ loop.length }}", False),
    "from behind": ("{{ loop.revindex }}", False),
    "all": ("{% for o in messages %}{{ o.content[:1] }}{% endfor %}", False),
    "all by a filter": ("{{ messages | map(attribute='role') | join }}", False),
    "all as text": ("{{ messages | string | length }}", False),
    "all as JSON": ("{{ messages | tojson | length }}", False),
    "whether it is among them": ("{{ m in messages }}", False),
}


@pytest.mark.parametrize("name", READS)
def test_a_turn_is_replayed_where_what_it_reads_is_there(name: str) -> None:
    """And nowhere else: nothing of it where it reads what follows."""
    body, is_replayed = READS[name]
    source = "{% set ns = namespace(a=0) %}{% for m in messages %}" + body + "{% endfor %}"
    compiled = compile_template(source)
    messages = [{"role": "user", "content": f"{i} said"} for i in range(40)]
    before = None
    for n in (30, 31, 35, 40):
        variables = {"messages": messages[:n], "x": 5}
        n_alike = n_same(before.messages, messages[:n]) if before else 0
        recorder = Recorder(messages[:n], before, n_alike)
        text = compiled(variables, FULL_LIMITS, recorder)
        assert text == compiled(variables, FULL_LIMITS)
        if before is not None:
            assert (recorder.n_replayed >= n_alike - 1) == is_replayed
            assert is_replayed or not recorder.n_replayed
        before = recorder.recording()


def held(value: Any, seen: dict[int, int]) -> None:
    """The lengths of all texts in a value, by their ids."""
    if isinstance(value, str):
        seen[id(value)] = len(value)
    elif isinstance(value, dict):
        for item in value.values():
            held(item, seen)
    elif isinstance(value, list | tuple):
        seen[id(value)] = len(value)
        for item in value:
            held(item, seen)


@pytest.mark.parametrize(
    ("gathers", "is_kept"),
    [
        ("{% set ns.a = ns.a ~ m.content %}", False),
        ("{% set ns.b = [ns.a] %}{% set ns.a = ns.a ~ m.content %}", False),
        pytest.param("{% set ns.b = ns.b + [m.content] %}", False, marks=thorough),
        ("{% set ns.a = messages[0].content %}{% set ns.b = [ns.a] %}", True),
        ("{% set ns.a = m.content %}", True),
    ],
)
def test_a_recording_does_not_outgrow_its_conversation(gathers: str, is_kept: bool) -> None:
    """Where turns gather what was said, few are kept; a value that all of them hold counts once."""
    source = "{% set ns = namespace(a='', b=[]) %}{% for m in messages %}" + gathers
    source += "{{ m.content }}{{ ns.a[:9] }}{% endfor %}"
    compiled = compile_template(source)
    messages = [{"role": "user", "content": f"{i} said" + "." * 400} for i in range(2000)]
    before = None
    for _ in range(2):
        recorder = Recorder(messages, before, len(messages) if before else 0)
        text = compiled({"messages": messages}, FULL_LIMITS, recorder)
        assert text == compiled({"messages": messages}, FULL_LIMITS)
        if before is not None:
            assert (recorder.n_replayed >= len(messages) - 1) == is_kept
        before = recorder.recording()
        sizes: dict[int, int] = {}
        for loop in before.loops.values():
            for turn in loop.turns:
                if turn is not None:
                    held([*turn.reads.values(), *turn.writes.values()], sizes)
        in_messages = sum(len(message["content"]) for message in messages)
        assert sum(sizes.values()) <= MOST_HELD + in_messages
        assert before.n_characters >= len(text) + (0 if is_kept else MOST_HELD // 2)


def test_another_variable_is_another_rendering() -> None:
    """Outside of the loop, by value and kind; in a namespace, too."""
    compiled = compile_template(
        "{% set ns = namespace(a=x) %}{% set y = [x] %}"
        "{% for m in messages %}{{ ns.a }}{{ y }}{{ m.content }}{% endfor %}"
    )
    messages = [{"role": "user", "content": "said"}] * 20
    before = None
    for x in (1, True, 1.0, "1", None, 0.0, -0.0, {"a": 1}, {"a": True}):
        recorder = Recorder(messages, before, len(messages))
        variables = {"messages": messages, "x": x}
        assert compiled(variables, FULL_LIMITS, recorder) == compiled(variables, FULL_LIMITS)
        assert not recorder.n_replayed
        before = recorder.recording()


def test_what_is_written_alike_is_the_same() -> None:
    """And nothing else."""
    alike: Any = [1, "a", None, {"a": [1, {"b": 2.5}]}, [True], 1e300]
    assert all(same(json.loads(json.dumps(value)), value) for value in alike)
    different: Any = [
        (1, True), (1, 1.0), (0.0, -0.0), ({"a": 1}, {"a": True}), ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ("1", 1), ([1], [1, 2]), (None, False),
    ]  # fmt: skip
    assert not any(same(left, right) or same(right, left) for left, right in different)


# Tokens


@pytest.fixture(scope="module")
def special(demo: Model) -> SpecialTokens:
    """The demo model's."""
    return SpecialTokens.of(demo)


def _texts(special: SpecialTokens, chance: Random) -> Iterator[str]:
    """A text that grows, and at times goes back; with tokens that are cut, and joined again."""
    marks = [token.text for token in special.tokens]
    pieces = [
        *marks,
        *(mark[:-1] for mark in marks),
        *(mark[1:] for mark in marks),
        "a b\n",
        "𐘀",
        " ",
    ]
    text = ""
    for _ in range(60):
        text += "".join(chance.choice(pieces) for _ in range(4))
        if chance.random() < 0.2:
            text = text[: chance.randrange(len(text))]
        yield text


@pytest.mark.parametrize("seed", range(8))
def test_a_text_that_goes_on_is_cut_as_if_it_were_new(
    demo: Model, special: SpecialTokens, seed: int
) -> None:
    """Wherever a token is cut in two, or another one begins."""

    def tokens() -> PromptTokens:
        return PromptTokens(demo, special, SpecialTokens(()), FragmentMemory())

    kept = tokens()
    for text in _texts(special, Random(seed)):
        assert kept.of(text, "𐘀") == tokens().of(text, "𐘀")


@pytest.mark.parametrize("seed", range(8))
def test_a_boundary_cuts_nothing(special: SpecialTokens, seed: int) -> None:
    """The parts on both sides are those of the whole."""
    for text in _texts(special, Random(seed)):
        ends = [0, *special.boundaries(text), len(text)]
        parts = [
            part for start, end in pairwise(ends) for part in special.partition(text[start:end])
        ]
        assert parts == special.partition(text)


def test_answers_are_remembered_where_the_prompt_is(demo: Model) -> None:
    """An answer's own ids, told later, count for the part that was cut before."""
    template = ChatTemplate(None, demo)
    talk: list[Mapping[str, Any]] = [{"role": "user", "content": "Hello"}]
    prompt = template.render(talk)
    talk += [{"role": "assistant", "content": "the answer"}, {"role": "user", "content": "More"}]
    before = template.render(talk).ids
    own: Sequence[int] = [demo.encode(char)[0] for char in "the answer"]
    assert demo.decode_bytes(own) == b"the answer"
    template.remember(prompt, "the answer", own)
    after = template.render(talk).ids
    assert after != before
    assert len(after) == len(before) + len(own) - len(demo.encode("the answer"))
