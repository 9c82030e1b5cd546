"""What a call may ask of an answer: declared here, once, for every way to ask.

The façade, the models on servers, agents, plugins and the server take these by
``**options: Unpack[ChatOptions]`` (PEP 692), so a new option is a line here and the code that
obeys it.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_type_hints

from typing_extensions import TypedDict, is_typeddict

from longctx.errors import RequestError
from longctx.types import ProgressCallback, ToolSchema

ToolChoice: TypeAlias = str | dict[str, Any]
"""``"auto"``, ``"none"``, ``"required"``, or one function by name, in OpenAI's form
``{"type": "function", "function": {"name": …}}``."""


class SamplingOptions(TypedDict, total=False):
    """How the next token is drawn; what is left out or None is the default, greedy decoding.

    Checked, and with their ranges and defaults, they are a
    :class:`longctx.sampling.Sampling`; docs/sampling.md has what they are good for.

    Attributes:
        temperature: randomness of the draw; 0, the default, is greedy.
        top_k: draw from so many of the most likely tokens; by default 0, all of them.
        top_p: nucleus sampling, above temperature 0; by default 1, which is off.
        min_p: draw from tokens at least this share as likely as the likeliest; by
            default 0, which is off.
        typical_p: locally typical sampling; by default 1, which is off.
        repeat_penalty: divides the logits of tokens that the text already has; by default 1, off.
        repeat_last_n: tokens of prompt and answer that the penalties look at; by default 64, and
            -1 is all.
        presence_penalty: subtracted from the logits of tokens that it already has; by default 0.
        frequency_penalty: likewise, once for each time that it has the token; by default 0.
        dry_multiplier: strength of DRY, a penalty on repeated sequences; by default 0, off, and 0.8
            is usual.
        dry_base: DRY grows by this factor with each repeated token; by default 1.75.
        dry_allowed_length: repetitions up to so many tokens are free of DRY; by default 2.
        dry_penalty_last_n: tokens of prompt and answer that DRY looks at; by default 64, and -1
            is all.
        dry_sequence_breakers: texts behind which DRY begins anew; by default a line end, a colon,
            a quotation mark and an asterisk, and an empty list is none.
        xtc_probability: how often XTC drops all likely tokens but the least likely of them; by
            default 0, never.
        xtc_threshold: probability from which XTC counts a token as likely; by default 0.1.
        mirostat: version 1 or 2 of Mirostat, which holds perplexity at a target, instead of top_k,
            top_p and the like; by default 0, off.
        mirostat_tau: Mirostat's target, the surprise of a token in bits; by default 5.
        mirostat_eta: Mirostat's learning rate; by default 0.1.
        logit_bias: added to the logits of tokens, named by id or by text, from -100 (never) to 100.
        seed: of the random draws; by default the model's, or a new one each call.
    """

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical_p: float | None
    repeat_penalty: float | None
    repeat_last_n: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    dry_multiplier: float | None
    dry_base: float | None
    dry_allowed_length: int | None
    dry_penalty_last_n: int | None
    dry_sequence_breakers: Sequence[str] | None
    xtc_probability: float | None
    xtc_threshold: float | None
    mirostat: int | None
    mirostat_tau: float | None
    mirostat_eta: float | None
    logit_bias: Mapping[int, float] | Mapping[str, float] | Mapping[int | str, float] | None
    seed: int | None


class AnswerOptions(SamplingOptions, total=False):
    """How an answer is drawn (:class:`SamplingOptions`) and where it ends; what is left out or
    None is the default.

    Attributes:
        max_tokens: most tokens of the answer, which must fit the window behind the prompt. By
            default (None or -1) it goes to its end, or to that of the window, of which the plan's
            ``reserve_output`` must be free (a window that slides: so many tokens as it has). With 0
            the prompt is read into the cache and nothing is said.
        stop: strings that end the answer; they are not part of it.
        stop_on_repetition: end an answer that says the same over and over (``finish_detail`` is
            then "repetition"); by default True.
        response_schema: a JSON schema or pydantic model that the answer must satisfy.
        top_logprobs: also say how likely each token of the answer was, and so many others in
            its place (``Completion.logprobs``): the model's own distribution, before grammar and
            sampling.
        prompt_lookup: draft what the text has had before, and let the model check several tokens
            of it in one batch: always (True), where this is measured to be faster ("auto"), or
            never, the default. It changes no token but by rounding (docs/prompt-lookup.md).
        on_progress: called after each prefilled batch, where the answer is waited for.
    """

    max_tokens: int | None
    stop: str | Sequence[str] | None
    stop_on_repetition: bool | None
    response_schema: Any
    top_logprobs: int | None
    prompt_lookup: bool | Literal["auto"] | None
    on_progress: ProgressCallback | None


class RunOptions(AnswerOptions, total=False):
    """:class:`AnswerOptions` of an agent's run, which has its own tools.

    Attributes:
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, or one function by name.
        parallel_tool_calls: whether an answer may call several tools; by default as many as the
            model's format has room for, and with False one.
        thinking: whether the model thinks before it answers, or how much (``"low"``), where its
            chat template has a switch for it; by default as the template has it.
        thinking_budget: tokens of reasoning, behind which the thought is closed and the answer
            begins; by default as many as the model likes.
        template_options: other variables of the chat template, by name.
    """

    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    thinking: bool | str | None
    thinking_budget: int | None
    template_options: Mapping[str, Any] | None


class ChatOptions(RunOptions, total=False):
    """:class:`AnswerOptions`, and the tools of a conversation.

    Attributes:
        tools: OpenAI-style schemas; calls are held to them by a grammar.
    """

    tools: Sequence[ToolSchema] | None


SAMPLING_OPTIONS = frozenset(SamplingOptions.__annotations__)
ANSWER_OPTIONS = frozenset(AnswerOptions.__annotations__)
RUN_OPTIONS = frozenset(RunOptions.__annotations__)
CHAT_OPTIONS = frozenset(ChatOptions.__annotations__)


def tool_choice_of(options: RunOptions) -> ToolChoice:
    """Whether and what to call; ``"auto"`` where the options do not say."""
    choice = options.get("tool_choice")
    return "auto" if choice is None else choice


def check_names(options: Mapping[str, Any], known: frozenset[str], of: str) -> None:
    """Refuse an option that there is not, before any work.

    Args:
        options: what was passed, by name.
        known: the names that there are.
        of: whose options they are, for the message.

    Raises:
        RequestError: naming it, and what was probably meant.
    """
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = (
                f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
            )
            raise RequestError(f"{name!r} is no option {of}; {meant}")


def described(kind: type) -> dict[str, str]:
    """What a type of options says of each, in its first words: for command lines and forms."""
    found: dict[str, str] = {}
    for each in (*filter(is_typeddict, getattr(kind, "__orig_bases__", ())), kind):
        said = inspect.cleandoc(each.__doc__ or "")
        for name, words in re.findall(
            r"^    (\w+): (.*?)(?=\n    \w|\n\n|\Z)", said, re.MULTILINE | re.DOTALL
        ):
            found[name] = re.sub(r"\s+", " ", words).rstrip(".")
    return found


def sampling_fields() -> dict[str, tuple[Any, None]]:
    """Type and default of each option of sampling, as pydantic's ``create_model`` takes them."""
    return {name: (kind, None) for name, kind in get_type_hints(SamplingOptions).items()}
