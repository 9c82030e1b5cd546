"""What ``-o NAME VALUE`` takes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, Literal, get_args, get_origin, get_type_hints

import llm
from pydantic import Field, create_model, field_validator

from longctx.options import AnswerOptions, described

# What can be written behind ``-o NAME``; llm's answers do not show probabilities.
_PLAIN = (int, float, bool, str, type(None))
_NOT_SHOWN = "top_logprobs"


class DescribedOptions(llm.Options):
    """Options of a prompt. None leaves longctx's default; see ``longctx.LongContextLLM``.

    Descriptions are what ``llm models --options`` prints.
    """

    model: str | None = Field(default=None, description="A GGUF file instead of this model's")
    target_ctx: int | None = Field(default=None, gt=0, description="Window in tokens (32768)")
    window: Literal["elastic", "fixed"] | None = Field(
        default=None,
        description="elastic grows with the text; fixed is scaled at once",
    )
    overflow: Literal["error", "slide", "compress"] | None = Field(
        default=None,
        description="What a full window does: error, slide to lose the oldest text, or compress to "
        "thin it",
    )
    n_keep: int | None = Field(
        default=None, ge=0, description="Attention sinks, with slide or compress"
    )
    method: str | None = Field(
        default=None,
        description="auto, none, linear, ntk, dynamic, ntk-by-parts, yarn or self-extend",
    )
    kv_type: str | None = Field(default=None, description="KV cache: auto, f16, bf16, q8_0 or q4_0")
    memory_limit: str | None = Field(default=None, description="Such as 6GiB (what is free)")
    reserve_output: int | None = Field(
        default=None, gt=0, description="Room for an answer without max_tokens, in tokens (1024)"
    )
    n_threads: int | None = Field(default=None, gt=0, description="Threads (measured)")
    n_gpu_layers: int | None = Field(
        default=None, ge=-1, description="On the GPU, -1 for all (what fits)"
    )
    chat_template: str | None = Field(
        default=None, description="A Jinja file, or a name such as chatml (the model file's own)"
    )
    max_tokens: int | None = Field(default=None, gt=0, description="Longest answer in tokens")
    temperature: float | None = Field(default=None, ge=0, description="0 is greedy (0)")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus sampling (1)")
    seed: int | None = Field(default=None, description="Of sampling; drawn anew without one")
    stop: str | None = Field(default=None, description="A string that ends the answer")
    tool_choice: Literal["auto", "none", "required"] | None = Field(
        default=None, description="required: a question is answered by a tool call first"
    )
    thinking: bool | str | None = Field(
        default=None, description="true, false or how much (low): as the chat template has it"
    )
    thinking_budget: int | None = Field(
        default=None, gt=0, description="Tokens of reasoning, behind which the answer begins"
    )
    dry_sequence_breakers: list[str] | None = Field(
        default=None, description="Texts behind which DRY begins anew, as a list in JSON"
    )
    cache: bool | None = Field(
        default=None, description="Keep conversations of 1,024 tokens or more on disk (true)"
    )

    @field_validator("thinking", mode="before")
    @classmethod
    def _truth(cls, value: Any) -> Any:
        """Behind ``-o`` every value is a text."""
        said = value.lower() if isinstance(value, str) else value
        return {"true": True, "false": False}.get(said, value) if isinstance(said, str) else said

    @field_validator("dry_sequence_breakers", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Of JSON, behind ``-o``."""
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError('pass a list in JSON, such as \'["\\n", ":"]\'') from None

    def given(self, names: Collection[str]) -> dict[str, Any]:
        """Those of the named options that are set."""
        fields = [name for name in type(self).model_fields if name in names]
        return {name: value for name in fields if (value := getattr(self, name)) is not None}


def _others() -> dict[str, Any]:
    """The plain options of an answer that are not described above, in longctx's own words."""
    told = {name: re.split(r"[:;,.]", words)[0] for name, words in described(AnswerOptions).items()}
    return {
        name: (kind, Field(default=None, description=_sentence(told.get(name, name))))
        for name, kind in get_type_hints(AnswerOptions).items()
        if name not in (*DescribedOptions.model_fields, _NOT_SHOWN) and _is_plain(kind)
    }


def _sentence(words: str) -> str:
    """Names such as DRY stay as they are."""
    return words[:1].upper() + words[1:]


def _is_plain(kind: Any) -> bool:
    parts = get_args(kind)
    return bool(parts) and all(part in _PLAIN or get_origin(part) is Literal for part in parts)


LongCtxOptions = create_model("LongCtxOptions", __base__=DescribedOptions, **_others())
"""All options: a new one of longctx's is one here, too."""
