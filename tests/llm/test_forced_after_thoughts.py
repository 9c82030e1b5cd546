"""What an answer is held to, where the model thinks before it or was told not to."""

from __future__ import annotations

import json
from typing import Any

from longctx import LongContextLLM
from longctx._native import Model
from longctx.chat import ChatTemplate, expect_answer
from longctx.grammar import TokenTable
from tests.models import TINY
from tests.server.test_reasoning import THINKS

ASKED: Any = [{"role": "user", "content": "Is it warm?"}]
SCHEMA: Any = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}


def test_thoughts_that_the_prompt_closed_stay_closed() -> None:
    """Noise, which would open them again and again, says what the schema has."""
    with LongContextLLM(TINY, 1024, reserve_output=40, n_threads=1, chat_template=THINKS) as llm:
        answer = llm.chat(ASKED, response_schema=SCHEMA, thinking=False)
    assert isinstance(json.loads(answer.text)["yes"], bool)
    assert answer.reasoning == ""


def test_they_are_opened_once() -> None:
    """Behind the mark that ends them the schema begins, and no second mark is let through."""
    may_think = THINKS.replace("assistant\\n<think>\\n", "assistant\\n") + (
        "{# the model opens its thoughts by itself: <think> </think> #}"
    )
    model = Model(TINY, vocab_only=True)
    template = ChatTemplate(may_think, model)
    prompt = template.render(ASKED).text
    starts = expect_answer(template, prompt, [], (), "none", SCHEMA).guide
    assert starts is not None
    guide = starts(TokenTable(model))
    opening = model.encode("<think>")

    def is_let_through() -> bool:
        mask = guide.mask()
        assert mask is not None
        return bool(mask[opening[0] // 32] >> (opening[0] % 32) & 1)

    assert is_let_through()
    for token in model.encode("<think>Hm.</think>"):
        guide.accept(token)
    assert not is_let_through()
