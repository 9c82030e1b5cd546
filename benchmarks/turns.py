"""Twenty turns of a conversation: time to first token, turn by turn.

The same user messages to longctx (an elastic window over a trained one of 8,192 tokens), to
``llama_cpp.Llama`` with a window for all of them, and to ``llama_cpp.Llama`` with the oldest
messages trimmed to 2,048 tokens each turn, as agents commonly do.

    python benchmarks/turns.py [--turns 20] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pydoc_data.topics import topics
from statistics import median
from typing import Any

import llama_cpp
from machine import save

from longctx import LongContextLLM

ANSWER, TRIMMED = 32, 2048
Turn = Callable[[list[dict[str, str]]], tuple[float, str]]


def user_messages(n: int) -> list[str]:
    names = sorted(topics)
    return [f"Explain in short: {topics[names[i]].strip()[:900]}" for i in range(n)]


def converse(turns: int, answer: Turn) -> list[float]:
    messages: list[dict[str, str]] = [{"role": "system", "content": "You explain Python."}]
    seconds = []
    for text in user_messages(turns):
        messages.append({"role": "user", "content": text})
        ttft, reply = answer(messages)
        messages.append({"role": "assistant", "content": reply})
        seconds.append(ttft)
    return seconds


def with_longctx(llm: LongContextLLM) -> Turn:
    def answer(messages: list[dict[str, str]]) -> tuple[float, str]:
        result = llm.chat(messages, max_tokens=ANSWER)
        return result.timings.ttft_s, result.text

    return answer


def with_llama(llama: llama_cpp.Llama, trim: Callable[[list[Any]], list[Any]]) -> Turn:
    def answer(messages: list[dict[str, str]]) -> tuple[float, str]:
        started, ttft, pieces = time.perf_counter(), 0.0, []
        chunks: Any = llama.create_chat_completion(
            trim(messages), max_tokens=ANSWER, temperature=0, stream=True
        )
        for chunk in chunks:
            text = chunk["choices"][0]["delta"].get("content")
            if text:
                ttft = ttft or time.perf_counter() - started
                pieces.append(text)
        return ttft, "".join(pieces)

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    with LongContextLLM(None, 16_384, n_threads=options.threads, reserve_output=ANSWER) as llm:
        path, count = llm.info.path, llm.count
        seconds["longctx"] = converse(options.turns, with_longctx(llm))

        def trimmed(messages: list[Any]) -> list[Any]:
            rest = messages[1:]
            while count([messages[0], *rest]) > TRIMMED - ANSWER:
                rest = rest[2:]
            return [messages[0], *rest]

        for name, trim in (("Llama, all of it", list), ("Llama, trimmed", trimmed)):
            llama = llama_cpp.Llama(
                str(path), n_ctx=8192, n_threads=options.threads,
                n_threads_batch=options.threads, verbose=False,
            )  # fmt: skip
            seconds[name] = converse(options.turns, with_llama(llama, trim))
            llama.close()
    print("| way | first turn | median of the last ten | slowest |")
    print("| --- | --- | --- | --- |")
    for name, values in seconds.items():
        print(
            f"| {name} | {values[0]:.2f} s | {median(values[-10:]):.2f} s | {max(values):.2f} s |"
        )
    print("raw figures:", save("turns", {"options": vars(options), "seconds": seconds}))


if __name__ == "__main__":
    main()
