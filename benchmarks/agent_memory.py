"""What an agent still knows after hundreds of turns, by policy, and what it prefilled for it.

Scripted turns: facts are told, changed and contradicted among passages of the Python manual, and
each is asked for 1, 20, 100 or 400 turns after it was told last. Known is the newest version, in
the model's answer; "in the prompt" says whether it stood there at all, which a larger model would
have made use of. Every turn that tells is answered with a scripted "OK" (by schema), for small
models repeat themselves. Questions are asked of a copy, so that no answer teaches the next; a model
that answers them "OK" as well can be held to five digits (``--digits``).

    python benchmarks/agent_memory.py [--model tiny|demo|FILE] [--turns 500] [--threads 2]
    python benchmarks/agent_memory.py --policies archive            # a process each, side by side
    python benchmarks/agent_memory.py --way langgraph deepagents    # their summarising, same server
    python benchmarks/agent_memory.py --show                        # the table of what was measured
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from agent_memory_frameworks import WAYS, Talker, served
from machine import RESULTS, save

from longctx import LongContextLLM
from longctx.agents import Agent, Recalled, policies
from longctx.agents.saved import SavedAgent
from longctx.prompt import Prompt
from longctx.stream import Stream
from longctx.types import Messages

TINY = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
DISTANCES = (1, 20, 100, 400)
ACKNOWLEDGED: Any = {"response_schema": {"const": "OK"}, "max_tokens": 8}
DIGITS: Any = {"type": "string", "pattern": "^[0-9]{5}$"}
Figures = dict[str, Any]

POLICIES = {
    "dropping (the default before)": lambda: policies.chain(
        policies.clamp_results,
        policies.when_full(policies.drop_superseded, policies.clear_results, policies.drop_oldest),
    ),
    "archive": policies.archive,
    "archive, prepared": policies.archive,
    "summarising": policies.summarising,
}


@dataclass(frozen=True)
class Turn:
    """What the user says; of a question, the newest version, older ones and the distance."""

    text: str
    newest: str = ""
    older: tuple[str, ...] = ()
    distance: int = 0


class Metered:
    """A model that counts what it prefills, for summaries and between the turns, too."""

    def __init__(self, llm: LongContextLLM) -> None:
        self._llm = llm
        self.target_ctx, self.reserve_output = llm.target_ctx, llm.reserve_output
        self._streams: list[Stream] = []

    def count(self, text: str | Messages, tools: Any = None) -> int:
        """Of the model."""
        return self._llm.count(text, tools)

    def prompt(self, messages: Messages, tools: Any = None) -> Prompt:
        """Of the model."""
        return self._llm.prompt(messages, tools)

    def stream_chat(self, messages: Messages, **options: Any) -> Stream:
        """Of the model; agents ask for nothing in another way."""
        self._streams.append(self._llm.stream_chat(messages, **options))
        return self._streams[-1]

    def taken(self) -> int:
        """Tokens that were prefilled since this was asked last."""
        streams, self._streams = self._streams, []
        return sum(stream.result.usage.prefilled_tokens for stream in streams)


def script(n_turns: int, rng: random.Random, n_facts: int | None = None) -> list[Turn]:
    """60 facts of three versions each in 500 turns, and as many in proportion in fewer."""
    distances = [d for d in DISTANCES if d <= 0.8 * n_turns]
    n_facts = n_facts or max(len(distances), 60 * n_turns // 500)
    free = set(range(n_turns))
    turns: dict[int, Turn] = {}
    rooms = rng.sample(range(100, 1000), n_facts)
    # The farthest first, for they have the fewest places.
    order = sorted((distances[i % len(distances)] for i in range(n_facts)), reverse=True)
    for room, distance in zip(rooms, order, strict=True):
        last = rng.choice([
            t for t in sorted(free)
            if t + distance in free and sum(f < t for f in free) >= 2
        ])  # fmt: skip
        free -= {last, last + distance}
        first, second = sorted(rng.sample(sorted(f for f in free if f < last), 2))
        free -= {first, second}
        codes = tuple(str(code) for code in rng.sample(range(10_000, 100_000), 3))
        turns[first] = Turn(f"The code of room {room} is {codes[0]}.")
        turns[second] = Turn(f"The code of room {room} has changed. It is {codes[1]}.")
        turns[last] = Turn(f"That was wrong. The code of room {room} is {codes[2]}.")
        asked = f"What is the code of room {room}?"
        turns[last + distance] = Turn(asked, codes[2], codes[:2], distance)
    prose = passages(rng)
    return [turns.get(t) or Turn(next(prose)) for t in range(n_turns)]


def passages(rng: random.Random) -> Iterator[str]:
    """Of the manual, each once."""
    text = " ".join(" ".join(topics[name].split()) for name in sorted(topics))
    places = list(range(0, len(text) - 200, 200))
    rng.shuffle(places)
    return (text[at : at + 200] for at in places)


def talk(
    llm: LongContextLLM,
    policy: policies.Policy,
    turns: list[Turn],
    *,
    prepared: bool,
    schema: Any = None,
) -> Figures:
    """The whole conversation under a policy."""
    model = Metered(llm)
    agent = Agent(model, policy=policy)
    asked: Counter[int] = Counter()
    counts: dict[str, Counter[int]] = {
        name: Counter() for name in ("known", "older", "in the prompt")
    }
    by_turn, looked_up, prefilled = [], 0, 0
    started = time.perf_counter()
    for turn in turns:
        result = agent.run(turn.text, **ACKNOWLEDGED)
        by_turn.append(result.usage.prefilled_tokens)
        if prepared:
            agent.prepare()
        prefilled += model.taken()
        looked_up += sum(e.tokens for e in result.events if isinstance(e, Recalled))
        if not turn.distance:
            continue
        copy = Agent(model, policy=policy)
        # As it was before the question.
        before = agent.conversation
        said = len(before.transcript) - 2
        state = SavedAgent.of(before).model_copy(
            update={
                "messages": before.transcript[:said],
                "shown": tuple(s for s in before.shown if s.index is None or s.index < said),
                "finished": said,
            }
        )
        copy.take_up(state, "a copy")
        answer = copy.run(turn.text, max_tokens=24, response_schema=schema).text
        model.taken()
        asked[turn.distance] += 1
        counts["known"][turn.distance] += turn.newest in answer
        counts["older"][turn.distance] += any(code in answer for code in turn.older)
        prompt = "\n".join(message.content for message in copy.shown[:-1])
        counts["in the prompt"][turn.distance] += turn.newest in prompt
    return {
        "asked": dict(asked),
        **{name: dict(counter) for name, counter in counts.items()},
        "prefilled_tokens": prefilled,
        "side_tokens": prefilled - sum(by_turn),
        "looked_up_tokens": looked_up,
        "prefilled_by_turn": by_turn,
        "compactions": [c.policy for c in agent.context.compacted],
        "seconds": time.perf_counter() - started,
    }


def talk_elsewhere(
    way: str, llm: LongContextLLM, url: str, turns: list[Turn], schema: Any = None
) -> Figures:
    """The whole conversation under a framework's agent, over the server."""
    talker = Talker(way, llm, url, schema)
    names = ("asked", "known", "older", "in the prompt")
    counts: dict[str, Counter[int]] = {name: Counter() for name in names}
    by_turn, summaries = [], 0
    started = time.perf_counter()
    for turn in turns:
        # A question is asked of a copy, and then told as the others are.
        if turn.distance:
            answer = talker.ask(turn.text)
            counts["asked"][turn.distance] += 1
            counts["known"][turn.distance] += turn.newest in answer.text
            counts["older"][turn.distance] += any(code in answer.text for code in turn.older)
            counts["in the prompt"][turn.distance] += turn.newest in answer.prompt
        said = talker.tell(turn.text)
        by_turn.append(said.prefilled)
        summaries += said.summaries
    return {
        **{name: dict(counter) for name, counter in counts.items()},
        "prefilled_tokens": sum(by_turn),
        "prefilled_by_turn": by_turn,
        "compactions": ["summary"] * summaries,
        "seconds": time.perf_counter() - started,
    }


