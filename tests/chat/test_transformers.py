"""Every template of llama.cpp's, rendered as transformers renders it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from jinja2 import TemplateError as JinjaError
from transformers.utils.chat_template_utils import render_jinja_template

from longctx.chat import PromptTemplate
from longctx.errors import TemplateError
from tests.chat.histories import WEATHER, growing
from tests.support.thorough import thorough

BOS, EOS = "<BOS>", "<EOS>"
REFUSED_THERE = {
    # They take ids out of a list of their own, which transformers' sandbox forbids.
    "Kimi-K2-Instruct",
    "Kimi-K2-Thinking",
    # They go through their tools, or a call's, where there are none.
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "fireworks-ai-llama-3-firefunction-v2",
    "llama-cpp-deepseek-r1",
}
"""Some of these conversations fail there, and render here."""


def theirs(source: str, messages: Any, tools: Any, *, prompted: bool) -> str | None:
    """The text; None where the template, or the sandbox, refuses."""
    try:
        texts, _ = render_jinja_template(
            [messages], tools=tools, chat_template=source, add_generation_prompt=prompted,
            bos_token=BOS, eos_token=EOS,
        )  # fmt: skip
    except (JinjaError, TypeError, KeyError, AttributeError, ValueError):
        return None
    return str(texts[0])


def ours(template: PromptTemplate, messages: Any, tools: Any, *, prompted: bool) -> str | None:
    """The same."""
    try:
        return template.render(messages, tools, add_generation_prompt=prompted)
    except TemplateError:
        return None


def conversations(template: PromptTemplate) -> Iterator[tuple[Any, Any, bool]]:
    """With tools and without, with thoughts, calls and results, prompted and not."""
    tools, prompted = [WEATHER], True
    text_arguments = template.traits.text_arguments
    for messages in growing(Random(7), n_turns=3, text_arguments=text_arguments):
        yield messages, tools if template.traits.supports_tools else None, prompted
        prompted = not prompted
    plain = [{"role": "user", "content": "Hello, you!"}]
    system = {"role": "system", "content": "Be brief."}
    for messages in (plain, [system, *plain]):
        yield messages, None, True


@thorough
def test_every_template_is_rendered_as_by_transformers(llama_cpp_models: Path) -> None:
    """To the same text, and refused where it is refused there."""
    n_same, refused = 0, set()
    paths = sorted(llama_cpp_models.glob("*.jinja"))
    for path in paths:
        source = path.read_text(encoding="utf-8")
        template = PromptTemplate(source, bos=BOS, eos=EOS)
        for messages, tools, prompted in conversations(template):
            expected = theirs(source, messages, tools, prompted=prompted)
            found = ours(template, messages, tools, prompted=prompted)
            if expected is None and found is not None:
                refused.add(path.stem)
                continue
            assert found == expected, path.stem
            n_same += expected is not None
    assert len(paths) >= 70
    assert n_same >= 4 * len(paths)
    assert refused <= REFUSED_THERE
