"""Long conversations to prompts: milliseconds of the processor for one more turn.

For each chat template that llama.cpp carries, a conversation of questions, calls, results and
answers goes on, by a call and its result (a step of an agent) or by a question: its text rendered
whole, and by what was rendered before. Then whole prompts, text and tokens, with llama.cpp's
vocabulary of Qwen 2. Nothing is generated; it takes two minutes.

    python benchmarks/rendering.py [--messages 100 1000] [--runs 5]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from machine import save

sys.path.insert(0, str(Path(__file__).parents[1]))  # what is measured is what the tests check
from longctx import Message
from longctx._native import Model
from longctx.chat import ChatTemplate, PromptTemplate
from longctx.errors import TemplateError
from longctx.tokens import ModelTokenizer
from tests.chat.histories import WEATHER
from tests.support.llama_cpp_models import models_folder

PROMPTS = ("Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "google-gemma-4-31B-it")
Plain = dict[str, Any]


def conversation(n_messages: int, *, calls: bool, text_arguments: bool) -> list[Plain]:
    """Questions, calls, results, answers; the last is a question."""
    out: list[Plain] = []
    number = 0
    while len(out) < n_messages:
        arguments: Any = '{"city": "Oslo"}' if text_arguments else {"city": f"City {number}"}
        call_id = f"call{number:05}"
        function = {"name": "weather", "arguments": arguments}
        call = {"id": call_id, "type": "function", "function": function}
        asked = {"role": "user", "content": f"What is the weather in {number}? " + "And why? " * 30}
        said = {"role": "assistant", "content": f"It is sunny in {number}. " + "That is so. " * 20}
        worked = [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "Sun.", "tool_call_id": call_id, "name": "weather"},
        ]
        out += [asked, *(worked if calls else ()), said]
        number += 1
    step = 4 if calls else 2
    return out[: len(out) // step * step + 1 - step]


def one_more(render: Callable[[int], Any], n: int, step: int, runs: int) -> tuple[float, float]:
    """Milliseconds of the processor for a question more, and for what follows it, as medians."""
    questions, steps = [], []
    for i in range(runs + 1):
        at = n - step * (runs - i)
        for times, length in ((questions, at), (steps, at + step // 2)):
            start = time.process_time()
            render(length)
            times.append(time.process_time() - start)
    return 1000 * median(questions[1:]), 1000 * median(steps[1:])


def texts(source: str, n_messages: int, runs: int) -> dict[str, tuple[float, float]] | None:
    """Of a template: whole, and going on; None where it refuses the conversation."""
    for calls in (True, False):
        template = PromptTemplate(source, bos="<s>", eos="</s>")
        messages = conversation(
            n_messages, calls=calls, text_arguments=template.traits.text_arguments
        )
        tools: Any = [WEATHER] if calls else None
        found = {}
        try:
            for name, keep in (("whole", False), ("going on", True)):

                def render(
                    n: int, keep: bool = keep, messages: list[Plain] = messages, tools: Any = tools
                ) -> str:
                    return template.render(messages[:n], tools, keep=keep)  # noqa: B023  # at once

                step = 4 if calls else 2
                found[name] = one_more(render, len(messages) - step, step, runs)
        except TemplateError:
            continue
        return found
    return None


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    folder = models_folder()
    rows: list[Plain] = []
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        row = {
            "template": path.stem,
            **{str(n): texts(source, n, args.runs) for n in args.messages},
        }
        rows.append(row)
        print(row, flush=True)
    tokenizer = ModelTokenizer(Model(folder / "ggml-vocab-qwen2.gguf", vocab_only=True))
    prompts: list[Plain] = []
    for name in PROMPTS:
        template = ChatTemplate((folder / f"{name}.jinja").read_text(encoding="utf-8"), tokenizer)
        for n in args.messages:
            plain = conversation(n, calls=True, text_arguments=False)
            messages = [Message.model_validate(message) for message in plain]
            template.render(messages, [WEATHER])  # what is done once, as reading the vocabulary

            def render(
                k: int, messages: list[Message] = messages, template: ChatTemplate = template
            ) -> Any:
                return template.render(messages[:k], [WEATHER])

            took = one_more(render, len(messages) - 4, 4, args.runs)
            prompts.append({"template": name, "messages": n, "ms": took})
            print(prompts[-1], flush=True)
    for n in map(str, args.messages):
        found = [row[n] for row in rows if row[n] is not None]
        for kind in ("whole", "going on"):
            for i, more in enumerate(("a question", "a step")):
                times = sorted(each[kind][i] for each in found)
                print(n, kind, more, f"median {median(times):.2f} ms, largest {times[-1]:.1f}")
    print("raw figures:", save("rendering", {"texts": rows, "prompts": prompts}))


if __name__ == "__main__":
    main()