def table(rows: dict[str, Figures]) -> str:
    """For the documentation."""
    distances = list(next(iter(rows.values()))["asked"])
    first = next(iter(rows.values()))["prefilled_tokens"]
    head = "".join(f" {d} turns |" for d in sorted(distances))
    lines = [
        f"| policy |{head} in the prompt | prefilled | of the first | slowest turn | time |",
        "| --- |" + " --- |" * (len(distances) + 5),
    ]
    for name, row in rows.items():
        known = "".join(f" {row['known'].get(d, 0)}/{row['asked'][d]} |" for d in sorted(distances))
        n, there = sum(row["asked"].values()), sum(row["in the prompt"].values())
        lines.append(
            f"| {name} |{known} {there}/{n} | {row['prefilled_tokens']:,} "
            f"| {row['prefilled_tokens'] / first:.0%} "
            f"| {max(row['prefilled_by_turn']):,} | {row['seconds']:.0f} s |"
        )
    return "\n".join(lines)


def model_of(text: str) -> Path | None:
    """The file that is meant; None is the demo model."""
    return {"tiny": TINY, "demo": None}.get(text, Path(text))


def stem(options: argparse.Namespace, way: str) -> str:
    """The name of one policy's figures, of one model and length."""
    slug = re.sub(r"\W+", "_", way.split(" (")[0])
    return f"agent_memory_{Path(options.model).stem}_{options.turns}_{slug}"


