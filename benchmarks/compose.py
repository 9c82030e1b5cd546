"""Documents prefilled alone and put side by side, against a prefill of both (docs/rag.md).

Two documents with numbered facts are read jointly, and stitched by `Session.attach` with the
first 0, 16 and 64 tokens of each prefilled in place, and with 16 and the rest compressed to a
share of its cells. Scored: the text that follows the second
document, and questions for one fact of each document at once (nats a digit; chance is 2.30).

    python benchmarks/compose.py [--tokens 1536] [--pairs 4] [--model FILE]
"""

from __future__ import annotations

import argparse
import random
import time
from math import exp
from pathlib import Path
from pydoc_data.topics import topics
from statistics import mean, median
from typing import Any

import numpy as np
from machine import save

from longctx import LongContextLLM

WAYS = ((None, 1.0), (0, 1.0), (16, 1.0), (64, 1.0), (16, 0.75), (16, 0.5))
"""Tokens recomputed in place, None where both are prefilled together; share of the cells kept."""
FACTS = 6  # of each document
FOLLOWING = 256  # tokens
NAMES = [f"{a} {n}" for a in ("amber", "brass", "coral") for n in ("falcon", "badger", "violin")]


def document(
    llm: LongContextLLM, ids: list[int], n_tokens: int, names: list[str], draw: random.Random
) -> tuple[list[int], list[tuple[str, str]]]:
    """So many tokens of the source, with a fact before each sixth of them."""
    text: list[int] = []
    facts = []
    for name in names:
        number = str(draw.randrange(10_000, 100_000))
        text += llm.tokenize(f"\n\nThe number of the {name} is {number}.\n\n")
        text += [ids.pop(0) for _ in range(n_tokens // FACTS)]
        facts.append((name, number))
    return text, facts


def question_nats(
    session: Any, llm: LongContextLLM, pairs: list[tuple[tuple[str, str], tuple[str, str]]]
) -> float:
    """Mean nats a digit of both answers, the first given before the second is asked."""
    nats = []
    for pair in pairs:
        ids: list[int] = []
        digits: list[int] = []
        for name, number in pair:
            ids += llm.tokenize(f"\n\nThe number of the {name} is ")
            digits += range(len(ids), len(ids) + len(number))
            ids += llm.tokenize(number)
        nats.append(float(session.next_nll(ids)[digits].mean()))
    return mean(nats)


def compressed(session: Any, n_whole: int | None, keep: float) -> Any:
    """A text as a passage, of whose cells a share is kept."""
    if keep == 1:
        return session.passage()
    with session.fork() as twin:
        twin.pin(n_whole)
        twin.compress(keep)
        return twin.passage()


def measure(llm: LongContextLLM, options: argparse.Namespace) -> list[dict[str, Any]]:
    draw = random.Random(0)
    names = sorted(topics)
    rows: list[dict[str, Any]] = []
    for pair in range(options.pairs):
        draw.shuffle(names)
        source = llm.tokenize("\n\n".join(topics[name].strip() for name in names)[:60_000])
        called = draw.sample(NAMES, len(NAMES)) + [f"{name} coin" for name in NAMES[:3]]
        first, first_facts = document(llm, source, options.tokens, called[:FACTS], draw)
        second, second_facts = document(llm, source, options.tokens, called[FACTS:], draw)
        asked = list(zip(first_facts, reversed(second_facts), strict=True))
        alone = []
        for ids in (first, second):
            session = llm.session()
            session.feed(ids)
            alone.append(session)
        for recompute, keep in WAYS:
            session = llm.session(n_outputs=FOLLOWING)
            passages = [compressed(other, recompute, keep) for other in alone]
            started = time.perf_counter()
            if recompute is None:
                session.feed(first)
                session.feed(second)
            else:
                for passage in passages:
                    session.attach(passage, recompute=recompute)
            took = time.perf_counter() - started
            # A text that ends in compressed cells is read again for what follows: one token more.
            session.feed(source[:1])
            nats = question_nats(session, llm, asked)
            nll = session.nll(source[1:FOLLOWING])
            session.close()
            n_bytes = sum(passage.state.nbytes for passage in passages)
            row = {"pair": pair, "recompute": recompute, "keep": keep, "seconds": took}
            row["bytes"] = n_bytes
            rows.append({**row, "nll": float(np.mean(nll)), "question_nats": nats})
            print(rows[-1], flush=True)
        for session in alone:
            session.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1536, help="of each document")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", help="a GGUF file; default: the demo model")
    parser.add_argument("--save-as", default="compose", help="name of the results file")
    options = parser.parse_args()
    window = -(-(2 * options.tokens + FOLLOWING + 512) // 256) * 256
    with LongContextLLM(options.model, window, n_threads=options.threads, reserve_output=16) as llm:
        rows = measure(llm, options)
    print("| way | perplexity of what follows | two facts, nats a digit | took |")
    print("| --- | --- | --- | --- |")
    for way in WAYS:
        of_way = [row for row in rows if (row["recompute"], row["keep"]) == way]
        name = "prefilled together" if way[0] is None else f"stitched, {way[0]} recomputed"
        name += f", {way[1]:.0%} kept" if way[1] < 1 else ""
        print(
            f"| {name} | {exp(mean(row['nll'] for row in of_way)):.2f} | "
            f"{mean(row['question_nats'] for row in of_way):.2f} | "
            f"{median(row['seconds'] for row in of_way):.2f} s |"
        )
    if options.model:
        options.model = Path(options.model).name
    print("raw figures:", save(options.save_as, {"options": vars(options), "rows": rows}))


if __name__ == "__main__":
    main()
