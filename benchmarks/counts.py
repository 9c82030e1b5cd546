"""What counting costs before the model is asked: a long prompt again, an agent, documents.

Nothing is prefilled: answers are scripted, prompts are rendered and counted by the model's own
template and tokenizer. The same work by another checkout of longctx (``--before FOLDER``)
alternates with this one, each in a process of its own, so that a machine whose speed drifts slows
both.

    python benchmarks/counts.py [--before FOLDER] [--runs 5] [--model MODEL.gguf]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from longctx import LongContextLLM
from longctx.agents import Agent, tool
from longctx.documents import DocumentQA
from longctx.stream import Stream
from longctx.tokens import ModelTokenizer
from longctx.types import Chunk, Completion, Message, Timings, ToolCall, Usage, WindowReport

HERE = Path(__file__).parents[1]
PROSE = "\n".join(topics[key] for key in sorted(topics))
TURNS = 20
RESULT_CHARACTERS = 4000
DOCUMENT_CHARACTERS = 25_000


@tool
def look_up(page: int) -> str:
    """Look a page up."""
    return PROSE[page * RESULT_CHARACTERS : (page + 1) * RESULT_CHARACTERS]


class Rendering:
    """A model that renders and counts as a real one does, and answers from a script."""

    def __init__(self, llm: LongContextLLM, replies: Sequence[str | ToolCall]) -> None:
        self.target_ctx, self.reserve_output = llm.target_ctx, llm.reserve_output
        self.count, self.prompt = llm.count, llm.prompt
        self._replies = iter(replies)

    def chat(self, messages: Any, **options: Any) -> Completion:
        """The next reply, after the prompt was rendered."""
        prompt = self.prompt(messages, options.get("tools"))
        reply = next(self._replies)
        text, calls = (reply, ()) if isinstance(reply, str) else ("", (reply,))
        return Completion(
            text=text,
            message=Message(role="assistant", content=text, tool_calls=calls),
            finish_reason="tool_calls" if calls else "stop",
            usage=Usage(prompt_tokens=prompt.n_tokens, cached_tokens=prompt.n_tokens),
            timings=Timings(),
            window=WindowReport(),
        )

    def stream_chat(self, messages: Any, **options: Any) -> Stream:
        """:meth:`chat`, as one chunk."""
        return Stream.of([Chunk(result=self.chat(messages, **options))])


class Tokenised:
    """Characters that went through the tokenizer while it was watched."""

    def __init__(self) -> None:
        self.characters = 0
        encode = ModelTokenizer.encode

        def counted(own: ModelTokenizer, text: str, **options: bool) -> list[int]:
            self.characters += len(text)
            return encode(own, text, **options)

        ModelTokenizer.encode = counted  # type: ignore[method-assign]  # what is measured


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def measure(model: str | None) -> dict[str, Any]:
    """One run of everything, in this process."""
    seen = Tokenised()
    figures: dict[str, Any] = {}
    with LongContextLLM(
        model, 65_536, method="none", reserve_output=256, n_threads=1, kv_type="f16"
    ) as llm:
        llm.tokenize(PROSE * 2)  # builds the fast path, which is paid once
        messages = [{"role": "user", "content": PROSE[:125_000]}]
        figures["count_first_s"], n_tokens = timed(lambda: llm.count(messages))
        again = [timed(lambda: llm.count(messages))[0] for _ in range(5)]
        figures["count_again_s"], figures["count_tokens"] = median(again), n_tokens

        replies = [
            reply
            for turn in range(TURNS)
            for reply in (
                ToolCall(id="", name="look_up", arguments={"page": turn}),
                "That is on this page. " * 8,
            )
        ]
        agent = Agent(Rendering(llm, replies), tools=[look_up], system="You are a librarian.")
        before = seen.characters
        figures["agent_s"], results = timed(
            lambda: [agent.run(f"What is on page {turn}?") for turn in range(TURNS)]
        )
        figures["agent_characters"] = seen.characters - before
        figures["agent_tokens"] = results[-1].steps[-1].usage.prompt_tokens

        qa = DocumentQA(Rendering(llm, ["It is so [D1]."] * 2), strategy="auto")
        for number in range(4):
            begin = 150_000 + number * DOCUMENT_CHARACTERS
            qa.add(PROSE[begin : begin + DOCUMENT_CHARACTERS], doc_id=f"document {number}")
        before = seen.characters
        figures["ask_s"], answer = timed(lambda: qa.ask("What is a frozen set?"))
        figures["ask_characters"] = seen.characters - before
        figures["ask_tokens"] = answer.report.prompt_tokens
        figures["ask_again_s"], _ = timed(lambda: qa.ask("And what is a generator?"))
    return figures


def run(checkout: Path, model: str | None) -> dict[str, Any]:
    command = [sys.executable, __file__, "--once", *(["--model", model] if model else [])]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a GGUF file; by default the packaged demo model")
    parser.add_argument("--before", type=Path, help="another checkout, to compare with")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--once", action="store_true", help="one run here, as JSON")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure(options.model)))
        return

    from machine import save
    from rich.console import Console
    from rich.table import Table

    sides = {"now": HERE} | ({"before": options.before} if options.before else {})
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for _ in range(options.runs):
        for name, checkout in sides.items():
            found[name].append(run(checkout, options.model))
    table = Table(title=f"Counting, medians of {options.runs} runs")
    for column in ("", *sides):
        table.add_column(column, justify="right" if column else "left")
    for key in found["now"][0]:
        medians = [median(row[key] for row in found[name]) for name in sides]
        unit = (lambda x: f"{x * 1e3:,.1f} ms") if key.endswith("_s") else (lambda x: f"{x:,.0f}")
        table.add_row(key, *map(unit, medians))
    console = Console()
    console.print(table)
    console.print(f"saved {save('counts', found)}")


if __name__ == "__main__":
    main()