def kept(options: argparse.Namespace) -> dict[str, Figures]:
    """What was measured of a model so far, in the order of the policies."""
    paths = {way: RESULTS / f"{stem(options, way)}.json" for way in (*POLICIES, *WAYS)}
    return {
        way: json.loads(path.read_text(), object_hook=_distances)["figures"]["measured"]
        for way, path in paths.items()
        if path.exists()
    }


def _distances(read: dict[str, Any]) -> dict[Any, Any]:
    """JSON has texts for keys."""
    return {int(key) if key.isdigit() else key: value for key, value in read.items()}


def measured(options: argparse.Namespace, way: str) -> Figures:
    """The conversation under one policy, or under a framework."""
    turns = script(options.turns, random.Random(0), options.facts)
    schema = DIGITS if options.digits else None
    target = options.target_ctx or (1024 if options.model == "tiny" else 2048)
    with LongContextLLM(
        model_of(options.model), target, reserve_output=24, n_threads=options.threads, seed=0
    ) as llm:
        if way in POLICIES:
            return talk(llm, POLICIES[way](), turns, prepared="prepared" in way, schema=schema)
        with served(llm) as url:
            return talk_elsewhere(way, llm, url, turns, schema)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="tiny, demo, or a GGUF file")
    parser.add_argument("--turns", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--target-ctx", type=int, default=None)
    parser.add_argument("--facts", type=int, default=None)
    parser.add_argument("--digits", action="store_true", help="questions are answered by five")
    parser.add_argument("--way", nargs="*", choices=("longctx", *WAYS), default=["longctx"])
    parser.add_argument("--policies", nargs="*", choices=list(POLICIES), default=list(POLICIES))
    parser.add_argument("--show", action="store_true", help="measure nothing")
    options = parser.parse_args()
    policies_too = options.policies if "longctx" in options.way else []
    ways = [*policies_too, *(way for way in options.way if way in WAYS)]
    for way in [] if options.show else ways:
        figures = measured(options, way)
        print(table({way: figures}), flush=True)
        name = stem(options, way)
        print("raw figures:", save(name, {"options": vars(options), "measured": figures}))
    if rows := kept(options):
        print(table(rows))


if __name__ == "__main__":
    main()
