"""Responses that are asked for again, and those that are ended by another request."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, NotFoundError

from longctx import LongContextLLM
from tests.server.endless import ENDLESS, EndlessLLM
from tests.server.live_server import serving
from tests.server.scripted import THOUGHT, scripted
from tests.server.test_responses import QUESTION, WEATHER


def _told(events: list[Any]) -> list[Any]:
    """Without the numbers, and each text in one piece."""
    told: list[Any] = []
    for event in events:
        said = event.model_dump(exclude={"sequence_number"})
        if event.type.endswith(".delta") and told and told[-1]["type"] == event.type:
            told[-1]["delta"] += said["delta"]
        else:
            told.append(said)
    return told


@pytest.mark.parametrize("summary", [None, "auto"])
def test_a_kept_response_is_streamed_again(tiny_llm: LongContextLLM, summary: Any) -> None:
    """The events that it had, each text in one piece; from any of them on."""
    with scripted(tiny_llm, [THOUGHT]) as (live, _):
        client = live.openai()
        asked: Any = {"model": "tiny", "input": QUESTION, "tools": [WEATHER]}
        asked["reasoning"] = {"summary": summary}
        first: Any = list(client.responses.create(**asked, stream=True))
        name = first[-1].response.id
        again: Any = list(client.responses.retrieve(name, stream=True))
        assert _told(again) == _told(first)
        assert [event.sequence_number for event in again] == list(range(len(again)))
        rest: Any = client.responses.retrieve(name, stream=True, starting_after=5)
        assert [event.sequence_number for event in rest] == list(range(6, len(again)))
        assert list(client.responses.retrieve(name, stream=True, starting_after=999)) == []
        with pytest.raises(NotFoundError):
            client.responses.retrieve("resp_none", stream=True)


def test_a_response_is_cancelled(tiny_llm: LongContextLLM) -> None:
    """By another request, while it is written: its client is told, and it is not kept."""
    endless = EndlessLLM(tiny_llm)
    with serving(endless, model_id="tiny") as live:
        client = live.openai()
        stream: Any = iter(client.responses.create(model="tiny", input=ENDLESS, stream=True))
        name = next(stream).response.id
        while next(stream).type != "response.output_text.delta":
            pass
        found = client.responses.retrieve(name)
        assert found.status == "in_progress"
        assert "on and" in found.output_text
        with pytest.raises(BadRequestError, match="still being written"):
            client.responses.retrieve(name, stream=True)
        cancelled = client.responses.cancel(name)
        assert cancelled.status == "cancelled"
        assert "on and" in cancelled.output_text
        *_, last = stream
        assert last.type == "response.failed"
        assert (last.response.status, last.response.error.code) == (
            "cancelled",
            "response_cancelled",
        )
        assert endless.closed.wait(60)
        live.wait_until_idle()
        for ask in (client.responses.cancel, client.responses.retrieve):
            with pytest.raises(NotFoundError):
                ask(name)
        over = client.responses.create(model="tiny", input="Be brief.", max_output_tokens=1)
        with pytest.raises(BadRequestError, match=r"is over \(incomplete\)"):
            client.responses.cancel(over.id)
