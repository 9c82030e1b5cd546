"""Every field of ``/v1/chat/completions`` and ``/v1/completions``, and what becomes of it.

docs/server.md has this table; a field that is not in it is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator

from longctx.sampling import SAMPLING

Treatment: TypeAlias = Literal["honoured", "ignored", "refused"]
Route: TypeAlias = Literal["chat", "text", "both"]


@dataclass(frozen=True)
class Fields:
    """Fields that are treated alike.

    Attributes:
        names: of the fields.
        treatment: what becomes of them; who sends what is ignored is told in the header
            ``Longctx-Warning``.
        why: or how, in words.
        of: the route that has them.
    """

    names: tuple[str, ...]
    treatment: Treatment
    why: str
    of: Route = "both"


FIELDS = (
    Fields(
        ("model",),
        "honoured",
        "which of [several](#several-models); any name is answered, one that is not here with a "
        "warning, and with `--strict-model` not",
    ),
    Fields(("messages",), "honoured", "text; a last one of the assistant's is continued", "chat"),
    Fields(("prompt",), "honoured", "a text, token ids, or a list of either, each with its own "
           "answers", "text"),
    Fields(("max_tokens", "n_predict"), "honoured", "-1, as none: to the answer's end or the "
           "window's; 0 reads the prompt into the cache"),
    Fields(("max_completion_tokens",), "honoured", "the same by its newer name", "chat"),
    Fields(SAMPLING, "honoured", "as in [sampling](sampling.md); what is left out is as the "
           "model's file has it, else a temperature of 1"),
    Fields(("n",), "honoured", "answers side by side, by their `index`; a seed counts up"),
    Fields(("stop",), "honoured", "empty strings are none"),
    Fields(("stream", "stream_options"), "honoured", "`include_usage`; other members are ignored"),
    Fields(("stop_on_repetition",), "honoured", "false lets an endless repetition go on"),
    Fields(("response_format", "json_schema"), "honoured", "`text`, `json_schema`, and "
           "`json_object`, with a `schema` where it has one"),
    Fields(("tools", "tool_choice", "parallel_tool_calls"), "honoured", "calls are held to their "
           "schemas; unknown members of a tool are ignored", "chat"),
    Fields(("reasoning_effort", "chat_template_kwargs"), "honoured", "as far as the chat template "
           "has a switch", "chat"),
    Fields(("reasoning_format",), "honoured", "`auto` and `deepseek`: thoughts are "
           "`reasoning_content`", "chat"),
    Fields(("modalities",), "honoured", '`["text"]`', "chat"),
    Fields(("logprobs", "top_logprobs"), "honoured", "up to 20", "chat"),
    Fields(("logprobs",), "honoured", "up to 20", "text"),
    Fields(("echo",), "honoured", "the prompt stands before its answer; not with `logprobs`",
           "text"),
    Fields(("best_of",), "honoured", "1", "text"),
    Fields(("user", "metadata", "safety_identifier", "service_tier", "store"), "ignored",
           "nobody is billed and nothing is kept here"),
    Fields(("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "cache_prompt",
            "id_slot"), "ignored", "a prompt finds what is cached by its beginning, always"),
    Fields(("prediction",), "ignored", "it would change the speed, not the answer", "chat"),
    Fields(("verbosity",), "ignored", "no model here has a switch for it", "chat"),
    Fields(("timings_per_token", "return_progress", "return_tokens"), "ignored", "timings come "
           "under `longctx`, progress in comments of a stream"),
    Fields(("audio",), "refused", "only text is written here", "chat"),
    Fields(("web_search_options",), "refused", "nothing is searched here; give the model a tool "
           "that does", "chat"),
    Fields(("functions", "function_call"), "refused", "use `tools` and `tool_choice`", "chat"),
    Fields(("suffix",), "refused", "text is continued, not filled in", "text"),
    Fields(("grammar",), "refused", "grammars of GBNF are not read; use `response_format` with a "
           "`json_schema`"),
    Fields(("samplers", "ignore_eos", "n_keep", "t_max_predict_ms"), "refused", "these are not for "
           "a request to decide here"),
)  # fmt: skip


def named(treatment: Treatment, *routes: Route) -> dict[str, str]:
    """The fields of some routes that are treated so, and why."""
    rows = [row for row in FIELDS if row.treatment == treatment and row.of in routes]
    return {name: row.why for row in rows for name in row.names}


def undeclared(*routes: Route) -> dict[str, Any]:
    """What is ignored and what is refused, as pydantic's ``create_model`` takes fields."""
    ignored: dict[str, Any] = dict.fromkeys(named("ignored", *routes), (Any, None))
    refused = {
        name: (Annotated[None, BeforeValidator(_refusal(why))], None)
        for name, why in named("refused", *routes).items()
    }
    return ignored | refused


def _refusal(why: str) -> Callable[[Any], Any]:
    def refuse(value: Any) -> Any:
        if value is not None:
            raise ValueError(f"it is not supported: {why}")
        return value

    return refuse


def table() -> str:
    """The table, in Markdown."""
    where = {"chat": " (chat)", "text": " (text)", "both": ""}
    lines = ["| field | | |", "| --- | --- | --- |"]
    for row in FIELDS:
        names = ", ".join(f"`{name}`" for name in row.names)
        lines.append(f"| {names}{where[row.of]} | {row.treatment} | {row.why} |")
    return "\n".join(lines)
