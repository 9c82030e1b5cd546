"""What a chat template loses is said before it is used; another can take its place."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import llama_cpp
import pytest

from longctx.chat import CHATML, NAMED_TEMPLATES, PromptTemplate, find_template
from longctx.errors import TemplateError
from tests.chat import shapes
from tests.support.thorough import thorough

TALK = [
    {"role": "user", "content": "Hello there"},
    {"role": "assistant", "content": "Hi!"},
    {"role": "user", "content": "What is it?"},
]
# llama.cpp's own renderings by name; its Mistral of the third version is what 7B v0.3 has.
LLAMA_CPP_NAMES = {"mistral": "mistral-v3", "llama2": "llama2-sys-bos"}


@pytest.mark.parametrize("source", [*shapes.KEEPS_ALL.values(), shapes.DEVELOPER])
def test_a_good_template_is_not_warned_of(source: str) -> None:
    """Templates that trim, quote or drop thoughts lose no message."""
    assert PromptTemplate(source).warnings == ()


@pytest.mark.parametrize("name", shapes.LOSES_QUESTIONS)
def test_a_template_that_drops_the_users_words(name: str) -> None:
    """Blank, constant, or showing some messages only: the warning says so, and what to pass."""
    (warning,) = PromptTemplate(shapes.LOSES_QUESTIONS[name]).losses
    assert "drops words of the user" in warning
    assert "chat_template=" in warning


def test_a_template_that_drops_the_answers() -> None:
    """A user-only template keeps the questions; the model forgets what it said."""
    template = PromptTemplate(shapes.LOSES_ANSWERS)
    (warning,) = template.losses
    assert "earlier answers" in warning
    assert template.traits.keeps_questions


def test_a_file_without_a_template() -> None:
    """ChatML is taken, and said; ChatML asked for is nothing to say."""
    (warning,) = PromptTemplate(None).losses
    assert "ChatML" in warning
    assert "chat_template=" in warning
    assert PromptTemplate(CHATML).warnings == ()


def test_a_broken_template_is_said() -> None:
    """No Jinja, or nothing but refusals: chat() will not work, and the warning says why."""
    (warning,) = PromptTemplate(shapes.BROKEN).losses
    assert "no valid Jinja" in warning
    (warning,) = PromptTemplate("{{ raise_exception('never') }}").losses
    assert "never" in warning


@pytest.mark.parametrize("name", shapes.NO_SYSTEM)
def test_a_template_without_a_system_role(name: str) -> None:
    """Nothing is lost, but a system message stands elsewhere, and that is noted."""
    template = PromptTemplate(shapes.NO_SYSTEM[name])
    assert template.losses == ()
    (note,) = template.notes
    assert "head of the user's first message" in note


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}"
        "{% endfor %}",
    ],
)
def test_probing_a_template_that_does_not_end(source: str) -> None:
    """A hostile file does not hold up the opening of its model."""
    started = time.thread_time()
    template = PromptTemplate(source)
    assert template.losses
    assert not template.traits.supports_tools
    assert time.thread_time() - started < 5


@pytest.mark.parametrize("name", NAMED_TEMPLATES)
def test_named_templates_are_those_of_llama_cpp(name: str) -> None:
    """Character for character, but for BOS (llama.cpp adds it later) and spaces around answers."""
    bos, eos = "<s>", "</s>"
    ours = PromptTemplate(NAMED_TEMPLATES[name], bos=bos, eos=eos).render(TALK, None)
    theirs = llama_cpp_renders(LLAMA_CPP_NAMES.get(name, name), TALK)
    if name == "zephyr":  # StableLM's there; Zephyr itself ends messages with its EOS
        theirs = theirs.replace("<|endoftext|>", eos)
    if name == "llama2":  # Meta's has a space on either side of an answer
        theirs = theirs.replace("Hi!</s>", " Hi! </s>")
    assert ours.removeprefix(bos) == theirs


@pytest.mark.parametrize("name", NAMED_TEMPLATES)
def test_named_templates_lose_nothing(name: str) -> None:
    """System messages stand in the template, or at the head of the user's message."""
    assert PromptTemplate(NAMED_TEMPLATES[name]).losses == ()


def llama_cpp_renders(name: str, messages: list[dict[str, str]]) -> str:
    """What llama.cpp makes of a conversation by one of its built-in templates."""
    chat = (llama_cpp.llama_chat_message * len(messages))(
        *((m["role"].encode(), m["content"].encode()) for m in messages)
    )
    buffer = ctypes.create_string_buffer(4096)
    n = llama_cpp.llama_chat_apply_template(
        name.encode(), chat, len(messages), True, buffer, len(buffer)
    )
    assert 0 < n < len(buffer)
    return buffer.raw[:n].decode()


def test_find_by_name_text_and_file(tmp_path: Path) -> None:
    """Each gives the Jinja text."""
    path = tmp_path / "ours.jinja"
    path.write_text(CHATML, encoding="utf-8")
    for given in ("chatml", CHATML, path, str(path)):
        assert find_template(given) == CHATML


@pytest.mark.parametrize("given", ["ChatML", "", "Hello", "a\0b", "x" * 10_000, 3, b"{{ x }}", "."])
def test_what_is_no_template_is_said(given: object) -> None:
    """No name, no Jinja, no file: the error lists what there is."""
    with pytest.raises(TemplateError, match="chatml, gemma"):
        find_template(given)  # type: ignore[arg-type]  # the point of the test


def test_a_file_that_holds_no_template(tmp_path: Path) -> None:
    """A model passed in its place is not read whole, and broken Jinja is refused at once."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + b" " * (2 << 20))
    with pytest.raises(TemplateError, match="more than 1048576 bytes"):
        find_template(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match="chat_template is"):
        find_template(path)
    path.write_text(shapes.BROKEN, encoding="utf-8")
    with pytest.raises(TemplateError, match="no valid Jinja"):
        find_template(path)


@thorough
def test_a_template_that_looks_through_everything_for_each_message() -> None:
    """The limit grows with the conversation: a thousand honest messages render."""
    source = (
        "{% for m in messages %}{% set ns = namespace(n=0) %}"
        "{% for other in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}"
        "{{ m.content }}{{ ns.n }} {% endfor %}"
    )
    messages = [{"role": "user", "content": "a"}] * 1000
    assert PromptTemplate(source).render(messages, None).count("a1000") == 1000
