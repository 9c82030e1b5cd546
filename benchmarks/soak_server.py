"""A soak on loopback: 16 clients of `longctx serve` at once, and each answer checked.

Chats of two turns, documents, tools, schemas and plain texts, streamed and whole, by chat
completions, responses, messages and text completions, on the small model in f32; a third of the
clients' requests are given up half way, some can never fit. Every request was answered alone
before. Each answer must have the same tokens, or differ first where the two tokens were within a
rounding of each other, for a token in a batch is rounded otherwise than alone.
Wanted: no other difference, no error not asked for, nothing under way at the end, memory flat.

    make soak-server                       # 20 minutes
    python benchmarks/soak_server.py --minutes 2
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

import httpx
from machine import save
from openai import BadRequestError, OpenAI
from server import OURS, running
from soak_protocols import call_text, protocols_of

from longctx._native import quantize

TINY = Path(__file__).parents[1] / "tests/models/tiny-longctx.gguf"
WINDOW = 4096
GROWTH = 1.10
"""Resident memory of the last quarter over that of the second, at most."""
ROUNDING = 0.03
"""Nats between two tokens that rounding may exchange: read at once or token by token, the same text
moves the distance of its two likeliest tokens by up to 0.014 in 860 places (f32, f16 cells)."""
END = "<end>"
ROOMS = {7: 4821, 12: 9035, 31: 2764, 58: 6180, 44: 3517, 93: 8402}
LOOKUP = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "The code of a room.",
        "parameters": {"type": "object", "properties": {"room": {"enum": list(ROOMS)}}},
    },
}
CODES = {"type": "array", "items": {"enum": list(ROOMS.values())}, "maxItems": 8}
TOO_LONG = [{"role": "user", "content": topics["while"] * 60}]

Body = dict[str, Any]


@dataclass(frozen=True)
class Token:
    """A token of an answer, and how likely it and others were in its place."""

    text: str
    likelihood: dict[str, float]


Answer = tuple[Token, ...]


# What is asked


def prose(n: int, skip: int = 0) -> str:
    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    return text[skip : skip + n]


def question(room: int, text: str) -> dict[str, str]:
    fact = f"The code of room {room} is {ROOMS[room]}."
    content = f"{text}\n{fact}\n{prose(300, 5000)}\nWhat is the code of room {room}?"
    return {"role": "user", "content": content}


def chats() -> Iterator[Body]:
    for i, room in enumerate(ROOMS):
        yield {"messages": [question(room, prose(150 * i, 700 * i))], "max_tokens": 24}
        yield {"messages": [question(room, prose(500))], "max_tokens": 24}


def documents() -> Iterator[Body]:
    for i, room in enumerate(ROOMS):
        yield {"messages": [question(room, prose(1200 + 900 * i, 400 * i))], "max_tokens": 16}


def schemas() -> Iterator[Body]:
    form = {"type": "json_schema", "json_schema": {"name": "codes", "schema": CODES}}
    for room in ROOMS:
        yield {"messages": [question(room, "")], "max_tokens": 48, "response_format": form}


def tools() -> Iterator[Body]:
    for room in ROOMS:
        messages = [{"role": "user", "content": f"What is the code of room {room}?"}]
        yield {"messages": messages, "max_tokens": 40, "tools": [LOOKUP], "tool_choice": "required"}


def texts() -> Iterator[Body]:
    for i in range(6):
        yield {"prompt": prose(400 + 300 * i, 900 * i), "max_tokens": 24}


def second_turns(first: Body, answer: Answer, room: int) -> Body:
    said = {"role": "assistant", "content": "".join(token.text for token in answer)}
    messages = [*first["messages"], said, question(room, "")]
    return {**first, "messages": messages}


# How it is asked


def ask(client: OpenAI, body: Body, *, stream: bool) -> Answer:
    """All tokens of an answer, whole or piece by piece; a call of a tool counts as one."""
    options = {**body, "model": "m", "temperature": 0}
    if "prompt" in body:
        told = client.completions.create(**options, logprobs=20)
        return columns_of(told.choices[0].logprobs)
    options |= {"logprobs": True, "top_logprobs": 20}
    if not stream:
        choice = client.chat.completions.create(**options).choices[0]
        return (*calls_of([choice.message]), *tokens_of(choice))
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**options, stream=True)]
    calls = calls_of(chunk.delta for chunk in chunks)
    return (*calls, *(token for chunk in chunks for token in tokens_of(chunk)))


def columns_of(logprobs: Any) -> Answer:
    rows = zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True)
    return tuple(Token(text, {**(top or {}), text: own}) for text, own, top in rows)


def tokens_of(choice: Any) -> Iterator[Token]:
    for token in choice.logprobs.content if choice.logprobs else ():
        likely = {other.token: other.logprob for other in [*token.top_logprobs, token]}
        yield Token(token.token, likely)


def calls_of(messages: Iterable[Any]) -> Iterator[Token]:
    """The calls of a message, or of the pieces of one."""
    names, arguments = defaultdict[int, str](str), defaultdict[int, str](str)
    for message in messages:
        for i, call in enumerate(message.tool_calls or ()):
            at = getattr(call, "index", i)
            names[at] += call.function.name or ""
            arguments[at] += call.function.arguments or ""
    for at, name in names.items():
        yield Token(call_text(name, arguments[at]), {})


def give_up(client: OpenAI, body: Body, n_events: int) -> None:
    """Hang up after some events, or before the first."""
    create = client.completions.create if "prompt" in body else client.chat.completions.create
    stream = create(**body, model="m", temperature=0, stream=True, timeout=60)
    for _, _ in zip(range(n_events), stream, strict=False):
        pass
    stream.close()


def refusal(client: OpenAI) -> list[str]:
    """Ask what can never fit; what is wrong with the answer."""
    messages: Any = TOO_LONG
    try:
        client.chat.completions.create(model="m", messages=messages)
    except BadRequestError as error:
        return [] if error.code == "context_length_exceeded" else [str(error)]
    return ["a prompt that cannot fit was answered"]


# What is checked


def difference(alone: Answer, beside: Answer) -> float | None:
    """None where the tokens are the same; else how many nats lay between the first that differ."""
    for i in range(max(len(alone), len(beside))):
        one = alone[i] if i < len(alone) else None
        other = beside[i] if i < len(beside) else None
        if one and other and one.text == other.text:
            continue
        known = (one or other).likelihood  # type: ignore[union-attr]  # one of them has a token
        names = [token.text if token else END for token in (one, other)]
        # The end has no text; it is the token with the name of one that ends a turn.
        values = [known.get(name, known.get("<|im_end|>", -99.0)) for name in names]
        return abs(values[0] - values[1])
    return None


def text_difference(alone: Answer, said: str) -> float | None:
    """The same of a text whose tokens were not told: by the tokens that might stand there."""
    left = said.encode()
    for token in alone:
        if not left.startswith(raw(token.text)):
            likely = token.likelihood.items()
            rivals = [value for text, value in likely if text and left.startswith(raw(text))]
            own = token.likelihood.get(token.text, 0.0)
            return min((abs(own - rival) for rival in rivals), default=99.0)
        left = left.removeprefix(raw(token.text))
    return 99.0 if left else None


def raw(text: str) -> bytes:
    """A token's bytes; text completions write a part of a character ``bytes:\\xe2``."""
    if text.startswith("bytes:"):
        return text.removeprefix("bytes:").encode().decode("unicode_escape").encode("latin-1")
    return text.encode()


