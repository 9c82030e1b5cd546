"""Sixty turns of an agent with a tool, turn by turn; and what it still knows afterwards.

The same scripted turns (look something up, read what the tool returns, answer in 32 tokens) to a
longctx agent, whose window grows to twice the trained one and is then compacted, and to
``llama_cpp.Llama`` with the oldest messages trimmed each turn until the rest fits the trained
window, as agents commonly do. A fact told in the first turn is asked for every fifteen turns.

Then, on the small trained model, how often a fact of the first turn is found again after the
window has grown, after a compaction, and after saving and loading in a new model, by policy.

    python benchmarks/agent.py [--turns 60] [--trials 20] [--threads 2]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

import llama_cpp
from machine import RESULTS, save

from longctx import LongContextLLM
from longctx.agents import Agent, Compacted, WindowGrown, policies, tool
from longctx.agents.saved import SavedAgent
from longctx.chat.tool_prompt import spell_out_tools
from longctx.stream import Stream
from longctx.types import (
    Chunk,
    Completion,
    Message,
    Messages,
    Timings,
    ToolCall,
    Usage,
    WindowReport,
)

ANSWER = 32
SYSTEM = "You explain Python to a beginner."
FACT = "My badge number is 4821. Please remember it."
QUESTION = "What is my badge number?"
TINY = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
Figures = dict[str, Any]


@tool
def look_up(topic: str) -> str:
    """Look something up in the Python manual."""
    return topics[topic].strip()[:1200]


class ScriptedCalls:
    """A model whose calls are scripted, so that every way of holding a window sees the same text.

    A turn that begins with "Look up" is answered with a call without asking the model; all else
    is the model's.
    """

    def __init__(self, llm: LongContextLLM) -> None:
        self._llm = llm
        self.target_ctx, self.reserve_output = llm.target_ctx, llm.reserve_output
        self.count = llm.count
        self._last: Stream | None = None

    def stream_chat(self, messages: Messages, **options: Any) -> Stream:
        """Call by script, or let the model answer in words."""
        last = messages[-1]
        if last.role == "user" and last.content.startswith("Look up "):
            n = self.count(messages, options["tools"])
            usage = Usage(prompt_tokens=n, cached_tokens=n)
            window = self._last.result.window if self._last is not None else WindowReport()
            called = scripted_call(last.content.split()[2])
            called = called.model_copy(update={"usage": usage, "window": window})
            return Stream.of([Chunk(result=called)])
        self._last = self._llm.stream_chat(messages, **{**options, "tool_choice": "none"})
        return self._last

    def chat(self, messages: Messages, **options: Any) -> Completion:
        """Ask the model."""
        return self._llm.chat(messages, **options)


def scripted_call(topic: str) -> Completion:
    call = ToolCall(id="call_1", name="look_up", arguments={"topic": topic})
    return Completion(
        text="",
        message=Message(role="assistant", tool_calls=(call,)),
        finish_reason="tool_calls",
        usage=Usage(),
        timings=Timings(),
        window=WindowReport(),
    )


def user_messages(n: int) -> Iterator[str]:
    names = sorted(topics)
    for i in range(n):
        if i == 0:
            yield FACT
        elif i % 15 == 14 or i == n - 1:
            yield QUESTION
        else:
            yield f"Look up {names[i]} and explain it in one sentence."


def with_longctx(llm: LongContextLLM, turns: int) -> list[Figures]:
    agent = Agent(ScriptedCalls(llm), tools=[look_up], system=SYSTEM, read_back=False)
    rows = []
    for i, text in enumerate(user_messages(turns)):
        started = time.perf_counter()
        result = agent.run(text, max_tokens=ANSWER, pin=i == 0)
        wall_s = time.perf_counter() - started
        last = result.steps[-1]
        # All that happened before the first token of the answer: policy, counting, prefill.
        after_s = last.timings.prefill_s + last.timings.decode_s - last.timings.ttft_s
        rows.append(
            {
                "ttft_s": wall_s - after_s,
                "prefilled_tokens": result.usage.prefilled_tokens,
                "prompt_tokens": last.usage.prompt_tokens,
                "n_ctx": last.window.n_ctx,
                "scale": last.window.scale,
                "grew_s": [e.rescale_s for e in result.events if isinstance(e, WindowGrown)],
                "compacted": [e.policy for e in result.events if isinstance(e, Compacted)],
                "answer": result.text if text == QUESTION else None,
            }
        )
        report("longctx", i, rows[-1])
    return rows


def with_llama(llm: LongContextLLM, llama: llama_cpp.Llama, turns: int) -> list[Figures]:
    conversation = [Message(role="system", content=SYSTEM)]
    tools = [look_up.schema]
    rows = []

    def spelled(messages: Sequence[Message]) -> list[Message]:
        return spell_out_tools(messages, tools)

    for i, text in enumerate(user_messages(turns)):
        conversation.append(Message(role="user", content=text))
        if text.startswith("Look up "):
            (call,) = scripted_call(text.split()[2]).tool_calls
            result = Message(
                role="tool", name="look_up", content=look_up.call(call.arguments),
                tool_call_id=call.id,
            )  # fmt: skip
            conversation += [Message(role="assistant", tool_calls=(call,)), result]
        started = time.perf_counter()
        kept = trimmed(conversation, lambda m: llm.count(spelled(m)), llama.n_ctx() - ANSWER)
        ttft_s, answer, reused = answer_of(llama, spelled(kept), started)
        n = llm.count(spelled(kept))
        rows.append(
            {
                "ttft_s": ttft_s,
                "prefilled_tokens": n - reused,
                "prompt_tokens": n,
                "n_ctx": llama.n_ctx(),
                "scale": 1.0,
                "answer": answer if text == QUESTION else None,
            }
        )
        conversation.append(Message(role="assistant", content=answer))
        report("Llama, trimmed", i, rows[-1])
    return rows


def trimmed(
    messages: Sequence[Message], count: Callable[[Sequence[Message]], int], room: int
) -> list[Message]:
    """LangChain's trim_messages(strategy="last", start_on="human", include_system=True)."""
    system, rest = list(messages[:1]), list(messages[1:])
    while count([*system, *rest]) > room:
        rest = rest[1:]
        while rest[0].role != "user":
            rest = rest[1:]
    return [*system, *rest]


