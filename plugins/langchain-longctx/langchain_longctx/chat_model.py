"""``ChatLongCtx``: a local GGUF model as a LangChain chat model."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SkipValidation,
    create_model,
    model_validator,
)
from typing_extensions import Self

from langchain_longctx.errors import in_langchains_words
from langchain_longctx.messages import answer_of, chunk_of, to_longctx
from longctx import Chunk, LongContextLLM, RequestError
from longctx.options import ANSWER_OPTIONS, CHAT_OPTIONS, RUN_OPTIONS, ToolChoice, sampling_fields
from longctx.shared_models import OPENING_OPTIONS, shared_model

_OF_REMOTE_MODELS = ("api_key", "base_url", "max_retries", "timeout")
# LangChain hands ``stop`` over by itself, and its messages do not show probabilities.
_CALL_OPTIONS = CHAT_OPTIONS - {"stop", "top_logprobs"}


if TYPE_CHECKING:

    class _Sampled(BaseChatModel):
        """Each option of sampling is a setting; longctx says which there are."""
else:
    _Sampled = create_model("_Sampled", __base__=BaseChatModel, **sampling_fields())


class ChatLongCtx(_Sampled):
    """A local GGUF model with the window you ask for.

    The weights are loaded once for all instances with the same model and window; an unchanged
    prefix of a conversation is not prefilled again (``usage_metadata["input_token_details"]
    ["cache_read"]``). What does not fit raises :class:`LongCtxOverflowError`; nothing is cut.

    Args:
        model: path of a GGUF file; None is the packaged demo model (extra ``demo``).
        target_ctx: the window wanted, in tokens.
        window, overflow, method, kv_type, memory_limit, reserve_output, n_threads, n_gpu_layers,
            cache_dir, chat_template: as in :class:`longctx.LongContextLLM`.
        temperature, top_k, top_p, min_p, repeat_penalty, dry_multiplier, logit_bias, …: how answers
            are drawn, as in :class:`longctx.options.SamplingOptions`; 0, the default temperature,
            is greedy.
        max_tokens: most tokens of the answer; None lets it go to its end, or the window's.
        seed: of sampling; None draws a new one each call.
        stop: strings that end the answer.
        stop_on_repetition: end an answer that says the same over and over (by default, True).
        thinking: whether the model thinks first, or how much (``"low"``), where its chat template
            has a switch for it. Thoughts are ``additional_kwargs["reasoning_content"]``.
        thinking_budget: tokens of reasoning, behind which the answer begins; None is no limit.
        opened: a model that is open already, in place of ``model`` and what opens one.

    Raises:
        RequestError: ``opened`` beside another setting that opens a model.
        ModelFileError: the file is missing or damaged.
        PlanError: no window satisfies the request.
        MissingExtraError: ``model=None`` and the demo model is not installed.

    Example:
        >>> from langchain_longctx import ChatLongCtx                      # doctest: +SKIP
        >>> ChatLongCtx(target_ctx=16_384).invoke("Hello!").text           # doctest: +SKIP
    """

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
    streaming: bool = False
    """Let ``invoke`` stream too, so that callbacks see each piece."""

    opened: SkipValidation[LongContextLLM | None] = Field(default=None, exclude=True, repr=False)

    # A misspelt setting is an error, not a window that stays small.
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    _llm: LongContextLLM = PrivateAttr()

    # Life

    @model_validator(mode="before")
    @classmethod
    def _leave_out_the_network(cls, values: Any) -> Any:
        """Take paths, and settings of remote models, which programs pass to any model."""
        if not isinstance(values, dict):
            return values
        values = {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}
        for name in _OF_REMOTE_MODELS:
            if values.pop(name, None) is not None:
                warnings.warn(
                    f"{name} has no effect on ChatLongCtx: it runs in this process, without a "
                    "network; leave it out",
                    stacklevel=2,
                )
        return values

    @model_validator(mode="after")
    def _load(self) -> Self:
        opening = self._own(OPENING_OPTIONS - ANSWER_OPTIONS)
        if self.opened is None:
            self._llm = shared_model(self.model, **opening)
        elif given := sorted(self.model_fields_set & {"model", *opening}):
            raise RequestError(f"opened= is a model already; leave out {', '.join(given)}")
        else:
            self._llm = self.opened
        if self.profile is None:  # the base class asks for it before the model is loaded
            self.profile = self._true_profile()
        return self

    @property
    def llm(self) -> LongContextLLM:
        """The model itself, for sessions, documents and agents of longctx."""
        return self._llm

    @property
    def model_name(self) -> str:
        """What the file calls itself."""
        return self._llm.info.name or Path(self.model or "demo").stem

    @property
    def _llm_type(self) -> str:
        return "longctx"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            **self.model_dump(exclude={"cache", "callbacks", "metadata", "tags", "verbose"}),
        }

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """The settings are plain values; the weights are found by path again."""
        return True

    def _true_profile(self) -> ModelProfile:
        plan = self._llm.plan
        room = plan.reserve_output if self.max_tokens is None else self.max_tokens
        return ModelProfile(
            name=self.model_name,
            open_weights=True,
            # The longest prompt that is taken, so that middleware acts before an overflow.
            max_input_tokens=plan.n_ctx - room,
            max_output_tokens=plan.n_ctx if self.max_tokens is None else room,
            text_inputs=True,
            image_inputs=False,
            image_url_inputs=False,
            pdf_inputs=False,
            audio_inputs=False,
            video_inputs=False,
            text_outputs=True,
            reasoning_output=self._llm.can_think,
            tool_calling=True,
            tool_choice=True,
            tool_call_streaming=True,
            # with_structured_output holds answers to a grammar. Agents read this as "tools and a
            # schema in one request", which one grammar cannot serve; at False they use a tool.
            structured_output=False,
            temperature=True,
        )

    # Tokens

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids of plain text, by the model's own vocabulary."""
        return self._llm.tokenize(text)

    def get_num_tokens(self, text: str) -> int:
        """Tokens of plain text, exactly."""
        return self._llm.count(text)

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Tokens that a call would prefill: template, tools and generation prompt included."""
        schemas = [convert_to_openai_tool(tool) for tool in tools or ()]
        return self._llm.count(to_longctx(messages), schemas or None)

    # Generating

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with in_langchains_words():
            result = self._llm.chat(to_longctx(messages), **self._options(stop, kwargs))
        return _result(answer_of(result, self.model_name))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with in_langchains_words():
            result = await self._llm.achat(to_longctx(messages), **self._options(stop, kwargs))
        return _result(answer_of(result, self.model_name))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with in_langchains_words():
            for piece in self._llm.stream_chat(to_longctx(messages), **self._options(stop, kwargs)):
                chunk = self._chunk(piece)
                if run_manager and chunk.text:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with in_langchains_words():
            async for piece in self._llm.astream_chat(
                to_longctx(messages), **self._options(stop, kwargs)
            ):
                chunk = self._chunk(piece)
                if run_manager and chunk.text:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _chunk(self, piece: Chunk) -> ChatGenerationChunk:
        return ChatGenerationChunk(message=chunk_of(piece, self.model_name))

    def _options(self, stop: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
        """What ``chat`` takes: this model's settings, and those of the call above them."""
        options = dict(given)
        if (wanted := options.pop("response_format", None)) is not None:
            options["response_schema"] = _schema_of(wanted)
        if unknown := sorted(options.keys() - _CALL_OPTIONS):
            raise RequestError(
                f"ChatLongCtx has no option {', '.join(unknown)} of a call; a call takes stop, "
                f"{', '.join(sorted(_CALL_OPTIONS))}. For another model construct another "
                "ChatLongCtx: equal ones share their weights"
            )
        if stop is not None:
            options["stop"] = stop
        return {**self._own(RUN_OPTIONS), **options}

    def _own(self, names: Collection[str]) -> dict[str, Any]:
        """Those of the named options that are fields of this class, not of LangChain's base."""
        own = type(self).model_fields.keys() - BaseChatModel.model_fields.keys()
        return {name: getattr(self, name) for name in own.intersection(names)}

    # Tools and schemas

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools; a grammar holds each call to its schema.

        Args:
            tools: functions, tools, pydantic classes, ``TypedDict`` classes or schemas.
            tool_choice: ``"auto"``, ``"none"``, ``"any"`` (or ``"required"``, or True) for some
                tool, or the name of one.
            strict: no effect: calls are always strict.
            parallel_tool_calls: False holds an answer to one call; the next follows its result.
            kwargs: bound with them, such as ``max_tokens``.
        """
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(tools=schemas, tool_choice=_choice(tool_choice), **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Hold answers to a schema by a grammar, so that they always parse if they end.

        Args:
            schema: a pydantic class (answers are its instances), a ``TypedDict`` class or a JSON
                schema (answers are dicts).
            include_raw: return ``{"raw", "parsed", "parsing_error"}``.
            method: ``"json_schema"``; ``"json_mode"`` is the same, for the schema is known; with
                ``"function_calling"`` the schema is shown to the model, as a tool.
            strict: no effect: answers are always strict.
            kwargs: bound with it, such as ``max_tokens``.

        Raises:
            OutputParserException: the answer was ended by ``max_tokens``, so it is half a JSON.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        model = self.bind(
            response_schema=convert_to_json_schema(schema),
            ls_structured_output_format={"kwargs": {"method": method}, "schema": schema},
            **kwargs,
        )
        parser: JsonOutputParser | PydanticOutputParser[Any] = (
            PydanticOutputParser(pydantic_object=schema)
            if isinstance(schema, type) and is_basemodel_subclass(schema)
            else JsonOutputParser()
        )
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(
            parsed=lambda made: parser.invoke(made["raw"]), parsing_error=lambda _: None
        )
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks(
            [unparsed], exception_key="parsing_error"
        )


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(
        generations=[ChatGeneration(message=message)],
        llm_output={"model_name": message.response_metadata["model_name"]},
    )


def _choice(choice: dict[str, Any] | str | bool | None) -> ToolChoice:
    """LangChain's words for what to call in OpenAI's."""
    if choice is None:
        return "auto"
    if choice is True or choice == "any":
        return "required"
    if choice is False:
        return "none"
    if isinstance(choice, dict) or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _schema_of(wanted: Any) -> Any:
    """The JSON schema in OpenAI's ``response_format``."""
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        return wanted["json_schema"]["schema"]
    if kind in ("json_object", "text"):
        return {"type": "object"} if kind == "json_object" else None
    return wanted  # a pydantic class or a schema itself