class Soak:
    """The requests, the answers that each had alone, and what the clients saw."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.exchanged: list[float] = []
        self.cases: list[tuple[str, Body, Answer]] = []
        client = self.client()
        rooms = iter(list(ROOMS) * 10)
        for kind in (chats, documents, schemas, tools, texts):
            for body in kind():
                answer = ask(client, body, stream=False)
                assert answer, body
                self.cases.append((kind.__name__, body, answer))
                if kind in (chats, documents):
                    body = second_turns(body, answer, next(rooms))
                    answer = ask(client, body, stream=False)
                    self.cases.append((f"second turns of {kind.__name__}", body, answer))

    def client(self) -> OpenAI:
        """One that tries nothing twice."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=300)

    def run(self, seed: int, end: float) -> None:
        """One client."""
        choose, client = random.Random(seed), self.client()
        while time.monotonic() < end and not self.failures:
            try:
                self.step(choose, client)
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def step(self, choose: random.Random, client: OpenAI) -> None:
        """One request of one client."""
        kind, body, alone = choose.choice(self.cases)
        dice = choose.random()
        if dice < 0.33:
            give_up(client, body, choose.randrange(8))
            self.counts["given up"] += 1
        elif dice < 0.36:
            self.failures += refusal(client)
            self.counts["refused, too long"] += 1
        else:
            stream = choose.random() < 0.5
            others = protocols_of(body)
            protocol = choose.choice(
                [*others] if "prompt" in body else ["chat completions", *others]
            )
            if protocol == "chat completions":
                beside = ask(client, body, stream=stream)
                nats, said = difference(alone, beside), "".join(token.text for token in beside)
            else:
                said = others[protocol](self.url, body, stream=stream)
                nats = text_difference(alone, said)
            self.counts[kind] += 1
            self.counts[f"by {protocol}"] += 1
            if nats is None:
                self.counts["answers as alone"] += 1
            elif nats <= ROUNDING:
                self.exchanged.append(nats)
            else:
                expected = "".join(token.text for token in alone)
                self.failures.append(
                    f"{kind} by {protocol}: {nats:.3f} nats between {expected!r} and {said!r}"
                )


