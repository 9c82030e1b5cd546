"""Messages and options to an answer under way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from longctx import arguments
from longctx.channel import Channel, Merged
from longctx.chat import EncodedPrompt, Expected, Hearing, expect_answer, expect_text
from longctx.engine import Outcome, Writing
from longctx.errors import RequestError
from longctx.local.completion import completion_of
from longctx.local.loading import LoadedModel
from longctx.local.settings import settings_of
from longctx.options import (
    ANSWER_OPTIONS,
    CHAT_OPTIONS,
    AnswerOptions,
    ChatOptions,
    check_names,
    tool_choice_of,
)
from longctx.progress import SideBySideMeter
from longctx.stream import Event, Stream
from longctx.types import Chunk, Completion, Messages, Progress


class AnswerGenerator:
    """Lets a model answer, each answer beside the others.

    Arguments and errors are those of :meth:`longctx.LongContextLLM.chat`.

    Everything that can be refused is refused here, in the caller's thread, before the answer is
    handed to the engine: what the engine gets, it can begin.

    Args:
        model: that answers.
        seed: of sampling, where a call has none; None draws a new one each call.
    """

    def __init__(self, model: LoadedModel, seed: int | None) -> None:
        self._model = model
        self._seed = seed

    def chat(self, messages: Messages, options: ChatOptions) -> Stream:
        """Answer a conversation."""
        check_names(options, CHAT_OPTIONS, "of chat()")
        prompt = self._prompt(messages, options)
        return self._stream(prompt, options, _expected(prompt, options))

    def text(
        self, prompt: str | Sequence[int] | NDArray[np.int32], options: AnswerOptions
    ) -> Stream:
        """Continue a plain text, or token ids."""
        check_names(options, ANSWER_OPTIONS, "of generate()")
        prompts = self._model.prompts
        if isinstance(prompt, str) or not arguments.are_numbers(prompt):
            encoded = prompts.text(arguments.plain_text("prompt", prompt))
        else:
            encoded = prompts.tokens(prompt)
        return self._stream(encoded, options, expect_text(options.get("response_schema")))

    def batch(self, conversations: Sequence[Messages], options: ChatOptions) -> list[Completion]:
        """Answer conversations side by side; the answers in their order.

        The first error of an answer gives the others up.
        """
        check_names(options, CHAT_OPTIONS, "of chat_batch()")
        arguments.listener("on_progress", options.get("on_progress"))
        if not isinstance(conversations, Iterable):
            raise RequestError(f"chat_batch() takes conversations, not {conversations!r:.80}")
        prompts = [self._prompt(each, options) for each in conversations]
        merged: Merged[Event] = Merged(len(prompts))
        writings = [
            self._writing(prompt, options, _expected(prompt, options), channel)
            for prompt, channel in zip(prompts, merged.channels, strict=True)
        ]
        meter = SideBySideMeter(options.get("on_progress"), [p.n_tokens for p in prompts])
        results: dict[int, Completion] = {}
        try:
            for writing in writings:
                self._begin(writing)
            while len(results) < len(prompts):
                i, event = merged.receive()
                if isinstance(event, Progress):
                    meter.tell(i, event)
                elif event.result is not None:
                    results[i] = event.result
        finally:
            merged.cancel()
        return [results[i] for i in range(len(prompts))]

    def _prompt(self, messages: Messages, options: ChatOptions) -> EncodedPrompt:
        # With tool_choice="none" too the tools stay in the prompt: the cached prefix has them.
        return self._model.prompts.conversation(
            messages,
            options.get("tools"),
            thinking=options.get("thinking"),
            template_options=options.get("template_options"),
        )

    def _stream(self, prompt: EncodedPrompt, options: AnswerOptions, expected: Expected) -> Stream:
        arguments.listener("on_progress", options.get("on_progress"))
        channel: Channel[Event] = Channel()
        writing = self._writing(prompt, options, expected, channel)
        # The stream is made first: from here on, dropping it gives the answer up.
        stream = Stream(channel, options.get("on_progress"))
        self._begin(writing)
        return stream

    def _begin(self, writing: Writing) -> None:
        self._model.thread.post(partial(self._model.engine.add, writing))

    def _writing(
        self,
        prompt: EncodedPrompt,
        options: AnswerOptions,
        expected: Expected,
        channel: Channel[Event],
    ) -> Writing:
        """Check what is asked for, before any work."""
        plan, vocabulary = self._model.plan, self._model.engine.model
        settings = settings_of(options, plan, prompt, self._seed, expected, vocabulary)
        hearing = None if expected.hear is None else expected.hear()
        finish = partial(_finish, prompt, hearing)
        return Writing(
            prompt.ids, settings, channel, finish,
            pinned=prompt.pinned, compressed=prompt.compressed, hearing=hearing,
        )  # fmt: skip


def _expected(prompt: EncodedPrompt, options: ChatOptions) -> Expected:
    return expect_answer(
        prompt.template,
        prompt.rendered.text,
        prompt.messages,
        prompt.tools,
        tool_choice_of(options),
        options.get("response_schema"),
        many=arguments.parallel_tool_calls(options.get("parallel_tool_calls")),
        thinking_budget=options.get("thinking_budget"),
    )


def _finish(prompt: EncodedPrompt, hearing: Hearing | None, outcome: Outcome) -> Chunk:
    """The last chunk of an answer. It is called in the engine's thread, which must not hold the
    model, or one that everybody else has dropped would never be freed."""
    # Tokenising the answer's text again may give other ids than the model wrote; the next prompt
    # of this conversation would then part with the cache where the answer begins.
    prompt.template.remember(prompt.rendered, outcome.text, outcome.ids)
    return Chunk(result=completion_of(outcome, hearing))
