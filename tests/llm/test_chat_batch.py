"""Several conversations at once: the answers of each alone, the common beginning read once."""

from __future__ import annotations

import _thread
import json
from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

import pytest

from longctx import ContextOverflowError, LongContextLLM, Progress, RequestError
from tests.models import TINY

ROOMS = {7: 4821, 12: 9035, 31: 2764, 58: 6180}
PROSE = topics["while"]


def asked(room: int, prose: str = PROSE) -> list[dict[str, str]]:
    """A conversation of some 300 tokens, of which most are the same in all."""
    fact = f"The code of room {room} is {ROOMS[room]}."
    question = f"What is the code of room {room}?"
    return [{"role": "user", "content": f"{prose}\n{fact}\n{PROSE[:200]}\n{question}"}]


@pytest.fixture
def llm() -> Iterator[LongContextLLM]:
    """The small trained model, which answers such questions."""
    with LongContextLLM(TINY, 1024, reserve_output=16, n_threads=1) as model:
        yield model


def test_each_gets_its_own_answer(llm: LongContextLLM) -> None:
    """In their order, as alone, although written side by side."""
    results = llm.chat_batch([asked(room) for room in ROOMS])
    for room, result in zip(ROOMS, results, strict=True):
        assert str(ROOMS[room]) in result.text
        assert result.text == llm.chat(asked(room)).text
        assert result.finish_reason == "stop"
        assert result.message.content == result.text


def test_the_common_beginning_is_prefilled_once(llm: LongContextLLM) -> None:
    """Usage adds up, and the next time all of it is cached."""
    conversations = [asked(room) for room in ROOMS]
    alone = [llm.count(messages) for messages in conversations]
    first = [result.usage for result in llm.chat_batch(conversations)]
    assert [usage.prompt_tokens for usage in first] == alone
    assert sum(usage.prefilled_tokens for usage in first) < 0.6 * sum(alone)
    again = [result.usage for result in llm.chat_batch(conversations)]
    assert [usage.prefilled_tokens for usage in again] == [1] * len(again)


def test_an_answer_can_be_continued(llm: LongContextLLM) -> None:
    """The next question of one of them prefills what is new."""
    conversation = asked(7)
    (answer, _) = llm.chat_batch([conversation, asked(12)])
    follow_up = {"role": "user", "content": "What is the code of room 7?"}
    result = llm.chat([*conversation, answer.message.model_dump(), follow_up])
    assert result.usage.prefilled_tokens < 40


def test_all_are_checked_before_any_begins(llm: LongContextLLM) -> None:
    """The one that does not fit is named in numbers, and nothing was prefilled."""
    seen: list[Progress] = []
    with pytest.raises(ContextOverflowError) as caught:
        llm.chat_batch([asked(7), asked(12, PROSE * 30)], on_progress=seen.append)
    assert caught.value.available == 1024
    assert seen == []
    with pytest.raises(RequestError, match="temperature"):
        llm.chat_batch([asked(7)], temperature=-1)
    assert llm.chat_batch([]) == []


def test_progress_is_of_all_prompts(llm: LongContextLLM) -> None:
    """It rises to the tokens of all."""
    seen: list[Progress] = []
    conversations = [asked(room) for room in ROOMS]
    llm.chat_batch(conversations, on_progress=seen.append)
    total = sum(llm.count(messages) for messages in conversations)
    done = [progress.done_tokens for progress in seen]
    assert done == sorted(done)
    assert (done[-1], {progress.total_tokens for progress in seen}) == (total, {total})


def test_each_answer_keeps_to_the_schema(llm: LongContextLLM) -> None:
    """The grammar advances with each answer on its own."""
    schema = {"enum": ["yes", "no", "perhaps"]}
    results = llm.chat_batch([asked(room) for room in ROOMS], response_schema=schema)
    assert {json.loads(result.text) for result in results} <= {"yes", "no", "perhaps"}


def test_tools_are_called_as_in_a_chat(llm: LongContextLLM) -> None:
    """Each conversation calls its own, in the format of the template, held to the schema."""
    tool = {
        "type": "function",
        "function": {
            "name": "open_room",
            "parameters": {
                "type": "object",
                "properties": {"room": {"enum": list(ROOMS)}},
                "required": ["room"],
            },
        },
    }
    options: Any = {"tools": [tool], "tool_choice": "required", "max_tokens": 200}
    results = llm.chat_batch([asked(7, ""), asked(12, "")], **options)
    for result in results:
        assert result.finish_reason == "tool_calls"
        (call, *_) = result.tool_calls
        assert call.name == "open_room"
        assert call.arguments["room"] in ROOMS


def test_answers_of_different_lengths(llm: LongContextLLM) -> None:
    """Those that go on are not held up by those that ended."""
    conversations = [asked(7), [{"role": "user", "content": PROSE}], asked(31)]
    results = llm.chat_batch(conversations, max_tokens=40)
    assert str(ROOMS[7]) in results[0].text
    assert str(ROOMS[31]) in results[2].text
    lengths = [result.usage.completion_tokens for result in results]
    assert lengths[1] > max(lengths[0], lengths[2])


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_the_model_usable(llm: LongContextLLM) -> None:
    """Interrupted between two prompts; then the answers are those of an untouched model."""
    conversations = [asked(room) for room in ROOMS]

    def interrupt(progress: Progress) -> None:
        if progress.done_tokens > progress.total_tokens // 2:
            _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        llm.chat_batch(conversations, on_progress=interrupt)
    for room, result in zip(ROOMS, llm.chat_batch(conversations), strict=True):
        assert str(ROOMS[room]) in result.text


def test_a_window_that_slides_does_so_beside_others(llm: LongContextLLM) -> None:
    """As in a chat: what fits stays whole, what is too long slides, and says so."""
    options: dict[str, Any] = {"overflow": "slide", "reserve_output": 16, "n_threads": 1}
    with LongContextLLM(TINY, 512, **options) as sliding:
        results = sliding.chat_batch([asked(7), asked(12, PROSE * 10)])
        assert results[0].window.dropped_tokens == 0
        assert results[1].window.dropped_tokens > 0