def soak(soaked: Soak, process: Any, options: argparse.Namespace) -> list[int]:
    """All clients, for so long; resident bytes of the server every two seconds."""
    end = time.monotonic() + 60 * options.minutes
    clients = [
        threading.Thread(target=soaked.run, args=(seed, end)) for seed in range(options.clients)
    ]
    for client in clients:
        client.start()
    resident = []
    while any(client.is_alive() for client in clients):
        resident.append(process.memory_info().rss)
        time.sleep(2)
    return resident


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+b") as log:
        model = Path(folder) / "tiny.f32.gguf"
        quantize(TINY, model, "f32")
        command = [
            sys.executable, "-c", OURS, "serve", str(model), "--target-ctx", str(WINDOW),
            "--model-id", "m", "--threads", str(options.threads), "--max-waiting", "64",
        ]  # fmt: skip
        with running(command, log) as (port, process):
            soaked = Soak(f"http://127.0.0.1:{port}")
            print(f"{len(soaked.cases)} requests were answered alone", flush=True)
            resident = soak(soaked, process, options)
            time.sleep(2)
            left = httpx.get(f"{soaked.url}/health").json()["jobs"]
        log.seek(0)
        said = log.read().decode()
    quarter = max(1, len(resident) // 4)
    growth = median(resident[-quarter:]) / median(resident[quarter : 2 * quarter] or resident)
    for name, n in sorted(soaked.counts.items()):
        print(f"{n:8,} {name}")
    furthest = max(soaked.exchanged, default=0.0)
    print(f"{len(soaked.exchanged):8,} exchanged two tokens within {furthest:.4f} nats")
    print(f"memory {resident[0] / 2**20:.0f} MiB at first, {resident[-1] / 2**20:.0f} at the end")
    print(f"its last quarter over its second: {growth:.3f}")
    figures = {
        "options": vars(options), "counts": dict(soaked.counts), "exchanged": soaked.exchanged,
        "failures": soaked.failures, "resident_bytes": resident,
    }  # fmt: skip
    print("raw figures:", save("soak_server", figures))
    if "Traceback" in said:
        print(f"the server's log has a traceback:\n{said[said.index('Traceback') :][:4000]}")
    if soaked.failures or "Traceback" in said:
        sys.exit("\n".join(soaked.failures[:10]))
    if left:
        sys.exit(f"{left} answers are still under way")
    if growth > GROWTH:
        sys.exit("memory grows")


if __name__ == "__main__":
    main()
