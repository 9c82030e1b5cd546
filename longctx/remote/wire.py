"""Our messages and completions as OpenAI's JSON, there and back."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from longctx import arguments
from longctx.errors import ToolError
from longctx.remote.discovery import is_count
from longctx.remote.logprobs import sampled_tokens
from longctx.surrogates import PairJoiner
from longctx.types import (
    Chunk,
    Completion,
    FinishReason,
    Message,
    Messages,
    Progress,
    SampledToken,
    Timings,
    ToolCall,
    ToolCallDelta,
    ToolSchema,
    Usage,
    WindowReport,
    as_messages,
)

_PREFILL = re.compile(r"prefill (\d+)/(\d+)")


def wire_messages(
    messages: Messages, reasoning: Sequence[str] = ("reasoning_content",)
) -> list[dict[str, Any]]:
    """The conversation; arguments of calls are JSON texts there.

    Args:
        messages: of the conversation.
        reasoning: what the server calls what was thought.

    Raises:
        TemplateError: it is none.
    """
    out = []
    for message in as_messages(messages):
        plain = message.to_template()
        if thought := plain.pop("reasoning_content", None):
            plain |= dict.fromkeys(reasoning, thought)
        for call in plain.get("tool_calls", ()):
            function = call["function"]
            if not isinstance(function["arguments"], str):
                function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
        out.append(plain)
    return out


def wire_tools(tools: Sequence[ToolSchema] | None) -> list[dict[str, Any]] | None:
    """The tools as plain dicts; None where there are none.

    Raises:
        ToolError: one is malformed.
    """
    if not tools:
        return None
    arguments.tools(tools)
    outer = ({"type": "function", "function": tool} | tool for tool in map(dict, tools))
    return [{"type": tool["type"], "function": tool["function"]} for tool in outer]


def wire_schema(response_schema: Any) -> dict[str, Any]:
    """``response_format`` of a JSON schema or pydantic model.

    Raises:
        RequestError: it is neither.
    """
    schema = {"name": "answer", "schema": arguments.json_schema(response_schema), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def progress_in(event: str | dict[str, Any], elapsed_s: float) -> Progress | None:
    """How far the prefill has come: our server tells it in comments, llama-server in chunks."""
    told: tuple[Any, Any, Any] | None = None
    if isinstance(event, str):
        if match := _PREFILL.fullmatch(event):
            told = int(match[1]), int(match[2]), 0
    elif isinstance(progress := event.get("prompt_progress"), dict):
        told = progress.get("processed"), progress.get("total"), progress.get("cache") or 0
    if told is None or not all(map(is_count, told)):
        return None
    done, total, cached = told
    return Progress(
        done_tokens=max(0, done - cached),
        total_tokens=max(0, total - cached),
        elapsed_s=elapsed_s,
        cached_tokens=cached,
    )


class StreamedAnswer:
    """A completion, put together from the chunks of a stream."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.has_begun = self.is_whole = False
        self._started = time.monotonic()
        self._first_at: float | None = None
        self._text_joiner, self._thought_joiner = PairJoiner(), PairJoiner()
        self._argument_joiners = defaultdict[int, PairJoiner](PairJoiner)
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._logprobs: tuple[SampledToken, ...] = ()
        self._n_characters = 0
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: FinishReason = "stop"
        self._own: dict[str, Any] = {}

    def take(self, chunk: dict[str, Any]) -> Chunk | None:
        """Take a chunk in; return what of the answer it tells."""
        self.has_begun = True
        if isinstance(chunk.get("usage"), dict):
            self.usage = _usage(chunk["usage"], chunk.get("timings"))
        if isinstance(chunk.get("longctx"), dict):
            self._own = chunk["longctx"]
        choice = next(iter(chunk.get("choices") or ()), None)
        if choice is None:
            return None
        if reason := choice.get("finish_reason"):
            self.is_whole = True
            self._finish = "length" if reason == "length" else "stop"
        delta = choice.get("delta") or {}  # a text completion has none
        text = self._text_joiner.joined(
            delta.get("content") or choice.get("text") or "", is_last=self.is_whole
        )
        thought = self._thought_joiner.joined(_reasoning_in(delta), is_last=self.is_whole)
        calls = tuple(self._take_call(piece) for piece in delta.get("tool_calls") or ())
        logprobs = sampled_tokens(choice.get("logprobs"), self._n_characters)
        self._logprobs += logprobs
        self._n_characters += len(text)
        if not (text or thought or calls or logprobs):
            return None
        if self._first_at is None:
            self._first_at = time.monotonic()
        told = Chunk(text=text, reasoning=thought, tool_calls=calls, logprobs=logprobs)
        self._texts.append(told.text)
        self._thoughts.append(told.reasoning)
        return told

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        """What was thought so far."""
        return "".join(self._thoughts)

    def completion(self, usage: Usage, n_ctx: int) -> Completion:
        """The whole. Timings and window are the server's where it tells them (ours does).

        Args:
            usage: tokens.
            n_ctx: the server's window, where it does not tell what happened to it.

        Raises:
            ToolError: the arguments of a call are no JSON object.
        """
        ended = time.monotonic()
        calls = tuple(self._call(call) for _, call in sorted(self._calls.items()))
        first = self._first_at or ended
        timings = Timings(
            prefill_s=first - self._started, decode_s=ended - first, ttft_s=first - self._started
        )
        window = WindowReport(n_ctx=n_ctx)
        try:
            timings = Timings.model_validate(self._own.get("timings", timings))
            window = WindowReport.model_validate(self._own.get("window", window))
        except ValidationError:  # a newer server tells more; what was measured here stands
            pass
        stop = self._own.get("stop_sequence")
        return Completion(
            text=self.text,
            message=Message(
                role="assistant", content=self.text, reasoning=self.reasoning, tool_calls=calls
            ),
            finish_reason="tool_calls" if calls else self._finish,
            finish_detail="repetition" if self._own.get("finish_detail") == "repetition" else None,
            stop_sequence=stop if isinstance(stop, str) else None,
            usage=usage,
            timings=timings,
            window=window,
            logprobs=() if calls else self._logprobs,
        )

    def _take_call(self, piece: dict[str, Any]) -> ToolCallDelta:
        """Id and name are told once, though some servers repeat them with every piece."""
        index = int(piece.get("index", len(self._calls)))
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = piece.get("function") or {}
        found = {
            "id": piece.get("id") or "",
            "name": function.get("name") or "",
            "arguments": function.get("arguments") or "",
        }
        told = ToolCallDelta(
            index=index,
            id="" if call["id"] else found["id"],
            name="" if call["name"] else found["name"],
            # None is the last: an object's text ends with its brace.
            arguments=self._argument_joiners[index].joined(found["arguments"]),
        )
        call["id"] = found["id"] or call["id"]
        call["name"] = found["name"] or call["name"]
        call["arguments"] += told.arguments
        return told

    @staticmethod
    def _call(call: dict[str, str]) -> ToolCall:
        try:
            arguments = json.loads(call["arguments"] or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise ToolError(
                f"the server's model called {call['name']!r} with {call['arguments'][:80]!r}, "
                "which is no JSON object; serve it with a parser of tool calls that fits the "
                "model, or with tool_choice='required'"
            )
        return ToolCall(id=call["id"], name=call["name"], arguments=arguments)


def _reasoning_in(delta: dict[str, Any]) -> str:
    """Of DeepSeek's API, llama-server and older vLLM; of newer vLLM and OpenRouter."""
    return delta.get("reasoning_content") or delta.get("reasoning") or ""


def _usage(usage: dict[str, Any], timings: Any) -> Usage:
    """OpenAI's counts; llama-server tells the cached ones in its timings, too."""
    details = usage.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens")
    if cached is None and isinstance(timings, dict):
        cached = timings.get("cache_n")
    prompt = int(usage.get("prompt_tokens") or 0)
    cached = min(int(cached or 0), prompt)
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=cached,
        prefilled_tokens=prompt - cached,
        completion_tokens=int(usage.get("completion_tokens") or 0),
        reasoning_tokens=int(
            (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
        ),
        is_estimate=usage.get("is_estimate") is True,
    )
