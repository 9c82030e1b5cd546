"""What a call may ask of an answer: declared here, once, for every way to ask.

The façade, the models on servers, agents, plugins and the server take these by
``**options: Unpack[ChatOptions]`` (PEP 692), so a new option is a line here and the code that
obeys it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from typing_extensions import TypedDict

from longctx.errors import RequestError
from longctx.types import ProgressCallback, ToolSchema

ToolChoice: TypeAlias = str | dict[str, Any]
"""``"auto"``, ``"none"``, ``"required"``, or one function by name, in OpenAI's form
``{"type": "function", "function": {"name": …}}``."""


class AnswerOptions(TypedDict, total=False):
    """How an answer is drawn and where it ends; what is left out or None is the default.

    Attributes:
        max_tokens: room for the answer, in tokens; by default the plan's ``reserve_output``.
        temperature: of sampling; 0, the default, is greedy.
        top_p: nucleus sampling, above temperature 0; by default 1, which is off.
        stop: strings that end the answer; they are not part of it.
        seed: of sampling; by default the model's, or a new one each call.
        response_schema: a JSON schema or pydantic model that the answer must satisfy.
        top_logprobs: also say how likely each token of the answer was, and so many others in
            its place (``Completion.logprobs``): the model's own distribution, before grammar,
            temperature and top_p.
        prompt_lookup: draft what the text has had before, and let the model check several tokens
            of it in one batch: always (True), never (False), or, by default, where this is
            measured to be faster. It changes no token but by rounding (docs/speculation.md).
        on_progress: called after each prefilled batch, where the answer is waited for.
    """

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    response_schema: Any
    top_logprobs: int | None
    prompt_lookup: bool | None
    on_progress: ProgressCallback | None


class RunOptions(AnswerOptions, total=False):
    """:class:`AnswerOptions` of an agent's run, which has its own tools.

    Attributes:
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, or one function by name.
    """

    tool_choice: ToolChoice | None


class ChatOptions(RunOptions, total=False):
    """:class:`AnswerOptions`, and the tools of a conversation.

    Attributes:
        tools: OpenAI-style schemas; calls are held to them by a grammar.
    """

    tools: Sequence[ToolSchema] | None


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
