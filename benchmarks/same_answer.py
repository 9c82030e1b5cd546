"""Is a greedy answer the same, whatever the model was asked before?

Conversations of varied lengths are begun, continued, taken back and asked again in one model.
Each prompt is also answered by a model that was just opened. Where the two answers differ, how
much likelier was either token to its own model? A difference of hundredths is rounding between
two tokens as likely as each other; text at other positions would show as tenths.

    python benchmarks/same_answer.py [--model tests/models/tiny-longctx.gguf] [--calls 80]
        [--target-ctx 2048] [--ways elastic:self-extend elastic:yarn elastic:ntk fixed:yarn]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from itertools import zip_longest
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from machine import save

from longctx import Completion, LongContextLLM

ANSWER = 48
WAYS = ("elastic:self-extend", "elastic:yarn", "elastic:ntk", "fixed:yarn")
Messages = list[dict[str, str]]


def prompts(llm: LongContextLLM, calls: int, seed: int) -> Iterator[Messages]:
    """Four conversations, alternating: continued, asked again, taken back, or begun anew."""
    draw = random.Random(seed)
    ids = llm.tokenize("\n\n".join(topics[name].strip() for name in sorted(topics))[:400_000])
    talks: list[Messages] = [[] for _ in range(4)]
    for _ in range(calls):
        talk, what = draw.choice(talks), draw.random()
        if what < 0.1:
            talk.clear()
        elif what < 0.35 and talk:
            del talk[-1 if draw.random() < 0.5 or len(talk) < 4 else -3 :]
        if not talk or talk[-1]["role"] == "assistant":
            n = draw.randrange(20, llm.target_ctx // 3)
            begin = draw.randrange(len(ids) - n)
            text = llm.detokenize(ids[begin : begin + n]) + " What is this about?"
            talk.append({"role": "user", "content": text})
        if llm.count(talk) + ANSWER > llm.target_ctx:
            del talk[:-1]
        yield talk


def first_difference(one: Completion, fresh: Completion) -> tuple[float, float] | None:
    """By how many nats the likelihoods differ before two answers part, and where they do."""
    largest = 0.0
    for a, b in zip_longest(one.logprobs, fresh.logprobs):
        if a is None or b is None:
            return largest, 0.0
        if a.id != b.id:
            return largest, abs(a.logprob - b.logprob)
        largest = max(largest, abs(a.logprob - b.logprob))
    return None


def measure(way: str, options: argparse.Namespace) -> dict[str, Any]:
    window, method = way.split(":")

    def opened() -> LongContextLLM:
        return LongContextLLM(
            options.model, options.target_ctx, window=window, method=method,
            reserve_output=ANSWER, n_threads=options.threads,
        )  # fmt: skip

    gaps, lengths = [], []
    with opened() as llm:
        for talk in prompts(llm, options.calls, options.seed):
            one = llm.chat(talk, max_tokens=ANSWER, top_logprobs=0)
            with opened() as other:
                fresh = other.chat(talk, max_tokens=ANSWER, top_logprobs=0)
            talk.append({"role": "assistant", "content": one.text})
            lengths.append(one.usage.prompt_tokens)
            difference = first_difference(one, fresh)
            if difference is not None:
                gaps.append(difference[1])
    row = {"way": way, "calls": len(lengths), "differ": len(gaps), "gaps": gaps, "tokens": lengths}
    print(
        f"| {way} | {len(gaps)} of {len(lengths)} | "
        f"{f'{median(gaps):.3f}' if gaps else ''} | {f'{max(gaps):.3f}' if gaps else ''} |",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tests/models/tiny-longctx.gguf", help="demo: packaged")
    parser.add_argument("--target-ctx", type=int, default=2048)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--calls", type=int, default=80)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    name = "same_answer_demo" if options.model == "demo" else "same_answer"
    options.model = None if options.model == "demo" else options.model
    print("| way | answers that differ | nats between the two tokens, median | largest |")
    print("| --- | --- | --- | --- |", flush=True)
    rows = [measure(way, options) for way in options.ways]
    print("raw figures:", save(name, {"options": vars(options), "rows": rows}))


if __name__ == "__main__":
    main()
