"""Messages to the exact tokens of a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from longctx._native import TokenAttr
from longctx.chat.calls.answer_reader import AnswerFormat
from longctx.chat.calls.format import BARE
from longctx.chat.guard import Guard, pick_sentinel
from longctx.chat.kept_words import check_words
from longctx.chat.named_templates import PASS_ANOTHER
from longctx.chat.prompt_template import PromptTemplate
from longctx.chat.prompt_tokens import PromptTokens
from longctx.chat.system_role import place_system
from longctx.chat.template_options import template_options
from longctx.chat.template_traits import TemplateTraits
from longctx.chat.tool_calls import check_tools, escaped
from longctx.chat.tool_prompt import spell_out_tools
from longctx.errors import TemplateError
from longctx.tokens.fragment_memory import FragmentMemory, Key
from longctx.tokens.special_tokens import SpecialToken, SpecialTokens
from longctx.tokens.vocabulary import Vocabulary
from longctx.types import Message, Messages, ToolSchema, as_messages

Plain = list[dict[str, Any]]

_REASONING = ("reasoning_content", "thinking", "reasoning")
"""What templates call the thoughts of a message."""


@dataclass(frozen=True)
class RenderedPrompt:
    """A prompt, as text and as the token ids that are prefilled.

    ``text`` is what the template wrote. ``ids`` begin with BOS where the model wants one,
    also where the template left it out. ``tail`` is the fragment after the last control
    token, which the answer continues, and ``tail_ids`` its ids (None and empty for a prompt
    that is no conversation).
    """

    text: str
    ids: list[int]
    tail: Key | None = None
    tail_ids: tuple[int, ...] = ()


class ChatTemplate:
    """A chat template over a vocabulary.

    What users supply (content, tool results, arguments, tool schemas) never becomes a
    control token, nor markup such as ``<tool_call>`` where that is one token; the
    template's own markers do. An assistant's content may hold markup (``<think>``), because
    the model wrote it and templates look for it, but no control token.

    Nor is a word lost: system messages stand where the template shows them, and a template that
    drops the user's is refused.

    Args:
        source: the Jinja template; None for ChatML. One that is no Jinja fails when it is used.
        vocabulary: the model, or a :class:`~longctx.tokens.ModelTokenizer` over it.
        for_tools: the template of conversations with tools; None is the same.
    """

    def __init__(
        self, source: str | None, vocabulary: Vocabulary, *, for_tools: str | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._for_tools = None if for_tools is None else ChatTemplate(for_tools, vocabulary)
        self._template = PromptTemplate(
            source, bos=self._text_of(vocabulary.bos), eos=self._text_of(vocabulary.eos)
        )
        source = self._template.source
        self._special = SpecialTokens.of(vocabulary)
        markup = [token for token in self._special.tokens if token.is_markup(source)]
        self._guard = Guard(markup)
        self._answer_guard = Guard(token for token in markup if token.is_control)
        self._found_anyway = SpecialTokens(token for token in markup if not token.is_control)
        self._written = FragmentMemory()
        found_anyway = self._found_anyway
        self._tokens = PromptTokens(vocabulary, self._special, found_anyway, self._written)

    @property
    def source(self) -> str:
        """The Jinja text."""
        return self._template.source

    @property
    def traits(self) -> TemplateTraits:
        """What the template can do."""
        return self._template.traits

    @property
    def supports_tools(self) -> bool:
        """Whether the template itself shows tools to the model."""
        return self.traits.supports_tools

    @property
    def answers(self) -> AnswerFormat:
        """How the model writes answers; tools that were described in words are called in JSON."""
        found = self._template.answers
        if self.supports_tools or found.channels:
            return found
        own = found.calls if found.calls.begins else None
        return replace(found, calls=BARE, also=own)

    def variant(self, conversation: Sequence[Message], tools: Sequence[Any]) -> ChatTemplate:
        """The template of a conversation: its own, or that of conversations with tools."""
        speaks = self._speaks_of_tools(conversation, tools)
        return self._for_tools if speaks and self._for_tools is not None else self

    def options(self, thinking: Any, others: Any) -> Mapping[str, Any] | None:
        """The variables that a call's options come to.

        Raises:
            RequestError: the template has no such switch or variable.
        """
        return template_options(self._template.variables, thinking, others)

    def partition(self, text: str) -> list[str | SpecialToken]:
        """Cut a text at the vocabulary's special tokens."""
        return self._special.partition(text)

    def render(
        self,
        messages: Messages,
        tools: Sequence[ToolSchema] | None = None,
        *,
        add_generation_prompt: bool = True,
        options: Mapping[str, Any] | None = None,
    ) -> RenderedPrompt:
        """Render a conversation.

        Args:
            messages: of the conversation, oldest first.
            tools: what the model may call; a template without tools gets them described in
                the system message.
            add_generation_prompt: end where the answer begins: behind what opens the assistant's
                message, or, where the last message is the assistant's, behind its words, which the
                answer continues. A last message with tool calls is none to continue: it is closed,
                and a new message is opened.
            options: variables of the template's own.

        Returns:
            The text and its tokens.

        Raises:
            TemplateError: no conversation; the template is no Jinja, or refuses the conversation
                (with its own message), or would drop words of it.
            ToolError: a tool's definition is wrong.
        """
        conversation = as_messages(messages)
        last = conversation[-1]
        continues = add_generation_prompt and last.role == "assistant" and not last.tool_calls
        checked = check_tools(tools or [])
        if self._speaks_of_tools(conversation, checked) and not self.supports_tools:
            conversation = spell_out_tools(conversation, checked, self._without_markup)
            checked = []
        plain = self._to_template(place_system(conversation, self.traits))
        sentinel = pick_sentinel(plain, checked, self._template.source)
        shown_tools = self._guard.break_tree(checked, sentinel) or None

        def render(conversation: Sequence[Mapping[str, Any]], keep: bool = False) -> str:
            guarded = [self._break_message(message, sentinel) for message in conversation]
            if continues:
                return self._inside_last(guarded, shown_tools, sentinel, options)
            return self._template.render(
                guarded,
                shown_tools,
                add_generation_prompt=add_generation_prompt,
                options=options,
                keep=keep,
            )

        marked = render(plain, keep=True)
        text = marked.replace(sentinel, "")
        check_words(plain, text, render, trusted=self.traits.keeps_questions)
        ids, tail, tail_ids = self._tokens.of(marked, sentinel)
        return RenderedPrompt(text, self._with_bos(ids), tail, tail_ids)

    def count(self, messages: Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Return how many tokens :meth:`render` makes, generation prompt included."""
        return len(self.render(messages, tools).ids)

    def remember(
        self, prompt: RenderedPrompt, generated_text: str, generated_ids: Sequence[int]
    ) -> None:
        """Keep the ids of an answer, so that the next prompt begins with what is cached.

        Args:
            prompt: what the answer continued.
            generated_text: the answer as it was written; control tokens inside by their text.
            generated_ids: its tokens; tokens that end the message may follow.
        """
        ids = list(generated_ids)
        while ids and self._is_control(ids[-1]):
            ids.pop()
        # A stop string cuts text that the ids still hold, and bytes that are no text show as
        # U+FFFD: the ids do not stand for it. With them, the same messages would be another
        # prompt to the model that wrote them than to any other.
        if not prompt.tail or self._vocabulary.decode_bytes(ids, special=True) != (
            generated_text.encode()
        ):
            return
        before, text = prompt.tail
        self._remember(before, text, prompt.tail_ids, ids)

    def recall(self, ids: Sequence[int]) -> None:
        """Remember every fragment of a text that comes back from disk with its keys.

        Args:
            ids: the whole text, answers as the model wrote them.
        """
        self._remember(None, "", (), ids)
        if self._for_tools is not None:
            self._for_tools.recall(ids)

    def _remember(
        self, before: int | None, head: str, head_ids: Sequence[int], ids: Sequence[int]
    ) -> None:
        """Keep fragments between control tokens; the first goes on from a head."""
        for is_control, group in groupby(ids, self._is_control):
            tokens = list(group)
            if is_control:
                before, head, head_ids = tokens[-1], "", ()
            else:
                with suppress(UnicodeDecodeError):  # of no text
                    text = self._vocabulary.decode_bytes(tokens, special=True).decode()
                    self._written.put((before, head + text), [*head_ids, *tokens])

    def _without_markup(self, text: str) -> str:
        """Text of a call that is written in words: its marks in JSON's escapes."""
        starts = {start for start, _ in self._found_anyway.occurrences(text)}
        if not starts:
            return text
        return "".join(escaped(char) if i in starts else char for i, char in enumerate(text))

    def _is_control(self, token: int) -> bool:
        attr = self._vocabulary.token_attr(token)
        return bool(attr & (TokenAttr.CONTROL | TokenAttr.UNKNOWN))

    @staticmethod
    def _speaks_of_tools(conversation: Sequence[Message], tools: Sequence[Any]) -> bool:
        return bool(tools) or any(m.role == "tool" or m.tool_calls for m in conversation)

    def _to_template(self, conversation: Sequence[Message]) -> list[dict[str, Any]]:
        """What the template renders: arguments and call ids in the form it wants."""
        out = [message.to_template() for message in conversation]
        for message in out:
            if thought := message.get("reasoning_content"):
                message |= {key: thought for key in _REASONING if key in self._template.source}
        calls = [call for message in out for call in message.get("tool_calls", ())]
        if calls and self.traits.text_arguments:
            for call in calls:
                arguments = call["function"]["arguments"]
                call["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False)
        if calls and self.traits.nine_letter_ids:
            short = {call["id"]: f"call{number:05}" for number, call in enumerate(calls, 1)}
            for call in calls:
                call["id"] = short[call["id"]]
            for message in out:
                if "tool_call_id" in message:
                    message["tool_call_id"] = short.get(message["tool_call_id"], "call00000")
        return out

    def _break_message(self, message: Mapping[str, Any], sentinel: str) -> dict[str, Any]:
        guard = self._answer_guard if message["role"] == "assistant" else self._guard
        words = {
            key: guard.break_text(message[key], sentinel, inner=True)
            for key in ("content", *_REASONING)
            if key in message
        }
        rest = {key: item for key, item in message.items() if key != "role" and key not in words}
        broken: dict[str, Any] = self._guard.break_tree(rest, sentinel)
        return {"role": message["role"], **words, **broken}

    def _inside_last(
        self, guarded: Plain, tools: Any, sentinel: str, options: Mapping[str, Any] | None
    ) -> str:
        """Text that ends with the content of the last message, which the answer continues.

        Templates may put anything before and behind it, so a mark tells where it ends.

        Raises:
            TemplateError: the template drops it.
        """
        *before, last = guarded
        mark = pick_sentinel(guarded, tools, self._template.source, sentinel)
        closed = [*before, {**last, "content": last["content"] + mark}]
        whole = self._template.render(
            closed, tools, add_generation_prompt=False, options=options, keep=True
        )
        end = whole.rfind(mark)
        if end < 0:
            raise TemplateError(
                "the last message is the assistant's, for the answer to continue, but the chat "
                f"template drops it; end with the user's message, or {PASS_ANOTHER}"
            )
        written = self._as_written(before, tools, last["content"], sentinel)
        return whole[:end] if written is None else written

    def _as_written(self, before: Plain, tools: Any, content: str, sentinel: str) -> str | None:
        """The text as the model saw it while it wrote this content; None where it did not.

        Templates of models that think write the past otherwise, without its thoughts. An answer
        that was cut off goes on from where it stood, and not as one that was thought through.
        """
        try:
            text = self._template.render(before, tools, keep=True) + content
        except TemplateError:  # nothing stands before it, or nothing to answer
            return None
        return text if self._written.get(self._tokens.tail(text, sentinel)) else None

    def _text_of(self, token: int | None) -> str:
        if token is None:
            return ""
        return self._vocabulary.token_text(token).decode("utf-8", "replace")

    def _with_bos(self, ids: list[int]) -> list[int]:
        bos = self._vocabulary.bos
        if bos is None or not self._vocabulary.adds_bos:
            return ids
        n_bos = next((i for i, token in enumerate(ids) if token != bos), len(ids))
        return [bos, *ids[n_bos:]]
