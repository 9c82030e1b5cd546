"""Several conversations at once against one after the other: chat_batch and chat.

The packaged model, and a generated one of a billion parameters (random weights: its text is
noise, its speed is not), each asked about so many parts of a text, alternately; medians.

    python benchmarks/batch.py [--conversations 8] [--tokens 64] [--repeats 3] [--only demo|billion]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median

from machine import save

from longctx import LongContextLLM
from longctx._native import quantize
from longctx.types import Completion, Messages

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests generate models
from tests.support.tiny_gguf import write_tiny_gguf

PART_CHARACTERS = 900
SYSTEM = "You take notes. Write down what this part of a longer text says, in a few words."


def billion(folder: Path) -> Path:
    """A Llama of 22 layers and width 2,048, as Q8_0: 1.0 GB."""
    plain, fast = folder / "plain.gguf", folder / "billion.Q8_0.gguf"
    write_tiny_gguf(
        plain, n_layer=22, n_embd=2048, n_head=32, n_head_kv=4, head_dim=64, n_rot=64, n_ff=5632,
        n_ctx_train=4096, name="random, a billion parameters",
    )  # fmt: skip
    quantize(plain, fast)
    plain.unlink()
    return fast


def conversations(n: int) -> list[Messages]:
    """As many parts of the Python reference, each under the same instructions."""
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    return [
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": text[i * PART_CHARACTERS : (i + 1) * PART_CHARACTERS]},
        ]
        for i in range(n)
    ]


def alone(llm: LongContextLLM, asked: list[Messages], max_tokens: int) -> list[Completion]:
    return [llm.chat(messages, max_tokens=max_tokens) for messages in asked]


def together(llm: LongContextLLM, asked: list[Messages], max_tokens: int) -> list[Completion]:
    return llm.chat_batch(asked, max_tokens=max_tokens)


WAYS: dict[str, Callable[[LongContextLLM, list[Messages], int], list[Completion]]] = {
    "one after the other": alone,
    "at once": together,
}


def measure(model: Path | None, options: argparse.Namespace) -> list[dict[str, float | str]]:
    asked = conversations(options.conversations)
    rows: list[dict[str, float | str]] = []
    for _ in range(options.repeats):
        for way, run in WAYS.items():
            with LongContextLLM(model, 4096, n_threads=options.threads) as llm:
                llm.chat([{"role": "user", "content": "Hello"}], max_tokens=1)  # warm
                started = time.perf_counter()
                answers = run(llm, asked, options.tokens)
                seconds = time.perf_counter() - started
            written = sum(answer.usage.completion_tokens for answer in answers)
            rows.append(
                {
                    "way": way,
                    "seconds": seconds,
                    "prefilled": sum(answer.usage.prefilled_tokens for answer in answers),
                    "written": written,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="default: as the SDK chooses")
    parser.add_argument("--only", choices=("demo", "billion"))
    options = parser.parse_args()
    figures = {}
    print("| model | way | took | prefilled | written |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("demo", "billion"):
            if options.only not in (None, name):
                continue
            rows = measure(None if name == "demo" else billion(Path(folder)), options)
            figures[name] = rows
            for way in WAYS:
                of = [row for row in rows if row["way"] == way]
                print(
                    f"| {name} | {way} | {median(float(row['seconds']) for row in of):.1f} s | "
                    f"{of[0]['prefilled']:,} | {of[0]['written']:,} |",
                    flush=True,
                )
    print("raw figures:", save("batch", {"options": vars(options), "rows": figures}))


if __name__ == "__main__":
    main()