def answer_of(
    llama: llama_cpp.Llama, messages: Sequence[Message], started: float
) -> tuple[float, str, int]:
    """Seconds to the first token, the answer, and how many tokens were found in the cache."""
    held = list(llama.input_ids[: llama.n_tokens])
    ttft_s, pieces = 0.0, []
    chunks: Any = llama.create_chat_completion(
        [{"role": m.role, "content": m.content} for m in messages],
        max_tokens=ANSWER, temperature=0, stream=True,
    )  # fmt: skip
    for chunk in chunks:
        text = chunk["choices"][0]["delta"].get("content")
        if text:
            ttft_s = ttft_s or time.perf_counter() - started
            pieces.append(text)
    now = llama.input_ids[: llama.n_tokens]
    pairs = enumerate(zip(held, now, strict=False))
    reused = next((i for i, (a, b) in pairs if a != b), min(len(held), len(now)))
    return ttft_s, "".join(pieces), reused


def report(way: str, turn: int, row: Figures) -> None:
    what = ", ".join(row.get("compacted", []))
    print(
        f"{way} turn {turn + 1}: {row['ttft_s']:.2f} s, {row['prefilled_tokens']:,} of "
        f"{row['prompt_tokens']:,} prefilled, window {row['n_ctx']:,} s={row['scale']:.2g} {what} "
        f"{row['answer'] or ''}",
        flush=True,
    )


def recall(trials: int, threads: int) -> list[Figures]:
    """Found again or not, by policy and moment."""
    ways = {
        "archive (default)": (policies.archive, False),
        "archive, fact pinned": (policies.archive, True),
        "drop_oldest only": (lambda: policies.when_full(policies.drop_oldest), False),
    }
    prose = " ".join(topics["exceptions"].split())
    rows = []
    for name, (policy, pin) in ways.items():
        found = {"growth": 0, "compaction": 0, "reload": 0}
        for trial in range(trials):
            rng = random.Random(trial)
            key = f"{rng.randrange(10_000, 100_000)}"
            options = {"reserve_output": 16, "n_threads": threads}
            with LongContextLLM(TINY, 1024, **options) as llm:
                agent = Agent(llm, policy=policy())
                agent.run(f"The pass key is {key}. Remember it. {key} is the pass key.", pin=pin)
                talk_until(agent, WindowGrown, prose, rng)
                found["growth"] += knows(agent, llm, key)
                talk_until(agent, Compacted, prose, rng)
                found["compaction"] += knows(agent, llm, key)
                with tempfile.TemporaryDirectory() as folder:
                    agent.save(f"{folder}/agent.json")
                    with LongContextLLM(TINY, 1024, **options) as other:
                        loaded = Agent.load(f"{folder}/agent.json", other, policy=policy())
                        found["reload"] += knows(loaded, other, key)
        rows.append({"policy": name, "trials": trials, **found})
    return rows


