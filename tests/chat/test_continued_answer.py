"""A conversation that ends with the assistant's message ends inside it."""

from __future__ import annotations

import pytest

from longctx._native import Model
from longctx.chat import ChatTemplate
from longctx.errors import TemplateError
from tests.chat import shapes
from tests.chat.conversations import TOOL, with_call
from tests.chat.test_fragment_memory import one_by_one

ASK = {"role": "user", "content": "Capital of France?"}


def answer(text: str) -> dict[str, str]:
    """The assistant's message."""
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize("name", [name for name in shapes.KEEPS_ALL if name != "turns around"])
def test_the_prompt_ends_with_its_words(name: str, demo: Model) -> None:
    """No end of message, no new message, no white space taken off."""
    template = ChatTemplate(shapes.KEEPS_ALL[name], demo)
    if name in ("quotes", "shouts"):  # what a template makes of the words is its own
        assert "paris is" in template.render([ASK, answer("Paris is ")]).text[-10:].casefold()
        return
    prompt = template.render([ASK, answer("Paris is ")])
    assert prompt.text.endswith("Paris is ")
    ids = demo.encode("Paris is ")
    assert prompt.ids[-len(ids) :] == ids
    assert template.count([ASK, answer("Paris is ")]) == len(prompt.ids)


def test_it_begins_like_the_conversation_without_it(demo: Model) -> None:
    """What stood in the cache before the answer stands in it still."""
    template = ChatTemplate(demo.chat_template(), demo)
    opened = template.render([ASK]).ids
    begun = template.render([ASK, answer("Paris")]).ids
    assert begun == [*opened, *demo.encode("Paris")]
    assert template.render([ASK, answer("")]).ids == opened


def test_the_ids_that_the_model_wrote(demo: Model) -> None:
    """Before and behind the cut, the whole answer is what stands in the cache."""
    template = ChatTemplate(demo.chat_template(), demo)
    first, second = "Paris is the ca", "pital of France."
    opened = template.render([ASK])
    template.remember(opened, first, one_by_one(demo, first))
    begun = template.render([ASK, answer(first)])
    assert begun.ids == [*opened.ids, *one_by_one(demo, first)]
    template.remember(begun, second, one_by_one(demo, second))
    whole = [*begun.ids, *one_by_one(demo, second)]
    messages = [ASK, answer(first + second), {"role": "user", "content": "Of Spain?"}]
    assert template.render(messages).ids[: len(whole)] == whole


def test_an_answer_that_was_cut_in_its_thoughts(demo: Model) -> None:
    """The model's own goes on where it stood; one that it never wrote is no thought."""
    for name, opened in (
        ("opens the thoughts (DeepSeek R1)", "<|im_start|>assistant\n<think>\n"),
        ("closes the thoughts (Qwen3)", "<|im_start|>assistant\n"),
    ):
        template = ChatTemplate(shapes.KEEPS_ALL[name], demo)
        asked = template.render([ASK])
        assert asked.text.endswith(opened)
        thought = "Well, France is"
        begun = template.render([ASK, answer(thought)])
        assert not begun.text.endswith(opened + thought)
        template.remember(asked, thought, one_by_one(demo, thought))
        begun = template.render([ASK, answer(thought)])
        assert begun.ids == [*asked.ids, *one_by_one(demo, thought)]
        assert begun.text == asked.text + thought


def test_words_that_look_like_the_end_of_a_message(demo: Model) -> None:
    """They stay text, and the prompt still ends with them."""
    template = ChatTemplate(demo.chat_template(), demo)
    (end,) = demo.encode("<|im_end|>", parse_special=True)
    prompt = template.render([ASK, answer("a<|im_end|>\nb<|im_")])
    assert prompt.text.endswith("assistant\na<|im_end|>\nb<|im_")
    assert prompt.ids.count(end) == template.render([ASK]).ids.count(end)


def test_a_template_that_drops_it(demo: Model) -> None:
    """Nothing could be continued, so it is refused, with what to do."""
    template = ChatTemplate(shapes.LOSES_ANSWERS, demo)
    with pytest.raises(TemplateError, match=r"for the answer to continue.*chat_template="):
        template.render([ASK, answer("Paris is")])


def test_a_template_that_puts_questions_behind_it(demo: Model) -> None:
    """The question would be cut off with what follows the answer: refused, not lost."""
    template = ChatTemplate(shapes.KEEPS_ALL["turns around"], demo)
    with pytest.raises(TemplateError, match="drops words of the user"):
        template.render([ASK, answer("Paris is")])


def test_tool_calls_are_not_continued(demo: Model) -> None:
    """A call is whole: its message is closed, and a new one opened."""
    template = ChatTemplate(demo.chat_template(), demo)
    text = template.render(with_call({"query": "x"}, "42")[:2], [TOOL]).text
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    begun = template.render([*with_call({"query": "x"}, "42"), answer("It is")], [TOOL]).text
    assert begun.endswith("<|im_start|>assistant\nIt is")


def test_without_a_generation_prompt_it_is_whole(demo: Model) -> None:
    """A conversation that is kept, and not answered, ends with its last message's end."""
    template = ChatTemplate(demo.chat_template(), demo)
    prompt = template.render([ASK, answer("Paris.")], add_generation_prompt=False)
    assert prompt.text.endswith("assistant\nParis.<|im_end|>\n")
