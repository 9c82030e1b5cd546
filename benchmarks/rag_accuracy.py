"""Which way finds what a document says, and which says that it does not say it.

Facts ("The access code of the amber gallery is 4821.") are planted in the Python reference, at
depths and in an order that a seed draws, and asked for in each way: whole, retrieve, retrieve with
a reranker (``--reranker``), map_reduce, and LlamaIndex's default pipeline (``--llama-index``).
Then what is not there is asked: codes of other rooms, and questions about anything. An answer
"says so" if it is ``grounded=False``, or says in words that it is not there; the words are listed
in ``SAYING``. What has a code in it says nothing of the kind.

Each answer is written down when it is there, and a run that broke off goes on where it stopped, so
each way and seed may be a process of its own; ``--merge`` puts their files together.

    python benchmarks/rag_accuracy.py --llama-index
    python benchmarks/rag_accuracy.py --ways map_reduce --seeds 2 --save-as rag_map_reduce_2
    python benchmarks/rag_accuracy.py --merge rag_map_reduce_1 rag_map_reduce_2

A machine without the embedder takes the vectors that another has made: ``--embed-only --vectors
FOLDER`` there, ``--vectors FOLDER`` here.
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

from machine import RESULTS, save
from rag import COLOURS, PLACES, LlamaIndexPipeline, prose, timed

from longctx import LongContextLLM
from longctx.documents import DocumentQA, SentenceTransformersEmbedder

ANSWER_TOKENS = 24
SAID = ("tokens", "window", "target_ctx", "facts", "absent", "asked", "model", "text", "reranker")
"""Options that results are of."""
KINDS = ("facts", "rooms", "anything")
SAYING = re.compile(
    r"\bnot (?:in|mentioned|specified|stated|given|provided|found|available|listed|explicitly|"
    r"contain|say|mention|included|known|part of)|\bno (?:mention|information|answer)|n't (?:say|"
    r"mention|contain|provide|know|in)|unknown|cannot (?:find|answer)",
    re.IGNORECASE,
)
CODE = re.compile(r"\b\d{4}\b")

Row = dict[str, Any]
Ask = Callable[[str], tuple[str, bool | None]]


class Embedder(SentenceTransformersEmbedder):
    """The packaged model, known by its name: another machine made vectors with the same one."""

    identity = "all-MiniLM-L6-v2 as packaged"


def planted(text: str, options: argparse.Namespace, seed: int) -> tuple[str, Row]:
    """Facts in paragraphs of their own, and the questions of each kind with what is right."""
    draw = random.Random(seed)
    rooms = [f"{colour} {place}" for colour in COLOURS for place in PLACES]
    draw.shuffle(rooms)
    codes = draw.sample(range(1000, 9999), options.facts)
    paragraphs = text.split("\n\n")
    facts = list(zip(rooms, map(str, codes), strict=False))
    for i, (room, code) in enumerate(facts):
        at = round((i + 0.5) / options.facts * len(paragraphs)) + i
        paragraphs.insert(at, f"The access code of the {room} is {code}.")
    absent = rooms[options.facts : options.facts + options.absent]
    file = Path(__file__).parent / "not_found.json"
    anything = json.loads(file.read_text("utf-8"))["anything"][: options.absent]
    questions = {
        "facts": [(asked_of(room), code) for room, code in facts[: options.asked]],
        "rooms": [(asked_of(room), None) for room in absent],
        "anything": [(question, None) for question in anything],
    }
    return "\n\n".join(paragraphs), questions


def asked_of(room: str) -> str:
    return f"What is the access code of the {room}?"


def opened(options: argparse.Namespace, target_ctx: int) -> LongContextLLM:
    layers = options.n_gpu_layers
    layers = int(layers) if layers.lstrip("-").isdigit() else layers
    return LongContextLLM(
        options.model, target_ctx, reserve_output=ANSWER_TOKENS, n_gpu_layers=layers
    )


def library_of(options: argparse.Namespace, llm: Any, embedder: Any, way: str) -> DocumentQA:
    return DocumentQA(
        llm,
        strategy=way.partition(",")[0],  # type: ignore[arg-type]  # one of WAYS
        embedder=embedder,
        reranker=options.reranker if "reranked" in way else None,
    )


def ask_ours(options: argparse.Namespace, llm: Any, embedder: Any, way: str, text: str) -> Ask:
    """A function from a question to an answer and whether it is grounded."""
    qa = library_of(options, llm, embedder, way)
    qa.add(text, doc_id="reference")

    def ask(question: str) -> tuple[str, bool | None]:
        answer = qa.ask(question, max_tokens=ANSWER_TOKENS)
        return answer.text, answer.grounded

    return ask


def ask_theirs(_: argparse.Namespace, llm: Any, embedder: Any, __: str, text: str) -> Ask:
    theirs = LlamaIndexPipeline(llm, embedder, {"reference": text}, ANSWER_TOKENS)
    return lambda question: (theirs.ask(question)[0], None)


WAYS = {
    "whole": ask_ours,
    "retrieve": ask_ours,
    "retrieve, reranked": ask_ours,
    "map_reduce": ask_ours,
    "LlamaIndex": ask_theirs,
}


def fill(row: Row, questions: Row, ask: Ask, keep: Callable[[], object]) -> None:
    """Ask what a row has no answer to yet, and write each down."""
    for kind in KINDS:
        for question, code in questions[kind][len(row[kind]) :]:
            (text, grounded), seconds = timed(partial(ask, question))
            judged = (
                {"says_so": says_so(text, grounded)} if code is None else {"right": code in text}
            )
            row[kind].append({"answer": text, "grounded": grounded, "seconds": seconds, **judged})
            keep()


def says_so(text: str, grounded: bool | None) -> bool:
    said_in_words = SAYING.search(text) is not None and not CODE.search(text)
    return grounded is False or said_in_words


def shown(row: Row) -> str:
    judged = dict(zip(KINDS, ("right", "says_so", "says_so"), strict=True))
    counts = [f"{sum(a[judged[k]] for a in row[k])} of {len(row[k])}" for k in KINDS]
    seconds = sum(a.get("seconds", 0) for kind in KINDS for a in row[kind])
    return f"| {row['way']} | {row['seed']} | {' | '.join(counts)} | {seconds:.0f} |"


def print_head() -> None:
    print("| way | seed | facts | other rooms: says so | anything: says so | seconds |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)


def kept(name: str, options: Row) -> list[Row]:
    """What an earlier run of the same questions has answered; nothing of any other run."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return []
    figures = json.loads(path.read_text("utf-8"))["figures"]
    if any(figures["options"].get(each) != options[each] for each in SAID):
        raise SystemExit(f"{path} is of other questions; name another with --save-as")
    return list(figures["rows"])


