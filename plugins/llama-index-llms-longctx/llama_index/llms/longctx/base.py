"""``LongCtx``: a local GGUF model as an LLM of LlamaIndex."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool
from llama_index.llms.longctx.messages import StreamedAnswer, response_of, to_longctx
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation, create_model

from longctx import LongContextLLM, Message, RequestError, ToolError
from longctx.options import ANSWER_OPTIONS, CHAT_OPTIONS, RUN_OPTIONS, ToolChoice, sampling_fields
from longctx.shared_models import OPENING_OPTIONS, shared_model

# LlamaIndex's responses do not show probabilities as longctx has them.
_OF_A_CALL = CHAT_OPTIONS - {"top_logprobs"}


if TYPE_CHECKING:

    class _Sampled(FunctionCallingLLM):
        """Each option of sampling is a setting; longctx says which there are."""
else:
    _Sampled = create_model("_Sampled", __base__=FunctionCallingLLM, **sampling_fields())


class LongCtx(_Sampled):
    """A local GGUF model with the window you ask for.

    Models with the same settings share their weights; an unchanged prefix of a conversation is
    not prefilled again (``response.additional_kwargs["cached_tokens"]``). What does not fit
    raises :class:`longctx.ContextOverflowError`; nothing is cut.

    Args:
        model: path of a GGUF file; None is the packaged demo model (extra ``demo``).
        target_ctx: the window wanted, in tokens.
        window, overflow, method, kv_type, memory_limit, reserve_output, n_threads, n_gpu_layers,
            cache_dir, chat_template: as in :class:`longctx.LongContextLLM`.
        temperature, top_k, top_p, min_p, repeat_penalty, dry_multiplier, logit_bias, …: how answers
            are drawn, as in :class:`longctx.options.SamplingOptions`; 0, the default temperature,
            is greedy.
        max_tokens: room for the answer; None is the plan's ``reserve_output``.
        seed: of sampling; None draws a new one each call.
        stop: strings that end the answer.
        stop_on_repetition: end an answer that says the same over and over (by default, True).
        thinking: whether the model thinks first, or how much (``"low"``), where its chat template
            has a switch for it. Thoughts are a ``ThinkingBlock`` of the message.
        thinking_budget: tokens of reasoning, behind which the answer begins; None is no limit.
        opened: a model that is open already, in place of ``model`` and what opens one.

    Raises:
        RequestError: ``opened`` beside another setting that opens a model.
        ModelFileError: the file is missing or damaged.
        PlanError: no window satisfies the request.
        MissingExtraError: ``model=None`` and the demo model is not installed.
    """

    # A misspelt setting is an error, not a window that stays small.
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str | None = None
    target_ctx: int = 32_768
    window: Literal["elastic", "fixed"] = "elastic"
    overflow: Literal["error", "slide", "compress"] = "error"
    method: str = "auto"
    kv_type: str = "auto"
    memory_limit: int | str | None = None
    reserve_output: int | None = None
    n_threads: int | None = None
    n_gpu_layers: int | str = "auto"
    cache_dir: str | None = None
    chat_template: str | None = None

    max_tokens: int | None = None
    stop: list[str] | None = None
    stop_on_repetition: bool | None = None
    thinking: bool | str | None = None
    thinking_budget: int | None = None

    opened: SkipValidation[LongContextLLM | None] = Field(default=None, exclude=True, repr=False)

    _llm: LongContextLLM = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Load the weights, or take those that are loaded already."""
        super().model_post_init(context)
        opening = self._own(OPENING_OPTIONS - ANSWER_OPTIONS)
        if self.opened is None:
            self._llm = shared_model(self.model, **opening)
        elif given := sorted(self.model_fields_set & {"model", *opening}):
            raise RequestError(f"opened= is a model already; leave out {', '.join(given)}")
        else:
            self._llm = self.opened

    @classmethod
    def class_name(cls) -> str:
        """What LlamaIndex stores it as."""
        return "LongCtx"

    @property
    def llm(self) -> LongContextLLM:
        """The model itself, for sessions, documents and agents of longctx."""
        return self._llm

    @property
    def tokenizer(self) -> Callable[[str], list[int]]:
        """Text to the model's own token ids: ``Settings.tokenizer = llm.tokenizer``."""
        return self._llm.tokenize

    @property
    def metadata(self) -> LLMMetadata:
        """The window, as LlamaIndex packs it.

        ``context_window`` is the whole window less what the chat template puts around a system
        message and a question, because LlamaIndex fills it to the last token.
        """
        user = Message(role="user")
        frame = max(self._llm.count([user]), self._llm.count([Message(role="system"), user]))
        return LLMMetadata(
            context_window=self._llm.target_ctx - frame,
            num_output=self._llm.reserve_output if self.max_tokens is None else self.max_tokens,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name=self._llm.info.name or "longctx",
        )

    # Chat

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        return self._chat(messages, kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer piece by piece; the last piece has calls and usage."""
        return self._stream(messages, kwargs)  # type: ignore[return-value]  # an iterator is read

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """:meth:`chat` in a thread; calls queue."""
        return await self._achat(messages, kwargs)

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """:meth:`stream_chat`, in an event loop."""
        return self._astream(messages, kwargs)  # type: ignore[return-value]  # an iterator

    # Completions: a question in the chat template

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        return _completion(self._chat(_asked(prompt), kwargs))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Answer a prompt piece by piece."""
        return (_completion(piece) for piece in self._stream(_asked(prompt), kwargs))

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """:meth:`complete` in a thread."""
        return _completion(await self._achat(_asked(prompt), kwargs))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """:meth:`stream_complete` in threads."""
        return (_completion(piece) async for piece in self._astream(_asked(prompt), kwargs))

    # Tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What :meth:`chat` takes; without parallel calls the next follows the first's result."""
        messages = list(chat_history or [])
        if user_msg is not None:
            messages += _asked(user_msg) if isinstance(user_msg, str) else [user_msg]
        schemas = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        choice = _choice(tool_choice, tool_required)
        return {
            "messages": messages,
            "tools": schemas or None,
            "tool_choice": choice,
            "parallel_tool_calls": allow_parallel_tool_calls,
            **kwargs,
        }

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls of an answer.

        Raises:
            ToolError: there is none, and ``error_on_no_tool_call``.
        """
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if error_on_no_tool_call and not calls:
            raise ToolError(
                "the answer calls no tool; pass tool_required=True to hold it to one, or "
                "error_on_no_tool_call=False"
            )
        return [
            ToolSelection(
                tool_id=call.tool_call_id or "",
                tool_name=call.tool_name,
                tool_kwargs=call.tool_kwargs,  # type: ignore[arg-type]  # a dict: response_of
            )
            for call in calls
        ]

    # Inside

    def _chat(self, messages: Sequence[ChatMessage], given: dict[str, Any]) -> ChatResponse:
        return response_of(self._llm.chat(to_longctx(messages), **self._options(given)))

    async def _achat(self, messages: Sequence[ChatMessage], given: dict[str, Any]) -> ChatResponse:
        return await asyncio.to_thread(self._chat, messages, given)

    def _stream(
        self, messages: Sequence[ChatMessage], given: dict[str, Any]
    ) -> Iterator[ChatResponse]:
        answer = StreamedAnswer()
        for chunk in self._llm.stream_chat(to_longctx(messages), **self._options(given)):
            yield answer.with_piece(chunk)

    async def _astream(
        self, messages: Sequence[ChatMessage], given: dict[str, Any]
    ) -> AsyncIterator[ChatResponse]:
        answer = StreamedAnswer()
        async for chunk in self._llm.astream_chat(to_longctx(messages), **self._options(given)):
            yield answer.with_piece(chunk)

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        """This model's settings, and those of the call above them."""
        if unknown := sorted(given.keys() - _OF_A_CALL):
            raise RequestError(
                f"LongCtx has no option {', '.join(unknown)} of a call; a call takes "
                f"{', '.join(sorted(_OF_A_CALL))}"
            )
        return {**self._own(RUN_OPTIONS), **given}

    def _own(self, names: Collection[str]) -> dict[str, Any]:
        """Those of the named options that are fields of this class, not of LlamaIndex's base."""
        own = type(self).model_fields.keys() - FunctionCallingLLM.model_fields.keys()
        return {name: getattr(self, name) for name in own.intersection(names)}


def _asked(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=prompt)]


def _completion(response: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        additional_kwargs=response.additional_kwargs,
    )


def _choice(choice: str | dict[str, Any] | None, required: bool) -> ToolChoice:
    """LlamaIndex's words for what to call in OpenAI's."""
    if choice is None:
        return "required" if required else "auto"
    if choice == "any":
        return "required"
    if isinstance(choice, dict) or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}
