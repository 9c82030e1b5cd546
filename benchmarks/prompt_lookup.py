"""Answers with drafts from their prompt and without: what a batch of several rows costs, and what
drafts bring where an answer quotes its document, and where it does not.

Each question is answered without drafts, with them, and with them where the clock says so
(``"auto"``), alternately, from a prompt that is cached. Seconds are the processor's, so that what
else the machine does is not counted: with one thread they are those of a machine that does nothing
else. The clock's are in the raw figures. Models: the small one of the tests (F16), the packaged one
as Q8_0 (what ``LongContextLLM()`` opens) and as F16.

    python benchmarks/prompt_lookup.py [--tokens 96] [--repeats 3] [--only tiny|q8_0|f16]
"""

from __future__ import annotations

import argparse
import calendar
import colorsys
import inspect
import statistics
import string
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from machine import save

from longctx import LongContextLLM
from longctx._native import Context, ContextParams, Model, quantize
from longctx.packaged_model import demo_model, fast_copy
from longctx.types import Completion

TINY = Path(__file__).parents[1] / "tests/models/tiny-longctx.gguf"
ROWS = (1, 2, 4, 8, 16, 32)
WAYS: dict[str, Any] = {"without": False, "always": True, "by the clock": "auto"}
NAMES = ("while", "for", "with", "assert")
FUNCTIONS = (calendar.weekday, string.capwords, colorsys.rgb_to_hls, statistics.median)
FREE = (
    "Write a short story about a lighthouse.",
    "Explain how rain forms.",
    "Describe the moon.",
    "How do I learn to swim?",
)


def chats() -> dict[str, list[str]]:
    """Questions to a model that follows instructions, by how much of the answer is quoted."""
    texts = [topics[name].strip()[:1500] for name in NAMES]
    sources = [f"```python\n{inspect.getsource(function)[:1500]}\n```" for function in FUNCTIONS]
    return {
        "repeat": [f"Repeat the following text word for word.\n\n{text}" for text in texts],
        "quote": [
            f"{text}\n\nQuote the two most important sentences of the text above, exactly."
            for text in texts
        ],
        "edit": [
            f"{source}\nRewrite this function with type annotations added. Code only."
            for source in sources
        ],
        "summary": [f"{text}\n\nSummarize the text above in your own words." for text in texts],
        "free": list(FREE),
    }


def continuations() -> dict[str, list[str]]:
    """Beginnings for the small model, which quotes and repeats itself, and for new prose."""
    texts = [topics[name].strip()[:900] for name in NAMES]
    return {
        "repeat": [f"{text}\n\n{text[:80]}" for text in texts],
        "free": [text[:120] for text in texts],
    }


def batches(model: Path, threads: int, repeats: int) -> dict[int, float]:
    """Processor seconds of a batch of so many rows behind 512 tokens, alternating; medians."""
    loaded = Model(model)
    context = Context(
        loaded, ContextParams(n_ctx=1024, n_outputs=ROWS[-1], n_seq_max=16, n_threads=threads)
    )
    context.decode([7 + i % 400 for i in range(512)], 0)
    seconds: dict[int, list[float]] = {rows: [] for rows in ROWS}
    for _ in range(repeats):
        for rows in ROWS:
            started = time.process_time()
            context.decode(list(range(10, 10 + rows)), 512, outputs="all")
            context.wait()
            seconds[rows].append(time.process_time() - started)
            context.remove(512)
    context.close()
    loaded.close()
    return {rows: median(times) for rows, times in seconds.items()}


def answers(
    llm: LongContextLLM, question: str, *, is_chat: bool, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """One question, one way after the other."""

    def ask(max_tokens: int, wanted: Any) -> Completion:
        if is_chat:
            messages = [{"role": "user", "content": question}]
            return llm.chat(messages, max_tokens=max_tokens, prompt_lookup=wanted)
        return llm.generate(question, max_tokens=max_tokens, prompt_lookup=wanted)

    ask(1, False)  # the prompt is cached then
    for _ in range(options.repeats):
        for way, wanted in WAYS.items():
            started = time.process_time()
            answer = ask(options.tokens, wanted)
            seconds = time.process_time() - started
            yield {
                "way": way,
                "tokens": answer.usage.completion_tokens,
                "seconds": seconds,
                "seconds_by_the_clock": answer.timings.decode_s,
                "drafted": answer.usage.drafted_tokens,
                "accepted": answer.usage.accepted_tokens,
                "text": answer.text,
            }


def measure(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    is_chat = model != TINY
    rows: dict[str, list[list[dict[str, Any]]]] = {}
    with LongContextLLM(model, 2048, n_threads=options.threads) as llm:
        for kind, questions in (chats() if is_chat else continuations()).items():
            rows[kind] = [
                list(answers(llm, question, is_chat=is_chat, options=options))
                for question in questions
            ]
    return rows


def speed(rows: list[dict[str, Any]], way: str) -> float:
    """Tokens a second of the processor in one question, the median of its repeats."""
    return median(row["tokens"] / row["seconds"] for row in rows if row["way"] == way)


def tell(name: str, kind: str, questions: list[list[dict[str, Any]]]) -> str:
    """A line of the table: speeds as ratios, and how many answers are the same text."""
    cells = [name, kind, f"{median(speed(rows, 'without') for rows in questions):.0f} tok/s"]
    for way in ("always", "by the clock"):
        of = [row for rows in questions for row in rows if row["way"] == way]
        drafted, accepted = (sum(row[key] for row in of) for key in ("drafted", "accepted"))
        ratio = median(speed(rows, way) / speed(rows, "without") for rows in questions)
        cells += [f"{ratio:.2f}", f"{accepted:,} of {drafted:,}"]
    plain = [{row["text"] for row in rows if row["way"] == "without"}.pop() for rows in questions]
    other = [
        row["text"] == text
        for rows, text in zip(questions, plain, strict=True)
        for row in rows
        if row["way"] != "without"
    ]
    return f"| {' | '.join([*cells, f'{sum(other)} of {len(other)}'])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("tiny", "q8_0", "f16"))
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        f16 = Path(folder) / "f16.gguf"
        models = {"tiny": TINY, "q8_0": fast_copy(demo_model()), "f16": f16}
        names = [options.only] if options.only else list(models)
        if "f16" in names:
            quantize(demo_model(), f16, "f16")
        print("| rows of a batch |", " | ".join(map(str, ROWS)), "|")
        print("| --- |", " | ".join("---" for _ in ROWS), "|", flush=True)
        for name in names:
            seconds = batches(models[name], options.threads, 5 * options.repeats)
            figures[name] = {"batch_seconds": seconds}
            ratios = " | ".join(f"{seconds[rows] / seconds[1]:.1f}" for rows in ROWS)
            print(f"| {name} | {ratios} |", flush=True)
        print(
            "\n| model | answers | without | always | accepted | by the clock | accepted | same |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for name in names:
            figures[name]["answers"] = measure(models[name], options)
            for kind, questions in figures[name]["answers"].items():
                print(tell(name, kind, questions), flush=True)
    print("raw figures:", save("prompt_lookup", {"options": vars(options), "models": figures}))


if __name__ == "__main__":
    main()