def embed_all(options: argparse.Namespace, embedder: Any, text: str, questions: Row) -> None:
    """Make all vectors that the ways search with, and ask no model."""
    asked = [question for kind in KINDS for question, _ in questions[kind]]
    with opened(options, options.window) as llm:
        qa = library_of(options, llm, embedder, "retrieve")
        qa.add(text, doc_id="reference")
        for question in asked:
            qa.search(question)
        if options.llama_index:
            theirs = LlamaIndexPipeline(llm, embedder, {"reference": text}, ANSWER_TOKENS)
            for question in asked:
                theirs.search(question)


def merge(options: argparse.Namespace) -> None:
    """One file of several, and one table."""
    runs = [json.loads((RESULTS / f"{n}.json").read_text("utf-8")) for n in options.merge]
    rows = [{**row, "machine": run["machine"]} for run in runs for row in run["figures"]["rows"]]
    rows.sort(key=lambda row: (list(WAYS).index(row["way"]), row["seed"]))
    print_head()
    for row in rows:
        print(shown(row))
    figures = {"options": runs[0]["figures"]["options"], "rows": rows}
    print("raw figures:", save(options.save_as, figures))


def run(options: argparse.Namespace) -> None:
    ways = options.ways or [
        way
        for way in WAYS
        if (way != "retrieve, reranked" or options.reranker)
        and (way != "LlamaIndex" or options.llama_index)
    ]
    said = {name: value for name, value in vars(options).items() if name in SAID}
    said["model"] = options.model and Path(options.model).name
    said["text"] = options.text and options.text.name
    rows = [] if options.embed_only else kept(options.save_as, said)
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(cache_dir=options.vectors or folder)
        print_head()
        for seed in options.seeds:
            with opened(options, 8192) as llm:
                from_file = options.text and options.text.read_text("utf-8")
                text = prose(llm, options.tokens, skip=seed * options.tokens, text=from_file)
            text, questions = planted(text, options, seed)
            if options.embed_only:
                embed_all(options, embedder, text, questions)
                continue
            for way in ways:
                row = next((r for r in rows if (r["way"], r["seed"]) == (way, seed)), None)
                if row is None:
                    rows.append(row := {"way": way, "seed": seed, **{kind: [] for kind in KINDS}})
                target = options.target_ctx if way == "whole" else options.window
                with opened(options, target) as llm:
                    row["plan"] = str(llm.plan.placement)
                    ask = WAYS[way](options, llm, embedder, way, text)
                    keep = partial(save, options.save_as, {"options": said, "rows": rows})
                    fill(row, questions, ask, keep)
                print(shown(row), flush=True)
    if not options.embed_only:
        print("raw figures:", RESULTS / f"{options.save_as}.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1024, help="of the document")
    parser.add_argument("--window", type=int, default=768, help="where it is not whole")
    parser.add_argument("--target-ctx", type=int, default=2560, help="of whole")
    parser.add_argument("--facts", type=int, default=40)
    parser.add_argument("--absent", type=int, default=5, help="questions without an answer, each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--asked", type=int, help="so many of the facts; default: all")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="some of them; default: all")
    parser.add_argument("--reranker", help="a CrossEncoder's name or folder")
    parser.add_argument("--llama-index", action="store_true")
    parser.add_argument("--model", help="a GGUF file; default: the demo model")
    parser.add_argument("--n-gpu-layers", default="auto", help="auto, -1 for all, or a number")
    parser.add_argument("--text", type=Path, help="instead of the Python reference")
    parser.add_argument("--vectors", type=Path, help="a folder to keep embeddings in")
    parser.add_argument("--embed-only", action="store_true", help="make those, and ask nothing")
    parser.add_argument("--merge", nargs="+", metavar="NAME", help="results to put together")
    parser.add_argument("--save-as", default="rag_accuracy")
    options = parser.parse_args()
    if options.merge:
        merge(options)
    else:
        run(options)


if __name__ == "__main__":
    main()
