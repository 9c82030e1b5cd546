"""Rendering equals plain Jinja, and tokens equal llama.cpp's, wherever content is harmless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from longctx._native import Model
from longctx.chat import CHATML, ChatTemplate
from longctx.errors import RequestError, TemplateError
from longctx.tokens import ModelTokenizer
from longctx.types import as_messages
from tests.chat.conversations import HARMLESS, SYSTEM, TOOL, with_call
from tests.support.thorough import quick
from tests.support.vocabularies import Vocabularies

# fmt: off
ALL_VOCABULARIES = (
    "aquila", "baichuan", "bert-bge", "command-r", "deepseek-coder", "deepseek-llm", "falcon",
    "gemma-4", "gpt-2", "gpt-neox", "llama-bpe", "llama-spm", "mpt", "nomic-bert-moe", "phi-3",
    "qwen2", "qwen35", "refact", "starcoder",
)
# fmt: on
# The family each vocabulary is of, or ChatML.
OWN_TEMPLATES = {
    "command-r": "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
    "gemma-4": "google-gemma-4-31B-it",
    "llama-bpe": "meta-llama-Llama-3.1-8B-Instruct",
    "llama-spm": "mistralai-Mistral-Nemo-Instruct-2407",
    "phi-3": "microsoft-Phi-3.5-mini-instruct",
    "qwen2": "Qwen-Qwen2.5-7B-Instruct",
    "qwen35": "Qwen3.5-4B",
}
TEMPLATES = (
    "ByteDance-Seed-OSS",
    "GLM-4.6",
    "HuggingFaceTB-SmolLM3-3B",
    "Kimi-K2-Thinking",
    "MiniMax-M2",
    "Qwen-QwQ-32B",
    "Qwen-Qwen3-0.6B",
    "Qwen3-Coder",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai-DeepSeek-V3.1",
    "ibm-granite-granite-4.0",
    "llama-cpp-rwkv-world",
    "meetkai-functionary-medium-v3.2",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "openai-gpt-oss-120b",
)
SOME_TEMPLATES = (
    "Qwen-Qwen3-0.6B",
    "google-gemma-4-31B-it",
    "meta-llama-Llama-3.1-8B-Instruct",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "openai-gpt-oss-120b",
)


def expected_ids(model: Model, text: str) -> list[int]:
    """llama.cpp's reading of a rendered prompt, with BOS put before it where it is missing."""
    ids = model.encode(text, parse_special=True)
    return [model.bos, *ids] if model.adds_bos and ids[:1] != [model.bos] else ids


def template_text(folder: Path, name: str) -> str:
    """The Jinja source of one of llama.cpp's templates."""
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


def render_plainly(
    source: str, model: Model, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> str:
    """What transformers renders."""
    bos, eos = (
        "" if token is None else model.token_text(token).decode("utf-8", "replace")
        for token in (model.bos, model.eos)
    )
    rendered, _ = render_jinja_template(
        [messages],
        tools=tools,
        chat_template=source,
        add_generation_prompt=True,
        bos_token=bos,
        eos_token=eos,
    )
    return rendered[0]


@pytest.mark.parametrize("name", quick(ALL_VOCABULARIES, "llama-bpe", "llama-spm", "qwen2"))
def test_every_vocabulary(name: str, vocabulary: Vocabularies, llama_cpp_models: Path) -> None:
    """Tokens are those of the rendered text with special tokens parsed, in every vocabulary."""
    model = vocabulary(name)
    own = OWN_TEMPLATES.get(name)
    template = ChatTemplate(own and template_text(llama_cpp_models, own), model)
    prompt = template.render(HARMLESS)
    assert prompt.ids == expected_ids(model, prompt.text)
    assert template.count(HARMLESS) == len(prompt.ids)


@pytest.mark.parametrize("name", quick([*TEMPLATES, *OWN_TEMPLATES.values()], *SOME_TEMPLATES))
def test_every_template(name: str, vocabulary: Vocabularies, llama_cpp_models: Path) -> None:
    """Text is what transformers renders, with and without tools and their calls."""
    source = template_text(llama_cpp_models, name)
    model = vocabulary("qwen2")
    template = ChatTemplate(source, model)
    cases: list[tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = [(HARMLESS, None)]
    if template.traits.system_role:
        cases.append(([SYSTEM, *HARMLESS], None))
    if template.supports_tools:
        cases.append((HARMLESS, [TOOL]))
    for messages, tools in cases:
        prompt = template.render(messages, tools)
        given = [message.to_template() for message in as_messages(messages)]
        assert prompt.text == render_plainly(source, model, given, tools)
        assert prompt.ids == expected_ids(model, prompt.text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen-Qwen2.5-7B-Instruct", '<tool_call>\n{"name": "find", "arguments": {"query": "x"}}'),
        ("meta-llama-Llama-3.1-8B-Instruct", '{"name": "find", "parameters": {"query": "x"}}'),
        ("mistralai-Mistral-Nemo-Instruct-2407", '"arguments": {"query": "x"}, "id": "call00001"'),
        ("meetkai-functionary-medium-v3.2", '>>>find\n{"query": "x"}'),
    ],
)
def test_calls_in_the_form_a_template_wants(
    name: str, expected: str, vocabulary: Vocabularies, llama_cpp_models: Path
) -> None:
    """Arguments go in as object or as text, and ids in Mistral's length, as each asks."""
    template = ChatTemplate(template_text(llama_cpp_models, name), vocabulary("llama-bpe"))
    text = template.render(with_call({"query": "x"}, "42"), [TOOL]).text
    assert expected in text
    assert "42" in text


def test_content_that_a_template_splits(vocabulary: Vocabularies, llama_cpp_models: Path) -> None:
    """Qwen3 drops the thoughts of earlier messages, though ``</think>`` is markup."""
    template = ChatTemplate(template_text(llama_cpp_models, "Qwen-Qwen3-0.6B"), vocabulary("qwen2"))
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>\nsecret\n</think>\n\nb"},
        {"role": "user", "content": "c"},
    ]
    text = template.render(messages).text
    assert "<|im_start|>assistant\nb<|im_end|>" in text


