"""Which way finds what a document says, and which says that it does not say it.

Facts ("The access code of the amber gallery is 4821.") are planted in the Python reference, at
depths and in an order that a seed draws, and asked for in each way: whole, retrieve, retrieve with
a reranker (``--reranker``), map_reduce, and LlamaIndex's default pipeline (``--llama-index``).
Then what is not there is asked: codes of other rooms, and questions about anything. An answer
"says so" if it is ``grounded=False``, or says in words that it is not there; the words are listed
in ``SAYING``. What has a code in it says nothing of the kind.

    python benchmarks/rag_accuracy.py --llama-index
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from machine import save
from rag import COLOURS, PLACES, LlamaIndexPipeline, prose, timed

from longctx import LongContextLLM
from longctx.documents import DocumentQA, SentenceTransformersEmbedder

ANSWER_TOKENS = 24
SAYING = re.compile(
    r"\bnot (?:in|mentioned|specified|stated|given|provided|found|available|listed|explicitly|"
    r"contain|say|mention|included|known|part of)|\bno (?:mention|information|answer)|n't (?:say|"
    r"mention|contain|provide|know|in)|unknown|cannot (?:find|answer)",
    re.IGNORECASE,
)
CODE = re.compile(r"\b\d{4}\b")


def planted(text: str, n_facts: int, n_absent: int, seed: int) -> tuple[str, Any, list[str]]:
    """Facts in paragraphs of their own; what was planted, and rooms that are not there."""
    draw = random.Random(seed)
    rooms = [f"{colour} {place}" for colour in COLOURS for place in PLACES]
    draw.shuffle(rooms)
    codes = draw.sample(range(1000, 9999), n_facts)
    paragraphs = text.split("\n\n")
    facts = list(zip(rooms, map(str, codes), strict=False))
    for i, (room, code) in enumerate(facts):
        at = round((i + 0.5) / n_facts * len(paragraphs)) + i
        paragraphs.insert(at, f"The access code of the {room} is {code}.")
    return "\n\n".join(paragraphs), facts, rooms[n_facts : n_facts + n_absent]


def asked_of_rooms(rooms: list[str]) -> list[str]:
    return [f"What is the access code of the {room}?" for room in rooms]


def ask_ours(options: argparse.Namespace, embedder: Any, way: str, text: str) -> tuple[Any, Any]:
    """The model, and a function from a question to an answer and whether it is grounded."""
    target = options.target_ctx if way == "whole" else options.window
    llm = LongContextLLM(None, target, reserve_output=ANSWER_TOKENS)
    qa = DocumentQA(
        llm,
        strategy=way.partition(" ")[0],  # type: ignore[arg-type]  # one of WAYS
        embedder=embedder,
        reranker=options.reranker if "rerank" in way else None,
    )
    qa.add(text, doc_id="reference")

    def ask(question: str) -> tuple[str, bool | None]:
        answer = qa.ask(question, max_tokens=ANSWER_TOKENS)
        return answer.text, answer.grounded

    return llm, ask


def ask_theirs(options: argparse.Namespace, embedder: Any, _: str, text: str) -> tuple[Any, Any]:
    llm = LongContextLLM(None, options.window, reserve_output=ANSWER_TOKENS)
    theirs = LlamaIndexPipeline(llm, embedder, {"reference": text}, ANSWER_TOKENS)
    return llm, lambda question: (theirs.ask(question)[0], None)


def row(
    open_way: Callable[[], tuple[Any, Any]], facts: Any, absent: list[str], anything: list[str]
) -> dict[str, Any]:
    llm, ask = open_way()
    with llm:
        found: list[dict[str, Any]] = []
        for (_, code), question in zip(
            facts, asked_of_rooms([room for room, _ in facts]), strict=True
        ):
            (text, grounded), seconds = timed(partial(ask, question))
            found.append(
                {"answer": text, "grounded": grounded, "right": code in text, "seconds": seconds}
            )
        lost = {
            kind: [
                {"answer": text, "grounded": grounded, "says_so": says_so(text, grounded)}
                for text, grounded in map(ask, questions)
            ]
            for kind, questions in (("rooms", asked_of_rooms(absent)), ("anything", anything))
        }
    return {"facts": found, **lost}


def says_so(text: str, grounded: bool | None) -> bool:
    said_in_words = SAYING.search(text) is not None and not CODE.search(text)
    return grounded is False or said_in_words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1024, help="of the document")
    parser.add_argument("--window", type=int, default=768, help="where it is not whole")
    parser.add_argument("--target-ctx", type=int, default=2560, help="of whole")
    parser.add_argument("--facts", type=int, default=40)
    parser.add_argument("--absent", type=int, default=5, help="questions without an answer, each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--asked", type=int, help="so many of the facts; default: all")
    parser.add_argument("--ways", nargs="+", help="some of them; default: all")
    parser.add_argument("--reranker", help="a CrossEncoder's name or folder")
    parser.add_argument("--llama-index", action="store_true")
    parser.add_argument("--save-as", default="rag_accuracy")
    options = parser.parse_args()
    ways: dict[str, Any] = dict.fromkeys(["whole", "retrieve"], ask_ours)
    ways |= {"retrieve, reranked": ask_ours} if options.reranker else {}
    ways |= {"map_reduce": ask_ours}
    ways |= {"LlamaIndex": ask_theirs} if options.llama_index else {}
    ways = {way: ways[way] for way in options.ways or ways}
    anything = json.loads((Path(__file__).parent / "not_found.json").read_text("utf-8"))["anything"]
    rows: list[dict[str, Any]] = []
    print("| way | seed | facts | other rooms: says so | anything: says so | seconds |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        embedder = SentenceTransformersEmbedder(cache_dir=Path(folder))
        for seed in options.seeds:
            with LongContextLLM(None, 8192) as llm:
                text = prose(llm, options.tokens, skip=seed * options.tokens)
            text, facts, absent = planted(text, options.facts, options.absent, seed)
            facts = facts[: options.asked]
            for way, opener in ways.items():
                open_way = partial(opener, options, embedder, way, text)
                done, seconds = timed(
                    partial(row, open_way, facts, absent, anything[: options.absent])
                )
                rows.append({"way": way, "seed": seed, "seconds": seconds, **done})
                print(
                    f"| {way} | {seed} | {sum(a['right'] for a in done['facts'])} of {len(facts)} "
                    + "".join(
                        f"| {sum(a['says_so'] for a in done[k])} of {len(done[k])} "
                        for k in ("rooms", "anything")
                    )
                    + f"| {seconds:.0f} |",
                    flush=True,
                )
                path = save(options.save_as, {"options": vars(options), "rows": rows})
    print("raw figures:", path)


if __name__ == "__main__":
    main()
