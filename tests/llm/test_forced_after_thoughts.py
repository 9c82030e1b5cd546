"""What an answer is held to, where the model thinks before it or was told not to."""

from __future__ import annotations

import json
from typing import Any

from longctx import LongContextLLM
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
