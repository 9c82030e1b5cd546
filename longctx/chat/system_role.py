"""Where system messages stand, by what the template takes.

Gemma's and older Mistral templates refuse them, others drop the second, or all but the last. None
is lost: what a template would not show is said by the user, at the head of the first message (which
is where Gemma 3 and llama.cpp put it), or of the one that follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from longctx.chat.template_traits import TemplateTraits
from longctx.types import Message


def place_system(messages: Sequence[Message], traits: TemplateTraits) -> list[Message]:
    """Rewrite a conversation so that its template shows every system message.

    The role ``developer`` is ``system`` where the template does not know it.
    """
    conversation = [_known(message, traits) for message in messages]
    if traits.system_role and traits.late_system:
        return conversation
    head = list(takewhile(lambda message: message.is_system, conversation))
    out, waiting = [], [message.content for message in head]
    if head and traits.system_role:
        out, waiting = [_with_content(head[0], waiting)], []
    for message in conversation[len(head) :]:
        if message.is_system:
            waiting.append(message.content)
        elif message.role == "user":
            out.append(_with_content(message, [*waiting, message.content]))
            waiting = []
        else:
            # Calls and their results stay together; elsewhere it is said before the answer.
            if any(waiting) and not (out and out[-1].role in ("assistant", "tool")):
                _say(out, waiting)
                waiting = []
            out.append(message)
    if any(waiting):
        # An answer that is to be continued stays last.
        begun = [out.pop()] if out[-1:] == conversation[-1:] and out[-1].role == "assistant" else []
        _say(out, waiting)
        out += begun
    return out


def _known(message: Message, traits: TemplateTraits) -> Message:
    if message.role == "developer" and not traits.developer_role:
        return message.model_copy(update={"role": "system"})
    return message


def _say(out: list[Message], texts: Sequence[str]) -> None:
    """Let the user's last message end with texts, or a new one be them."""
    if out and out[-1].role == "user":
        out[-1] = _with_content(out[-1], [out[-1].content, *texts])
    else:
        out.append(_with_content(Message(role="user"), texts))


def _with_content(message: Message, texts: Iterable[str]) -> Message:
    return message.model_copy(update={"content": "\n\n".join(filter(None, texts))})
