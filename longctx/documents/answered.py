"""What was answered before: the same question gets the same answer."""

from __future__ import annotations

import json

from longctx import arguments
from longctx.files import hash_parts
from longctx.options import SAMPLING_OPTIONS, ChatOptions
from longctx.prompt import Prompt
from longctx.recent import Recent
from longctx.sampling import Sampling
from longctx.types import Completion, Usage

_MAX_CHARS = 1 << 20


class Answered:
    """Completions of prompts that would be answered alike again, but for rounding.

    A prompt whose beginning is in the cache is computed in other batches than one that is new, so
    its last bits differ, and now and then a word does. Greedy answers, and those drawn with a
    seed, are therefore kept, up to a million characters of them. Several threads may share it.
    """

    def __init__(self) -> None:
        self._kept: Recent[str, Completion] = Recent(
            _MAX_CHARS, lambda _, answer: 100 + len(answer.text) + len(answer.reasoning)
        )

    def get(self, prompt: Prompt, options: ChatOptions) -> Completion | None:
        """The answer, with what it costs now: nothing; None where it is not known."""
        key = _key(prompt, options)
        known = self._kept.get(key) if key else None
        if known is None:
            return None
        tokens = known.usage.prompt_tokens
        now = Usage(
            prompt_tokens=tokens,
            cached_tokens=tokens,
            completion_tokens=known.usage.completion_tokens,
            reasoning_tokens=known.usage.reasoning_tokens,
        )
        return known.model_copy(update={"usage": now})

    def put(self, prompt: Prompt, options: ChatOptions, answer: Completion) -> None:
        """Keep an answer, if another one to the same would be the same."""
        if key := _key(prompt, options):
            self._kept.put(key, answer)


def _key(prompt: Prompt, options: ChatOptions) -> str | None:
    """Of all that an answer depends on; None where it depends on chance."""
    sampling = {name: value for name, value in options.items() if name in SAMPLING_OPTIONS}
    drawn = Sampling.of(sampling)
    if drawn.temperature > 0 and drawn.seed is None:
        return None
    schema = options.get("response_schema")
    parts = [message.model_dump_json() for message in prompt.messages]
    parts += [repr(prompt.compressed), repr(drawn), repr(options.get("max_tokens"))]
    parts += [repr(options.get("thinking"))]
    parts += [repr(budget)] if (budget := options.get("thinking_budget")) is not None else []
    parts += [json.dumps(arguments.json_schema(schema))] if schema is not None else []
    return hash_parts(part.encode("utf-8", "surrogatepass") + b"\n" for part in parts)
