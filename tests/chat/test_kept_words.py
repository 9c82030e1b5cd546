"""A prompt in which words of the user are missing is refused."""

from __future__ import annotations

import pytest

from longctx._native import Model
from longctx.chat import ChatTemplate
from longctx.errors import TemplateError
from tests.chat import shapes

USER = {"role": "user", "content": "Hi"}
SAID = {"role": "assistant", "content": "Hello."}
MORE = {"role": "user", "content": '  What is «it»?\n\n- "this" or\n- <b>that</b>\t'}


@pytest.mark.parametrize("name", shapes.LOSES_QUESTIONS)
def test_dropped_turns(name: str, demo: Model) -> None:
    """Also where the words stand by chance: the constant template says "Hi" by itself."""
    template = ChatTemplate(shapes.LOSES_QUESTIONS[name], demo)
    with pytest.raises(TemplateError, match=r"drops words of the user.*chat_template="):
        template.render([USER, SAID, MORE])


@pytest.mark.parametrize("name", ["the last only", "the first only"])
def test_a_conversation_that_loses_nothing(name: str, demo: Model) -> None:
    """One message is all there is to show, so such a template will do."""
    assert "Hi" in ChatTemplate(shapes.LOSES_QUESTIONS[name], demo).render([USER]).text


def test_a_dropped_answer_is_no_error(demo: Model) -> None:
    """The model forgets what it said, which the plan warns of; the user's words are all there."""
    text = ChatTemplate(shapes.LOSES_ANSWERS, demo).render([USER, SAID, MORE]).text
    assert MORE["content"] in text
    assert SAID["content"] not in text


@pytest.mark.parametrize("name", shapes.KEEPS_ALL)
def test_changed_words_are_not_lost(name: str, demo: Model) -> None:
    """Trimmed, quoted, in capitals or in another order: every message is there."""
    prompt = ChatTemplate(shapes.KEEPS_ALL[name], demo).render([USER, SAID, MORE, SAID, USER])
    assert "this" in prompt.text.casefold()


def test_words_that_are_cut(demo: Model) -> None:
    """A template that shows the beginning of a message keeps short ones, and no long one."""
    template = ChatTemplate(shapes.CUTS, demo)
    assert "Hi" in template.render([USER]).text
    with pytest.raises(TemplateError, match="drops words of the user: message 3 of 3, 'word word"):
        template.render([USER, SAID, {"role": "user", "content": "word " * 20}])
    with pytest.raises(TemplateError, match="drops words of the system"):
        template.render([{"role": "system", "content": "word " * 20}, USER])


def test_empty_turns_have_no_words(demo: Model) -> None:
    """Nothing can be lost of them."""
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": " \n"}]
    assert ChatTemplate(shapes.KEEPS_ALL["trims"], demo).render(messages).ids
