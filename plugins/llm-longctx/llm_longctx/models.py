"""``LongCtx`` and ``AsyncLongCtx``: a GGUF file as a model of ``llm``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any

import click
import llm
from llm.parts import StreamEvent

from llm_longctx.errors import in_llms_words
from llm_longctx.messages import finish, schemas_of, thought, to_longctx
from llm_longctx.named_models import plugin_dir
from llm_longctx.options import DescribedOptions, LongCtxOptions
from longctx.options import ANSWER_OPTIONS, RUN_OPTIONS

if TYPE_CHECKING:
    from longctx import LongContextLLM


class _Shared:
    """What both have: the file, the weights while they are in use, and the request.

    Args:
        model_id: what ``llm`` calls it.
        path: the GGUF file; None is the packaged model.
    """

    can_stream = True
    supports_schema = True
    supports_tools = True

    def __init__(self, model_id: str, path: str | None = None) -> None:
        self.model_id = model_id
        self.path = path
        # Models with the same settings share their weights; this keeps them for the next prompt.
        self._llm: LongContextLLM | None = None

    def __str__(self) -> str:
        return f"longctx: {self.model_id}"

    def open(self, options: llm.Options | None = None) -> LongContextLLM:
        """The model itself, loaded at the first prompt.

        Raises:
            LongCtxModelError: the file is missing or damaged, or the window cannot be had.
        """
        options = options or LongCtxOptions()
        assert isinstance(options, DescribedOptions)
        with in_llms_words():
            from longctx.packaged_model import demo_model, fast_copy
            from longctx.shared_models import OPENING_OPTIONS, shared_model

            path = options.model or self.path
            if path is None:
                path = str(fast_copy(demo_model(), announce=_announce))
            settings = options.given(OPENING_OPTIONS - ANSWER_OPTIONS)
            if options.cache is not False:
                settings["cache_dir"] = plugin_dir()
            self._llm = shared_model(path, **settings)
            return self._llm

    def _request(self, prompt: llm.Prompt) -> dict[str, Any]:
        """What ``chat`` takes."""
        options = prompt.options
        assert isinstance(options, DescribedOptions)
        tools = schemas_of(prompt.tools)
        messages = to_longctx(prompt.messages)
        choice = options.tool_choice or "auto"
        if choice == "required" and messages and messages[-1]["role"] == "tool":
            choice = "auto"  # else the chain would never come to an answer
        return {
            "messages": messages,
            "tools": tools or None,
            "tool_choice": choice,
            "response_schema": prompt.schema,
            **options.given(RUN_OPTIONS - {"tool_choice"}),
        }


class LongCtx(_Shared, llm.Model):
    """A GGUF file with the window you ask for."""

    Options = LongCtxOptions  # type: ignore[assignment]  # llm itself narrows it like this

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None = None,
    ) -> Iterator[str | StreamEvent]:
        """Answer, piece by piece where ``stream`` is set."""
        with in_llms_words():
            request = self._request(prompt)
            model = self.open(prompt.options)
            if not stream:
                result = model.chat(**request)
                yield from thought(result.reasoning)
                yield result.text
                yield from finish(response, result)
                return
            for chunk in model.stream_chat(**request):
                yield from thought(chunk.reasoning)
                if chunk.text:
                    yield chunk.text
                if chunk.result:
                    yield from finish(response, chunk.result)


class AsyncLongCtx(_Shared, llm.AsyncModel):
    """The same without blocking the event loop; calls queue."""

    Options = LongCtxOptions  # type: ignore[assignment]  # llm itself narrows it like this

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None = None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer, piece by piece where ``stream`` is set."""
        with in_llms_words():
            request = self._request(prompt)
            model = await asyncio.to_thread(self.open, prompt.options)
            if not stream:
                result = await model.achat(**request)
                for event in thought(result.reasoning):
                    yield event
                yield result.text
                for event in finish(response, result):
                    yield event
                return
            async for chunk in model.astream_chat(**request):
                for event in thought(chunk.reasoning):
                    yield event
                if chunk.text:
                    yield chunk.text
                if chunk.result:
                    for event in finish(response, chunk.result):
                        yield event


def _announce(line: str) -> None:
    click.echo(line, err=True)