def test_demo_model_counts_the_generation_prompt(demo: Model) -> None:
    """The demo model's template opens the assistant's message, and only when asked."""
    template = ChatTemplate(demo.chat_template(), ModelTokenizer(demo))
    asked = template.render(HARMLESS)
    silent = template.render(HARMLESS, add_generation_prompt=False)
    assert asked.text == silent.text + "<|im_start|>assistant\n"
    assert asked.ids[: len(silent.ids)] == silent.ids
    assert asked.ids == expected_ids(demo, asked.text)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_exactly_one_bos(written: int, vocabulary: Vocabularies) -> None:
    """One BOS where the model adds it, whether the template writes none, one or two."""
    model = vocabulary("llama-bpe")
    source = "{{ bos_token }}" * written + "{{ messages[0].content }}"
    ids = ChatTemplate(source, model).render([{"role": "user", "content": "Hi"}]).ids
    assert ids == [model.bos, *model.encode("Hi")]


def test_no_bos_where_the_model_adds_none(vocabulary: Vocabularies) -> None:
    """Qwen was trained without BOS."""
    model = vocabulary("qwen2")
    assert not model.adds_bos
    ids = ChatTemplate(None, model).render([{"role": "user", "content": "Hi"}]).ids
    assert ids[0] != model.bos or model.token_text(ids[0]) == b"<|im_start|>"


def test_default_template_is_chatml(demo: Model) -> None:
    """A file without a template is rendered as ChatML."""
    messages = [{"role": "user", "content": "Hi"}]
    assert ChatTemplate(None, demo).render(messages) == ChatTemplate(CHATML, demo).render(messages)


def test_a_refusal_carries_the_templates_message(demo: Model, llama_cpp_models: Path) -> None:
    """Gemma 2 takes no two messages of the user's in a row and says so in words."""
    template = ChatTemplate(template_text(llama_cpp_models, "google-gemma-2-2b-it"), demo)
    with pytest.raises(TemplateError, match=r"roles must alternate.*chat_template="):
        template.render([HARMLESS[0], HARMLESS[0]])


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content.nothing.at_all }}",
        "{{ 1 / 0 }}",
        "{{ messages | tojson(indent=messages) }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% set _ = messages.append(1) %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_a_failing_template(source: str, demo: Model) -> None:
    """Whatever goes wrong inside, or reaches out of the sandbox, is a TemplateError."""
    with pytest.raises(TemplateError):
        ChatTemplate(source, demo).render([{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999999999) %}x{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}"
        "{% endfor %}",
        "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}"
        "{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{{ 10 ** 999999999 }}",
        "{{ 'x'.ljust(99999999999) }}",
        "{% set s = 'x' * 1000000 %}{% for i in range(100000) %}{{ s }}{% endfor %}",
    ],
)
def test_a_runaway_template_ends(source: str, demo: Model) -> None:
    """Loops, recursion and doubling end with an error, in seconds and without the memory."""
    with pytest.raises(TemplateError):
        ChatTemplate(source, demo).render([{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize("source", ["{% for %}", "{{ 'unclosed", "{% nothing %}", "{{ 1 + }}"])
def test_a_template_that_is_none(source: str, demo: Model) -> None:
    """Broken Jinja is refused when it is used, each time, with what to do."""
    template = ChatTemplate(source, demo)
    for _ in range(2):
        with pytest.raises(TemplateError, match=r"no valid Jinja.*chat_template="):
            template.render([{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    "messages",
    ["Hi", [], [{"content": "Hi"}], [{"role": "user", "content": 3}], [3], [{"role": "king"}]],
)
def test_no_conversation(messages: Any, demo: Model) -> None:
    """What is no list of messages is a TemplateError."""
    with pytest.raises(TemplateError):
        ChatTemplate(None, demo).render(messages)


def test_a_lone_surrogate_is_a_typed_error(demo: Model) -> None:
    """Half a character cannot be tokenised, and says so."""
    with pytest.raises(RequestError, match="lone surrogate"):
        ChatTemplate(None, demo).render([{"role": "user", "content": "\ud800"}])
