"""A second turn begins with exactly what the first left in the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from longctx._native import Model
from longctx.chat import ChatTemplate
from longctx.tokens.fragment_memory import FragmentMemory
from tests.chat.test_chat_template import OWN_TEMPLATES, template_text
from tests.support.vocabularies import Vocabularies

ANSWER = "Paris is the capital of France."


def one_by_one(model: Model, text: str) -> list[int]:
    """Ids that spell a text and that no tokenizer would choose: one for each byte."""
    return [token for character in text for token in model.encode(character)]


@pytest.mark.parametrize("name", ["demo", "qwen2", "llama-bpe"])
def test_second_turn_begins_with_the_first(
    name: str, demo: Model, vocabulary: Vocabularies, llama_cpp_models: Path
) -> None:
    """Prompt ids, generated ids and the end-of-turn token come back; others spell the same."""
    if name == "demo":
        model, source = demo, demo.chat_template()
    else:
        model, source = vocabulary(name), template_text(llama_cpp_models, OWN_TEMPLATES[name])
    template = ChatTemplate(source, model)
    messages = [{"role": "user", "content": "Capital of France?"}]
    first = template.render(messages)
    written = one_by_one(model, ANSWER)
    assert written != model.encode(ANSWER)
    messages += [{"role": "assistant", "content": ANSWER}, {"role": "user", "content": "Of Spain?"}]
    forgotten = template.render(messages).ids
    assert forgotten[: len(first.ids) + len(written)] != [*first.ids, *written]

    end = model.encode("<|eot_id|>" if name == "llama-bpe" else "<|im_end|>", parse_special=True)
    template.remember(first, ANSWER, [*written, *end])
    second = template.render(messages)
    expected = [*first.ids, *written, *end]
    assert second.ids[: len(expected)] == expected
    assert second.text == template.render(messages).text


def test_another_text_is_not_remembered(demo: Model) -> None:
    """An answer that was edited, or that a user repeats, is tokenised as it stands."""
    template = ChatTemplate(demo.chat_template(), demo)
    messages = [{"role": "user", "content": "Capital of France?"}]
    template.remember(template.render(messages), ANSWER, one_by_one(demo, ANSWER))
    for role, text in (("assistant", ANSWER + "!"), ("user", ANSWER)):
        prompt = template.render([*messages, {"role": role, "content": text}])
        assert prompt.ids == demo.encode(prompt.text, parse_special=True)


def test_an_answer_with_a_control_token_is_not_remembered(demo: Model) -> None:
    """Ids that hold a control token could never stand for text."""
    template = ChatTemplate(demo.chat_template(), demo)
    messages = [{"role": "user", "content": "Hi"}]
    end = demo.encode("<|im_end|>", parse_special=True)
    text = "a<|im_end|>b"
    template.remember(template.render(messages), text, [*demo.encode("a"), *end, *demo.encode("b")])
    prompt = template.render([*messages, {"role": "assistant", "content": text}])
    harmless = template.render([*messages, {"role": "assistant", "content": "ab"}])
    assert prompt.ids.count(end[0]) == harmless.ids.count(end[0])


def test_bytes_that_are_no_text_are_not_remembered(demo: Model) -> None:
    """U+FFFD stands for any of them: the same messages are the same prompt to every model."""
    template, fresh = (ChatTemplate(demo.chat_template(), demo) for _ in range(2))
    messages = [{"role": "user", "content": "Hi"}]
    first = template.render(messages)
    half = next(i for i in range(demo.n_vocab) if demo.decode_bytes([i]) == "\u00e9".encode()[:1])
    end = demo.encode("<|im_end|>", parse_special=True)
    written = [*demo.encode("Caf"), half]
    messages += [{"role": "assistant", "content": "Caf\ufffd"}, {"role": "user", "content": "?"}]
    template.remember(first, "Caf\ufffd", [*written, *end])
    assert template.render(messages).ids == fresh.render(messages).ids
    template.recall([*first.ids, *written, *end])
    assert template.render(messages).ids == fresh.render(messages).ids


def test_the_memory_is_bounded() -> None:
    """The least recently used fragments go first, by tokens held."""
    memory = FragmentMemory(max_tokens=10)
    memory.put((1, "a"), [1] * 4)
    memory.put((1, "b"), [2] * 4)
    assert memory.get((1, "a")) == (1,) * 4
    memory.put((1, "c"), [3] * 4)
    assert memory.get((1, "b")) is None
    assert memory.get((1, "a")) is not None
    memory.put((1, "a"), [1] * 2)  # replaced, not added
    memory.put((1, "d"), [4] * 4)
    assert len(memory) == 3
    memory.put((1, "e"), [5] * 11)  # more than all of it: the others stay
    assert memory.get((1, "e")) is None
    assert len(memory) == 3
