"""What servers call options that OpenAI's API does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from longctx.errors import RequestError


@dataclass(frozen=True)
class Names:
    """Names of options at one kind of server; by default they are ours, which are llama-server's.

    Attributes:
        server: what it is, for messages.
        renamed: those with another name there.
        lacking: those that it would ignore, so that the answer would be another one.
        thinking: how it takes whether to think, and how much: ``own`` by our server's one switch,
            ``template`` by variables of the chat template alone, ``effort`` also by OpenAI's
            ``reasoning_effort``.
        reasoning: what it reads as the thoughts of a message that is sent again.
    """

    server: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    lacking: frozenset[str] = frozenset()
    thinking: Literal["own", "template", "effort"] = "effort"
    reasoning: tuple[str, ...] = ("reasoning_content",)

    def of(self, name: str) -> str:
        """The name there."""
        return self.renamed.get(name, name)

    def check(self, given: Mapping[str, Any]) -> None:
        """Refuse what would be ignored.

        Raises:
            RequestError: it is asked for.
        """
        for name in sorted(self.lacking.intersection(given)):
            if given[name] is not None:
                raise RequestError(f"{self.server} has no {name}; leave it out")

    def template_fields(self, thinking: Any, options: Any) -> dict[str, Any]:
        """The fields of ``thinking=`` and ``template_options=``; none where neither is given.

        Our server refuses a switch that its template lacks; others pass over it.

        Raises:
            RequestError: they are no such options.
        """
        if options is not None and not isinstance(options, Mapping):
            raise RequestError(
                f"template_options is a {type(options).__name__}; pass a dict of variable names"
            )
        if not (thinking is None or isinstance(thinking, bool) or _is_word(thinking)):
            raise RequestError(f"thinking is {thinking!r}; use True, False, or how much ('low')")
        fields: dict[str, Any] = {}
        variables: dict[str, Any] = {}
        if thinking is not None and self.thinking == "own":
            variables["enable_thinking"] = thinking
        elif isinstance(thinking, bool):
            variables |= dict.fromkeys(_WHETHER, thinking)
        elif thinking is not None and self.thinking == "effort":
            fields["reasoning_effort"] = thinking
        elif thinking is not None:
            variables["reasoning_effort"] = thinking
        if variables := {**variables, **(options or {})}:
            fields["chat_template_kwargs"] = variables
        return fields


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_WHETHER = ("enable_thinking", "thinking")
"""What templates call the switch: Qwen's and most; DeepSeek's and Granite's. A template does not
see what it does not look up."""
OWN_NAMES = Names("this server", thinking="own")
UNKNOWN_NAMES = Names("this server")
LLAMA_SERVER_NAMES = Names(
    "llama-server",
    renamed={"thinking_budget": "thinking_budget_tokens"},
    lacking=frozenset({"stop_on_repetition"}),
    thinking="template",
)
# It ignores unknown fields: https://docs.vllm.ai/en/latest/api/vllm/sampling_params.html
VLLM_NAMES = Names(
    "vLLM",
    renamed={"repeat_penalty": "repetition_penalty", "thinking_budget": "thinking_token_budget"},
    # The newer reads one and drops the other, the older the reverse (vLLM's issue 38488).
    reasoning=("reasoning", "reasoning_content"),
    lacking=frozenset(
        {
            "typical_p",
            "repeat_last_n",
            "dry_multiplier",
            "dry_base",
            "dry_allowed_length",
            "dry_penalty_last_n",
            "dry_sequence_breakers",
            "xtc_probability",
            "xtc_threshold",
            "mirostat",
            "mirostat_tau",
            "mirostat_eta",
            "stop_on_repetition",
        }
    ),
)
