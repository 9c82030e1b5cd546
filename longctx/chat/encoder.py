"""Conversations and plain text to the token ids that are prefilled, and back to text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from longctx import arguments
from longctx.chat.chat_template import ChatTemplate, RenderedPrompt
from longctx.chat.prompt import EncodedPrompt
from longctx.errors import RequestError
from longctx.prompt import CompressedSpan, tools_of
from longctx.tokens import ModelTokenizer
from longctx.types import Message, Messages, ToolSchema, as_messages

Ids: TypeAlias = Sequence[int] | NDArray[np.int32]


class PromptEncoder:
    """Renders and counts what a model is asked, in its template and its tokens.

    Args:
        tokenizer: of the model.
        template: how its conversations are written.
        check_open: raises once the model is closed: its vocabulary goes with it.
        pins: whether to say what of a prompt a window that slides must keep; it costs a second
            rendering.
    """

    def __init__(
        self,
        tokenizer: ModelTokenizer,
        template: ChatTemplate,
        *,
        check_open: Callable[[], None] = lambda: None,
        pins: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._check_open = check_open
        self._pins = pins

    @property
    def template_source(self) -> str:
        """The Jinja text that conversations are rendered with."""
        return self._template.source

    def count(self, text: str | Messages, tools: Sequence[ToolSchema] | None = None) -> int:
        """Tokens of a plain text by itself, or of a conversation, up to where its answer begins."""
        if not isinstance(text, str):
            return self.conversation(text, tools).n_tokens
        self._check_open()
        return self._tokenizer.count(text)

    def ids(self, prompt: str | Messages, tools: Sequence[ToolSchema] | None = None) -> list[int]:
        """What is prefilled of a plain text or a conversation."""
        if not isinstance(prompt, str):
            return list(self.conversation(prompt, tools).ids)
        return self.part(prompt, True)

    # Conversations

    def conversation(
        self,
        messages: Messages,
        tools: Sequence[ToolSchema] | None = None,
        *,
        thinking: bool | str | None = None,
        template_options: Mapping[str, Any] | None = None,
    ) -> EncodedPrompt:
        """Render and count a conversation, up to where its answer begins.

        A prompt that this encoder made is returned as it is.

        Raises:
            TemplateError: the messages are no conversation.
            ToolError: a tool's definition is wrong.
            RequestError: a prompt that was counted with other tools, or a switch that the
                template does not have.
        """
        self._check_open()
        schemas = tools_of(messages, tools)
        conversation = tuple(as_messages(messages))
        template = self._template.variant(conversation, schemas)
        options = template.options(thinking, template_options)
        if (
            isinstance(messages, EncodedPrompt)
            and messages.counted_by is self._template
            and (options is None or options == messages.options)
        ):
            return messages
        rendered = template.render(conversation, schemas, options=options)
        pinned = _n_pinned(template, conversation, schemas, rendered) if self._pins else 0
        return EncodedPrompt(
            conversation,
            schemas,
            len(rendered.ids),
            self._template,
            _still_compressed(messages, rendered.ids),
            rendered=rendered,
            template=template,
            pinned=pinned,
            options=options,
        )

    def transcript(self, messages: Messages, tools: Sequence[ToolSchema] | None) -> list[int]:
        """The ids of a conversation as it stands, without the beginning of another answer."""
        self._check_open()
        schemas = tools_of(messages, tools)
        conversation = as_messages(messages)
        template = self._template.variant(conversation, schemas)
        return template.render(conversation, schemas, add_generation_prompt=False).ids

    def recall(self, ids: Sequence[int]) -> None:
        """Write the fragments of a text that comes back from disk as they are written there.

        Without it, answers in it would be tokenised anew, and the prompts of a saved
        conversation could differ from what is cached of it.
        """
        self._template.recall(ids)

    @property
    def can_think(self) -> bool:
        """Whether answers may begin with thoughts, by the template."""
        answers = self._template.answers
        return answers.channels or answers.thinking is not None

    def has_thinking_switch(self, thinking: bool | str) -> bool:
        """Whether the template has a switch for it."""
        try:
            self._template.options(thinking, None)
        except RequestError:
            return False
        return True

    # Plain text

    def text(self, text: str) -> EncodedPrompt:
        """A plain text to continue, with the model's BOS, as a prompt."""
        ids = self.ids(text)
        return EncodedPrompt(
            (),
            (),
            len(ids),
            rendered=RenderedPrompt(text=text, ids=ids),
            template=self._template,
            n_added=int(self._tokenizer.adds_bos),
        )

    def tokens(self, ids: Ids) -> EncodedPrompt:
        """Token ids to continue, as they are, as a prompt.

        Raises:
            RequestError: they are no token ids of this vocabulary.
        """
        found = self.checked(ids).tolist()
        rendered = RenderedPrompt(text=self.detokenize(found), ids=found)
        return EncodedPrompt((), (), len(found), rendered=rendered, template=self._template)

    def part(self, text: str, at_start: bool) -> list[int]:
        """Token ids of a part of a text; of its start with the model's BOS."""
        self._check_open()
        return self._tokenizer.encode(text, add_special=at_start)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a plain text by itself."""
        self._check_open()
        return list(self._tokenizer.encode_once(text))

    def checked(self, ids: Ids) -> NDArray[np.int32]:
        """Token ids of this vocabulary.

        Raises:
            RequestError: they are something else.
        """
        self._check_open()
        return arguments.token_ids(ids, self._tokenizer.n_vocab)

    def detokenize(self, ids: Ids) -> str:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD.

        Raises:
            RequestError: they are no token ids of this vocabulary.
        """
        return self._tokenizer.decode_bytes(self.checked(ids).tolist()).decode("utf-8", "replace")


def _n_pinned(
    template: ChatTemplate,
    conversation: Sequence[Message],
    tools: Sequence[ToolSchema],
    rendered: RenderedPrompt,
) -> int:
    """Tokens of system messages and tools, up to where the first user's text begins.

    Only the template knows where that is, so it renders the same beginning before an empty
    message; what both renderings begin with is what stands before the text.
    """
    system = list(takewhile(lambda m: m.is_system, conversation))
    first = template.render([*system, Message(role="user", content="")], tools)
    pairs = zip(first.ids, rendered.ids, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _still_compressed(messages: Messages, ids: list[int]) -> tuple[CompressedSpan, ...]:
    """The passages that may stand compressed, of a prompt that is rendered once more."""
    if not isinstance(messages, EncodedPrompt):
        return ()
    pairs = zip(messages.ids, ids, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return tuple(span for span in messages.compressed if span.end <= same)
