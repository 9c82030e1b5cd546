"""What a question over documents costs, and whether it is answered.

Four parts, on the demo model:

- strategies: facts planted in prose of 0.5, 1, 2 and 8 windows, asked under each strategy;
- again: a document's first and second question, and the first one of a new process;
- library: 8 documents, asked in varying subsets;
- edges: a fact in each of 8 documents, with the best documents first and last, and in their order.

Each beside a prefill of the same prompt without a cache and, with ``--llama-index``, beside
LlamaIndex's default pipeline (chunks of 1,024 tokens, the best two, "compact") over the same
model and embedder; `pip install llama-index-core` first. Time to first token is the time of an
answer of one token, packing and checking included.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from pydoc_data.topics import topics
from statistics import mean, median
from typing import Any

from machine import save

from longctx import ContextOverflowError, LongContextLLM
from longctx.documents import Document, DocumentQA, SentenceTransformersEmbedder

STRATEGIES = ("whole", "retrieve", "map_reduce", "refine")
ANSWER_TOKENS = 48
COLOURS = ("amber", "blue", "coral", "ebony", "green", "ivory", "olive", "scarlet")
PLACES = ("archive", "boiler room", "chapel", "darkroom", "gallery", "kitchen", "library", "vault")


def prose(llm: LongContextLLM, n_tokens: int, skip: int = 0, text: str | None = None) -> str:
    """So many tokens of the Python reference, or of another text, from ``skip`` on."""
    text = text or "\n\n".join(topics[name].strip() for name in sorted(topics))
    ids = llm.tokenize(text[: 6 * (skip + n_tokens)])[skip : skip + n_tokens]
    return llm.detokenize(ids)


def planted(text: str, n_facts: int) -> tuple[str, list[tuple[str, str]]]:
    """Facts at even depths, each a paragraph, with their questions and answers."""
    draw = random.Random(7)
    paragraphs = text.split("\n\n")
    facts = []
    for i in range(n_facts):
        room, code = f"{COLOURS[i % 8]} {PLACES[i * 3 % 8]}", str(draw.randrange(1000, 9999))
        at = round((i + 0.5) / n_facts * len(paragraphs)) + i
        paragraphs.insert(at, f"The access code of the {room} is {code}.")
        facts.append((f"What is the access code of the {room}?", code))
    return "\n\n".join(paragraphs), facts


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def cold_prefill_s(llm: LongContextLLM, text: str) -> float:
    """Seconds to prefill a text with nothing cached."""
    session = llm.session()
    try:
        return timed(lambda: session.feed(text))[1]
    finally:
        session.close()


def strategies(options: argparse.Namespace, embedder: SentenceTransformersEmbedder) -> list[Any]:
    rows = []
    print("| document | strategy | facts | prefilled, first | next | first | next |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for ratio, strategy in itertools.product(options.ratios, options.strategies):
        with LongContextLLM(None, options.target_ctx, reserve_output=ANSWER_TOKENS) as llm:
            text, facts = planted(prose(llm, int(ratio * options.window)), options.facts)
            budget = None if strategy == "whole" else options.window
            qa = DocumentQA(llm, strategy=strategy, embedder=embedder, budget_tokens=budget)
            qa.add(text, doc_id="reference")
            # All of the document is read for every question: a few questions show what it costs.
            asked = facts if strategy in ("whole", "retrieve") else facts[: options.slow_facts]
            try:
                row = ask_facts(qa, asked)
            except ContextOverflowError as error:
                row = {"does_not_fit": error.needed}
        rows.append({"ratio": ratio, "strategy": strategy, **row})
        print(strategy_row(ratio, strategy, row), flush=True)
    return rows


def ask_facts(qa: DocumentQA, facts: list[tuple[str, str]]) -> dict[str, Any]:
    answers = []
    for question, code in facts:
        answer, seconds = timed(lambda question=question: qa.ask(question))
        answers.append(
            {
                "correct": code in answer.text,
                "answer": answer.text,
                "verified": sum(c.verified for c in answer.citations),
                "unverified": sum(not c.verified for c in answer.citations),
                "prefilled": answer.usage.prefilled_tokens,
                "calls": answer.report.calls,
                "seconds": seconds,
            }
        )
    return {"answers": answers}


def strategy_row(ratio: float, strategy: str, row: dict[str, Any]) -> str:
    if "does_not_fit" in row:
        return f"| {ratio:g} x | {strategy} | does not fit | | | | |"
    first, *rest = row["answers"]
    following = rest or [first]
    return (
        f"| {ratio:g} x | {strategy} | {sum(a['correct'] for a in row['answers'])} of "
        f"{len(row['answers'])} | {first['prefilled']:,} | "
        f"{mean(a['prefilled'] for a in following):,.0f} | {first['seconds']:.1f} s | "
        f"{mean(a['seconds'] for a in following):.1f} s |"
    )


def in_a_process(document: Document, questions: list[str], cache_dir: str) -> list[dict[str, Any]]:
    """Ask one question after another, in a process of its own."""
    with LongContextLLM(None, 16_384, cache_dir=cache_dir, reserve_output=16) as llm:
        qa = DocumentQA(llm, strategy="whole")
        qa.add(document)
        rows = []
        for question in questions:
            answer, seconds = timed(lambda question=question: qa.ask(question, max_tokens=1))
            rows.append({"ttft_s": seconds, "prefilled": answer.usage.prefilled_tokens})
        return rows


def again(options: argparse.Namespace, _: SentenceTransformersEmbedder) -> dict[str, Any]:
    with LongContextLLM(None, 16_384) as llm:
        text, facts = planted(prose(llm, options.document_tokens), 3)
        cold_s = cold_prefill_s(llm, text)
    questions = [question for question, _ in facts]
    document = Document(doc_id="reference", text=text)
    row = {"cold_prefill_s": cold_s, **in_two_processes(in_a_process, document, questions)}
    print(
        f"\n{options.document_tokens:,} tokens, time to first token (prefill alone {cold_s:.1f} s)"
    )
    print_again(row)
    if options.llama_index:
        row["llama_index"] = in_two_processes(llama_index_in_a_process, document, questions)
        print("LlamaIndex:")
        print_again(row["llama_index"])
    return row


def in_two_processes(
    ask: Callable[[Document, list[str], str], list[dict[str, Any]]],
    document: Document,
    questions: list[str],
) -> dict[str, Any]:
    """Two questions in one process, the third in another that shares its folder."""
    fresh = {"max_workers": 1, "mp_context": get_context("spawn")}
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(**fresh) as process:
            first, second = process.submit(ask, document, questions[:2], folder).result()
        with ProcessPoolExecutor(**fresh) as process:
            (later,) = process.submit(ask, document, questions[2:], folder).result()
    return {"first": first, "second": second, "new_process": later}


def print_again(row: dict[str, Any]) -> None:
    for name in ("first", "second", "new_process"):
        print(f"  {name}: {row[name]['ttft_s']:.2f} s, {row[name]['prefilled']:,} prefilled")


def library(options: argparse.Namespace, embedder: SentenceTransformersEmbedder) -> list[Any]:
    draw = random.Random(3)
    each = options.library_tokens
    rows = []
    with LongContextLLM(None, max(8192, 10 * each), reserve_output=16) as llm:
        qa = DocumentQA(llm, strategy="whole")
        for i in range(8):
            qa.add(prose(llm, each, skip=i * each), doc_id=f"part-{i}")
        for _ in range(options.subsets):
            names = draw.sample([d.doc_id for d in qa.documents], 4)
            question = draw.choice(["What is a class?", "How are names bound?", "What is an int?"])
            answer, seconds = timed(
                lambda names=names, question=question: qa.ask(question, max_tokens=1, doc_ids=names)
            )
            rows.append(
                {
                    "documents": sorted(names),
                    "question": question,
                    "ttft_s": seconds,
                    "prompt_tokens": answer.usage.prompt_tokens,
                    "prefilled": answer.usage.prefilled_tokens,
                }
            )
        cold_s = cold_prefill_s(llm, prose(llm, rows[0]["prompt_tokens"]))
        if options.llama_index:
            texts = {document.doc_id: document.text for document in qa.documents}
            theirs, index_s = timed(lambda: LlamaIndexPipeline(llm, embedder, texts, 1))
            for row in rows:
                row["llama_index_ttft_s"] = timed(
                    partial(theirs.ask, row["question"], row["documents"])
                )[1]
    print(
        f"\nlibrary: 4 of 8 documents of {each:,} tokens, {len(rows)} questions: median "
        f"{median(r['ttft_s'] for r in rows):.2f} s to the first token, "
        f"{sum(r['prefilled'] for r in rows) / sum(r['prompt_tokens'] for r in rows):.0%} of the "
        f"tokens prefilled; prefill each time {cold_s:.2f} s",
        flush=True,
    )
    if not options.llama_index:
        return [{"cold_prefill_s": cold_s}, *rows]
    print(
        f"  LlamaIndex: median {median(r['llama_index_ttft_s'] for r in rows):.2f} s, after "
        f"{index_s:.2f} s of indexing",
        flush=True,
    )
    return [{"cold_prefill_s": cold_s, "llama_index_indexing_s": index_s}, *rows]


def edges(options: argparse.Namespace, embedder: SentenceTransformersEmbedder) -> list[Any]:
    """Documents of 256 tokens with a fact in each, asked for it under both orders."""
    rows = []
    for order in ("document", "edges"):
        for number in range(options.libraries):
            draw = random.Random(number)
            with LongContextLLM(None, 8192, reserve_output=24) as llm:
                qa = DocumentQA(llm, strategy="whole", embedder=embedder, order=order)
                facts = []
                for i in range(8):
                    room, code = (
                        f"{COLOURS[i]} {PLACES[(i + number) % 8]}",
                        draw.randint(1000, 9999),
                    )
                    text = prose(llm, 256, skip=(8 * number + i) * 256)
                    before, after = text[: len(text) // 2], text[len(text) // 2 :]
                    text = f"{before}\n\nThe access code of the {room} is {code}.\n\n{after}"
                    qa.add(text, doc_id=f"part-{i}")
                    facts.append((f"What is the access code of the {room}?", str(code)))
                for i, (question, code) in enumerate(facts):
                    answer, seconds = timed(partial(qa.ask, question))
                    rows.append(
                        {
                            "order": order,
                            "place": i,
                            "correct": code in answer.text,
                            "prefilled": answer.usage.prefilled_tokens,
                            "seconds": seconds,
                        }
                    )
        mine = [row for row in rows if row["order"] == order]
        print(
            f"order {order}: {sum(r['correct'] for r in mine)} of {len(mine)} facts, "
            f"{mean(r['prefilled'] for r in mine):,.0f} tokens prefilled a question, "
            f"{mean(r['seconds'] for r in mine):.1f} s",
            flush=True,
        )
    return rows


class LlamaIndexPipeline:
    """LlamaIndex as its documentation begins, over our model: what differs is the pipeline alone.

    ``VectorStoreIndex.from_documents(…).as_query_engine().query(…)``, with its defaults.
    """

    def __init__(
        self,
        llm: LongContextLLM,
        embedder: SentenceTransformersEmbedder,
        texts: dict[str, str],
        max_tokens: int,
    ) -> None:
        from llama_index.core import Document as LlamaDocument
        from llama_index.core import Settings, VectorStoreIndex
        from llama_index.core.embeddings import BaseEmbedding
        from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
        from llama_index.core.node_parser import SentenceSplitter

        class Model(CustomLLM):
            @property
            def metadata(self) -> LLMMetadata:
                return LLMMetadata(context_window=llm.target_ctx, num_output=max_tokens)

            def complete(self, prompt: str, **_: Any) -> CompletionResponse:
                reply = llm.chat([{"role": "user", "content": prompt}], max_tokens=max_tokens)
                prefilled.append(reply.usage.prefilled_tokens)
                return CompletionResponse(text=reply.text)

            def stream_complete(self, prompt: str, **_: Any) -> Iterator[CompletionResponse]:
                yield self.complete(prompt)

        class Vectors(BaseEmbedding):
            def _get_query_embedding(self, query: str) -> list[float]:
                return embedder.embed([query])[0].tolist()

            def _get_text_embedding(self, text: str) -> list[float]:
                return embedder.embed([text])[0].tolist()

            async def _aget_query_embedding(self, query: str) -> list[float]:
                return self._get_query_embedding(query)

        self._prefilled = prefilled = list[int]()
        Settings.llm, Settings.embed_model, Settings.tokenizer = Model(), Vectors(), llm.tokenize
        # The splitter that it keeps from an earlier call would count with a closed model.
        self._index = VectorStoreIndex.from_documents(
            [LlamaDocument(text=text, metadata={"part": name}) for name, text in texts.items()],
            transformations=[SentenceSplitter(tokenizer=llm.tokenize)],
        )

    def search(self, question: str) -> None:
        """Find what :meth:`ask` would answer from, without asking the model."""
        self._index.as_retriever().retrieve(question)

    def ask(self, question: str, names: list[str] | None = None) -> tuple[str, int]:
        """Answer from all texts, or those named; return the answer and the tokens prefilled."""
        from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

        only = MetadataFilter(key="part", value=names, operator=FilterOperator.IN)
        filters = MetadataFilters(filters=[only]) if names else None
        self._prefilled.clear()
        reply = self._index.as_query_engine(filters=filters).query(question)
        return str(reply), sum(self._prefilled)


def llama_index_facts(
    options: argparse.Namespace, embedder: SentenceTransformersEmbedder
) -> list[Any]:
    """What ``strategies`` asks, through its pipeline."""
    rows = []
    for ratio in options.ratios:
        with LongContextLLM(None, options.window, reserve_output=ANSWER_TOKENS) as llm:
            text, facts = planted(prose(llm, int(ratio * options.window)), options.facts)
            build = partial(LlamaIndexPipeline, llm, embedder, {"reference": text}, ANSWER_TOKENS)
            theirs, index_s = timed(build)
            answers = []
            for question, code in facts:
                (reply, prefilled), seconds = timed(partial(theirs.ask, question))
                answers.append(
                    {
                        "correct": code in reply,
                        "answer": reply,
                        "prefilled": prefilled,
                        "seconds": seconds + (0 if answers else index_s),
                    }
                )
        rows.append({"ratio": ratio, "strategy": "LlamaIndex", "answers": answers})
        print(strategy_row(ratio, "LlamaIndex", rows[-1]), flush=True)
    return rows


def llama_index_in_a_process(
    document: Document, questions: list[str], cache_dir: str
) -> list[dict[str, Any]]:
    """As ``in_a_process``; its index is built anew, from vectors that are cached on disk."""
    embedder = SentenceTransformersEmbedder(cache_dir=Path(cache_dir))
    embedder.embed(["loads the model"])
    rows = []
    with LongContextLLM(None, 16_384, reserve_output=16) as llm:
        texts = {document.doc_id: document.text}
        theirs, index_s = timed(lambda: LlamaIndexPipeline(llm, embedder, texts, 1))
        for question in questions:
            (_, prefilled), seconds = timed(partial(theirs.ask, question))
            rows.append({"ttft_s": seconds + (0 if rows else index_s), "prefilled": prefilled})
    return rows


PARTS = {"strategies": strategies, "again": again, "library": library, "edges": edges}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--window", type=int, default=8192, help="budget_tokens of a window")
    parser.add_argument("--target-ctx", type=int, default=32_768, help="what whole may grow to")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.5, 1, 2, 8])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=STRATEGIES)
    parser.add_argument("--facts", type=int, default=8)
    parser.add_argument("--slow-facts", type=int, default=2, help="for map_reduce and refine")
    parser.add_argument("--document-tokens", type=int, default=10_000)
    parser.add_argument("--library-tokens", type=int, default=1500, help="of each document")
    parser.add_argument("--subsets", type=int, default=12)
    parser.add_argument("--libraries", type=int, default=3, help="for edges")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--llama-index", action="store_true")
    parser.add_argument("--save-as", default="rag", help="name of the results file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        embedder = SentenceTransformersEmbedder(cache_dir=Path(folder))
        embedder.embed(["loads the model"])
        figures: dict[str, Any] = {"options": vars(options)}
        for part in options.parts:
            figures[part] = PARTS[part](options, embedder)
            path = save(options.save_as, figures)
            if part == "strategies" and options.llama_index:
                figures["llama_index"] = llama_index_facts(options, embedder)
                path = save(options.save_as, figures)
    print("raw figures:", path)


if __name__ == "__main__":
    main()
