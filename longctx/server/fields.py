"""Every field of ``/v1/chat/completions`` and ``/v1/completions``, and what becomes of it; and what
the other protocols ignore, or refuse by name.

docs/server.md has this table; a field that no route has is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator

from longctx.sampling import SAMPLING

Treatment: TypeAlias = Literal["honoured", "ignored", "refused"]
Route: TypeAlias = Literal["chat", "text", "responses", "messages"]

CHAT: tuple[Route, ...] = ("chat",)
TEXT: tuple[Route, ...] = ("text",)
COMPLETIONS = CHAT + TEXT
RESPONSES: tuple[Route, ...] = ("responses",)
MESSAGES: tuple[Route, ...] = ("messages",)
THINKING = CHAT + RESPONSES
OPENAI = COMPLETIONS + RESPONSES
EVERY = OPENAI + MESSAGES


@dataclass(frozen=True)
class Fields:
    """Fields that are treated alike.

    Attributes:
        names: of the fields.
        treatment: what becomes of them; who sends what is ignored is told in the header
            ``Longctx-Warning``.
        why: or how, in words.
        of: the routes that have them.
    """

    names: tuple[str, ...]
    treatment: Treatment
    why: str
    of: tuple[Route, ...] = COMPLETIONS


FIELDS = (
    Fields(
        ("model",),
        "honoured",
        "which of [several](#several-models); any name is answered, one that is not here with a "
        "warning, and with `--strict-model` not",
    ),
    Fields(("messages",), "honoured", "text; a last one of the assistant's is continued", CHAT),
    Fields(("prompt",), "honoured", "a text, token ids, or a list of either, each with its own "
           "answers", TEXT),
    Fields(("max_tokens", "n_predict"), "honoured", "-1, as none: to the answer's end or the "
           "window's; 0 reads the prompt into the cache"),
    Fields(("max_completion_tokens",), "honoured", "the same by its newer name", CHAT),
    Fields(SAMPLING, "honoured", "as in [sampling](sampling.md); what is left out is as the "
           "model's file has it, else a temperature of 1"),
    Fields(("n",), "honoured", "answers side by side, by their `index`; a seed counts up"),
    Fields(("stop",), "honoured", "empty strings are none"),
    Fields(("stream", "stream_options"), "honoured", "`include_usage`; other members are ignored"),
    Fields(("stop_on_repetition",), "honoured", "false lets an endless repetition go on"),
    Fields(("response_format", "json_schema"), "honoured", "`text`, `json_schema`, and "
           "`json_object`, with a `schema` where it has one"),
    Fields(("tools", "tool_choice", "parallel_tool_calls"), "honoured", "calls are held to their "
           "schemas; unknown members of a tool are ignored", CHAT),
    Fields(("continue_final_message", "add_generation_prompt"), "honoured", "a last message of the "
           "assistant's is continued in any case; both true is an error, as is one that asks for "
           "what the messages do not have", CHAT),
    Fields(("reasoning_effort", "chat_template_kwargs"), "honoured", "as far as the chat template "
           "has a switch", CHAT),
    Fields(("thinking_budget", "thinking_budget_tokens", "reasoning_budget",
            "reasoning_budget_tokens"), "honoured", "tokens of reasoning, behind which it is "
           "closed and the answer begins; -1 is no limit, and 0 is `reasoning_effort: none`",
           THINKING),
    Fields(("reasoning_format",), "honoured", "`auto` and `deepseek`: thoughts are "
           "`reasoning_content`", CHAT),
    Fields(("modalities",), "honoured", '`["text"]`', CHAT),
    Fields(("logprobs", "top_logprobs"), "honoured", "up to 20", CHAT),
    Fields(("logprobs",), "honoured", "up to 20", TEXT),
    Fields(("echo",), "honoured", "the prompt stands before its answer; not with `logprobs`",
           TEXT),
    Fields(("best_of",), "honoured", "1", TEXT),
    Fields(("service_tier",), "ignored", "there is no billing", EVERY),
    Fields(("safety_identifier",), "ignored", "users are not tracked", OPENAI),
    Fields(("user", "metadata", "store"), "ignored", "nothing is kept here"),
    Fields(("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"), "ignored",
           "a prompt finds what is cached by its beginning, always", OPENAI),
    Fields(("cache_prompt", "id_slot"), "ignored", "likewise", EVERY),
    Fields(("cache_control",), "ignored", "likewise", MESSAGES),
    Fields(("metadata", "user_profile_id", "workspace_id", "inference_geo", "speed",
            "diagnostics"), "ignored", "there are no accounts and no regions here", MESSAGES),
    Fields(("context_management",), "ignored", "nothing is dropped here", MESSAGES),
    Fields(("prediction",), "ignored", "it would change the speed, not the answer", CHAT),
    Fields(("verbosity",), "ignored", "no model here has a switch for it", CHAT),
    Fields(("return_progress",), "honoured", "chunks with `prompt_progress`; without it a stream "
           "reports progress in comments"),
    Fields(("return_progress",), "ignored", "a stream reports progress in comments",
           RESPONSES + MESSAGES),
    Fields(("timings_per_token",), "honoured", "each piece of a stream has the `timings` so far"),
    Fields(("timings_per_token",), "ignored", "no event of these has a place for them",
           RESPONSES + MESSAGES),
    Fields(("return_tokens",), "ignored", "`/completion` returns the ids of an answer", EVERY),
    Fields(("audio",), "refused", "only text is written here", CHAT),
    Fields(("web_search_options",), "refused", "nothing is searched here; give the model a tool "
           "that does", CHAT),
    Fields(("functions", "function_call"), "refused", "use `tools` and `tool_choice`", CHAT),
    Fields(("suffix",), "refused", "text is continued, not filled in", TEXT),
    Fields(("grammar",), "refused", "GBNF is not supported; give a JSON "
           "schema (`json_schema`)", EVERY),
    Fields(("samplers", "ignore_eos", "n_keep", "t_max_predict_ms"), "refused", "these are set for "
           "the server, not for a request", EVERY),
)  # fmt: skip


def named(treatment: Treatment, route: Route) -> dict[str, str]:
    """The fields of a route that are treated so, and why."""
    rows = [row for row in FIELDS if row.treatment == treatment and route in row.of]
    return {name: row.why for row in rows for name in row.names}


def undeclared(route: Route) -> dict[str, Any]:
    """What is ignored and what is refused, as pydantic's ``create_model`` takes fields."""
    ignored: dict[str, Any] = dict.fromkeys(named("ignored", route), (Any, None))
    refused = {
        name: (Annotated[None, BeforeValidator(_refusal(why))], None)
        for name, why in named("refused", route).items()
    }
    return ignored | refused


def ignored_of(request: BaseModel, route: Route) -> tuple[str, ...]:
    """Names of what a request says and has no effect here."""
    return tuple(name for name in named("ignored", route) if getattr(request, name) is not None)


def _refusal(why: str) -> Callable[[Any], Any]:
    def refuse(value: Any) -> None:
        # Clients of llama-server send every field, with what switches it off.
        if value is not None and value is not False and value not in (0, "", []):
            raise ValueError(f"it is not supported: {why}")

    return refuse


def table() -> str:
    """The table, in Markdown."""
    where = {
        COMPLETIONS: "",
        THINKING: " (chat and responses)",
        OPENAI: " (and responses)",
        EVERY: " (everywhere)",
    }
    lines = ["| field | | |", "| --- | --- | --- |"]
    for row in FIELDS:
        names = ", ".join(f"`{name}`" for name in row.names)
        place = where.get(row.of, f" ({row.of[0]})")
        lines.append(f"| {names}{place} | {row.treatment} | {row.why} |")
    return "\n".join(lines)