def talk_until(agent: Agent, kind: type, prose: str, rng: random.Random) -> None:
    happened = False
    while not happened:
        begin = rng.randrange(len(prose) - 300)
        # Two tokens: in a longer answer this model would say the key again, unasked.
        result = agent.run(prose[begin : begin + 300], max_tokens=2)
        happened = any(isinstance(event, kind) for event in result.events)


def knows(agent: Agent, llm: LongContextLLM, key: str) -> bool:
    """Ask a copy, so that the question leaves nothing behind."""
    copy = Agent(llm, policy=agent.policy)
    copy.take_up(SavedAgent.of(agent.conversation), "a copy")
    return key in copy.run("What is the pass key?", max_tokens=12).text


def draw(name: str, ways: dict[str, list[Figures]]) -> Path:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(8, 8), sharex=True, layout="constrained")
    labels = ("time to first token, s", "tokens prefilled", "window, tokens")
    for ax, key, label in zip(axes, ("ttft_s", "prefilled_tokens", "n_ctx"), labels, strict=True):
        for way, rows in ways.items():
            turns = range(1, len(rows) + 1)
            ax.plot(turns, [row[key] for row in rows], label=way, drawstyle="steps-mid")
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
    axes[0].legend()
    for rows in ways.values():
        for i, row in enumerate(rows, 1):
            if row.get("compacted"):
                axes[1].annotate("compacted", (i, row["prefilled_tokens"]), fontsize=7)
            if row.get("grew_s"):
                axes[2].annotate(f"s = {row['scale']:.2g}", (i, row["n_ctx"]), fontsize=7)
    axes[-1].set_xlabel("turn")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.svg"
    figure.savefig(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--target-ctx", type=int, default=16_384)
    parser.add_argument("--trim-to", type=int, default=8192, help="n_ctx of llama_cpp.Llama")
    parser.add_argument("--name", default="agent", help="of the file with the results")
    options = parser.parse_args()
    ways: dict[str, list[Figures]] = {}
    with LongContextLLM(
        None, options.target_ctx, n_threads=options.threads, reserve_output=ANSWER
    ) as llm:
        ways["longctx agent"] = with_longctx(llm, options.turns)
        llama = llama_cpp.Llama(
            str(llm.info.path), n_ctx=options.trim_to, n_threads=options.threads,
            n_threads_batch=options.threads, verbose=False,
        )  # fmt: skip
        ways["llama_cpp.Llama, trimmed"] = with_llama(llm, llama, options.turns)
        llama.close()
    rates = recall(options.trials, options.threads)
    print("| way | ttft, median | slowest | sum | prefilled |")
    print("| --- | --- | --- | --- | --- |")
    for way, rows in ways.items():
        ttft = [row["ttft_s"] for row in rows]
        prefilled = sum(row["prefilled_tokens"] for row in rows)
        print(
            f"| {way} | {median(ttft):.2f} s | {max(ttft):.2f} s | {sum(ttft):.0f} s "
            f"| {prefilled:,} |"
        )
    print(
        "\n| policy | after growth | after compaction | after reload |\n| --- | --- | --- | --- |"
    )
    for row in rates:
        shares = (f"{row[when]}/{row['trials']}" for when in ("growth", "compaction", "reload"))
        print(f"| {row['policy']} | {' | '.join(shares)} |")
    figures = {"options": vars(options), "turns": ways, "recall": rates}
    print("raw figures:", save(options.name, figures), draw(options.name, ways))


if __name__ == "__main__":
    main()
