"""Clients at once: `longctx serve` and `llama_cpp.server` with the same model, on loopback.

1, 4 and 16 clients each hold a conversation of two turns, streamed: a text of some 300 tokens with
a question, then a second question. One server after the other, each a process of its own. Time to
first token is what a client waits, the queue included; throughput counts the answers' tokens.

    python benchmarks/server.py [--clients 1 4 16] [--threads 2]

Needs `pip install "llama-cpp-python[server]"`.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pydoc_data.topics import topics
from statistics import median
from typing import Any

import httpx
from machine import save
from openai import OpenAI

from longctx import demo_model
from longctx.packaged_model import fast_copy

WINDOW, ANSWER, TURNS = 8192, 24, 2


def commands(path: str, threads: int, port: int) -> dict[str, list[str]]:
    """Both serve one answer at a time; neither is to drop one for the next."""
    ours = "from longctx.cli import main; import sys; main(sys.argv[1:])"
    common = [sys.executable]
    return {
        "longctx serve": [
            *common, "-c", ours, "serve", path, "--target-ctx", str(WINDOW),
            "--model-id", "m", "--port", str(port),
        ],
        "llama_cpp.server": [
            *common, "-m", "llama_cpp.server", "--model", path, "--n_ctx", str(WINDOW),
            "--model_alias", "m", "--port", str(port), "--interrupt_requests", "false",
            "--n_threads", str(threads), "--n_threads_batch", str(threads), "--verbose", "false",
        ],
    }  # fmt: skip


@contextmanager
def running(command: list[str], port: int) -> Iterator[OpenAI]:
    """The server, from when it lists its models."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        while True:
            try:
                httpx.get(f"{url}/models").raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None:
                    sys.exit(f"{command} ended with {process.returncode}")
                time.sleep(0.1)
        yield OpenAI(base_url=url, api_key="none", timeout=600, max_retries=0)
    finally:
        process.terminate()
        process.wait(60)


def converse(client: OpenAI, who: int) -> list[dict[str, Any]]:
    """Two turns of one client."""
    name = sorted(topics)[who]
    text = topics[name].strip().ljust(1200, ".")[:1200]
    messages: list[Any] = [{"role": "user", "content": f"{text}\n\nWhat is this about?"}]
    turns = []
    for _ in range(TURNS):
        started, ttft, n_tokens, pieces = time.perf_counter(), 0.0, 0, []
        for chunk in client.chat.completions.create(
            model="m", messages=messages, max_tokens=ANSWER, temperature=0, stream=True
        ):
            text = (chunk.choices[0].delta.content or "") if chunk.choices else ""
            if text:
                ttft = ttft or time.perf_counter() - started
                pieces.append(text)
                n_tokens += 1
        turns.append({"ttft_s": ttft, "n_tokens": n_tokens, "text": "".join(pieces)})
        messages.append({"role": "assistant", "content": "".join(pieces)})
        messages.append({"role": "user", "content": "Say it in other words."})
    return turns


def measure(client: OpenAI, n: int, first: int) -> dict[str, Any]:
    """``n`` clients at once, whose texts begin at number ``first``."""
    started = time.perf_counter()
    with ThreadPoolExecutor(n) as pool:
        talks = list(pool.map(lambda who: converse(client, who), range(first, first + n)))
    seconds = time.perf_counter() - started
    return {
        "clients": n,
        "seconds": seconds,
        "tokens_per_s": sum(turn["n_tokens"] for talk in talks for turn in talk) / seconds,
        "ttft_s": [[talk[i]["ttft_s"] for talk in talks] for i in range(TURNS)],
        "texts": [[turn["text"] for turn in talk] for talk in talks],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = "passive"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path = str(fast_copy(demo_model()))
    figures: dict[str, list[dict[str, Any]]] = {}
    for name, command in commands(path, options.threads, port).items():
        with running(command, port) as client:
            converse(client, 40)  # what is done once is done before
            firsts = [sum(options.clients[:i]) for i in range(len(options.clients))]
            figures[name] = [
                measure(client, n, first) for n, first in zip(options.clients, firsts, strict=True)
            ]
    print("| clients | server | first turn | second turn | slowest | tokens/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for rows in zip(*figures.values(), strict=True):
        for name, row in zip(figures, rows, strict=True):
            first, second = row["ttft_s"]
            print(
                f"| {row['clients']} | {name} | {median(first):.2f} s | {median(second):.2f} s "
                f"| {max(first + second):.2f} s | {row['tokens_per_s']:.1f} |"
            )
    print("raw figures:", save("server", {"options": vars(options), "servers": figures}))


if __name__ == "__main__":
    main()
