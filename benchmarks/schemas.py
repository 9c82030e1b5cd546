"""JSON schemas: which make a grammar, and whether what a model writes by it is valid.

Ours beside llama-cpp-python's converter (``LlamaGrammar.from_json_schema``), both with the small
model of the tests, which writes whatever the grammar lets it write; then the time of a token with
a schema and without, with the demo model. A side runs in a process of its own, which is started
again where a schema ends it.

    PYTHONPATH=. python benchmarks/schemas.py [--samples 3] [--tokens 150] [--runs 12]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "passive"  # for both sides

import jsonschema_rs
from machine import save

from tests.grammar.common_schemas import COMMON
from tests.grammar.schemas import SCHEMAS
from tests.models import TINY
from tests.support.schema_suites import Case, json_schema_test_suite, llama_cpp_schemas

PROMPT = "The answer: "
DRAFT = "https://json-schema.org/draft/2020-12/schema"
OUTCOMES = ("valid", "violates", "no end", "refused", "ends the process")
SUITES: dict[str, Callable[[], list[Case]]] = {
    "JSON-Schema-Test-Suite, draft 2020-12": json_schema_test_suite,
    "llama.cpp's own cases": llama_cpp_schemas,
    "schemas that people have": lambda: [Case(name, s) for name, s in (SCHEMAS | COMMON).items()],
}
LIST = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "minItems": 100,
}

Draw = Callable[[Any, int, int], "str | None"]
"""A schema, a seed and a number of tokens to a whole answer, or None where it has no end."""


class Refused(Exception):
    """The schema makes no grammar."""


def ours() -> Draw:
    from longctx import LongContextLLM, RequestError

    llm = LongContextLLM(TINY, 1024, reserve_output=16, n_threads=1)

    def draw(schema: Any, seed: int, n: int) -> str | None:
        try:
            done = llm.generate(
                PROMPT, max_tokens=n, temperature=1.0, seed=seed, response_schema=schema
            )
        except RequestError as error:
            raise Refused(str(error)) from error
        return done.text if done.finish_reason == "stop" else None

    return draw


def theirs() -> Draw:
    from llama_cpp import Llama, LlamaGrammar

    llm = Llama(str(TINY), n_ctx=1024, n_threads=1, verbose=False)

    def draw(schema: Any, seed: int, n: int) -> str | None:
        try:
            grammar = LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
            done = llm.create_completion(
                PROMPT, max_tokens=n, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0,
                repeat_penalty=1.0, seed=seed, grammar=grammar,
            )  # fmt: skip
        except Exception as error:  # the converter raises whatever its internals raise
            raise Refused(str(error)) from error
        choice = done["choices"][0]
        return choice["text"] if choice["finish_reason"] == "stop" else None

    return draw


def outcome(draw: Draw, schema: Any, samples: int, n_tokens: int) -> dict[str, Any]:
    texts = []
    for seed in range(samples):
        try:
            texts.append(draw(schema, seed, n_tokens))
        except Refused as error:
            return {"outcome": "refused", "why": str(error)[:300]}
    finished = [text for text in texts if text is not None]
    bad = [text for text in finished if not is_valid(schema, text)]
    found = "violates" if bad else "valid" if finished else "no end"
    return {
        "outcome": found,
        "finished": len(finished),
        "no_json": sum(not is_json(text) for text in finished),
        **({"sample": bad[0][:200]} if bad else {}),
    }


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def finite(digits: str) -> float:
    """JSON has numbers that a double has not, which the judge takes for null."""
    return min(max(float(digits), -1e308), 1e308)


def is_valid(schema: Any, text: str) -> bool:
    if not is_json(text):
        return False
    if isinstance(schema, dict) and "json-schema.org" not in str(schema.get("$schema", "")):
        schema = {**schema, "$schema": DRAFT}
    try:
        return bool(
            jsonschema_rs.validator_for(schema).is_valid(json.loads(text, parse_float=finite))
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        return True  # the schema is none, so nothing can be said against an answer


def work(side: str, suite: str, first: int, samples: int, n_tokens: int, out: Path) -> None:
    draw = ours() if side == "ours" else theirs()
    with out.open("a") as file:
        for case in SUITES[suite]()[first:]:
            found = outcome(draw, case.schema, samples, n_tokens)
            file.write(json.dumps({"name": case.name, **found}) + "\n")
            file.flush()


def run(side: str, suite: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    cases = SUITES[suite]()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.touch()
        while (done := len(out.read_text().splitlines())) < len(cases):
            arguments = [sys.executable, __file__, "--side", side, "--suite", suite]
            arguments += ["--first", str(done), "--out", str(out)]
            arguments += ["--samples", str(options.samples), "--tokens", str(options.tokens)]
            ended = subprocess.run(arguments, stderr=subprocess.DEVNULL, check=False)
            lines = len(out.read_text().splitlines())
            if ended.returncode and lines < len(cases):
                name, code = cases[lines].name, ended.returncode
                with out.open("a") as file:
                    said = {"name": name, "outcome": "ends the process", "returncode": code}
                    file.write(json.dumps(said) + "\n")
        return [json.loads(line) for line in out.read_text().splitlines()]


def let_through(suite: str) -> dict[str, int]:
    """Of the suite's own instances, how many our grammars let through."""
    from longctx import RequestError
    from longctx._native import Model
    from longctx.grammar import json_grammar
    from tests.grammar.acceptor import accepts

    model, counts = Model(TINY, vocab_only=True), Counter[str]()
    for case in SUITES[suite]():
        try:
            grammar = json_grammar(case.schema) if isinstance(case.schema, dict) else None
        except RequestError:
            continue
        for value, valid in case.instances if grammar else ():
            text = json.dumps(value, ensure_ascii=False)
            counts["valid" if valid else "invalid"] += 1
            if accepts(model, grammar, text):
                counts["valid let through" if valid else "invalid let through"] += 1
                if not valid and not grammar.warnings:
                    counts["invalid let through without a warning"] += 1
    return dict(counts)


def speed(runs: int) -> dict[str, list[float]]:
    """Processor seconds a token, one thread, alternately: without a schema, with one.

    The clock would measure who else uses the machine.
    """
    from longctx import LongContextLLM

    times: dict[str, list[float]] = {"free": [], "held": []}
    question = [{"role": "user", "content": "Write a long list of people."}]
    with LongContextLLM(target_ctx=1024, reserve_output=256, n_threads=1) as llm:
        for number in range(runs + 1):
            for kind, schema in (("free", None), ("held", LIST)):
                started = time.process_time()
                done = llm.chat(
                    question, max_tokens=96, temperature=1.0, seed=number, response_schema=schema
                )
                n = done.usage.completion_tokens
                if number and n > 64:  # the first reads the vocabulary and the prompt
                    times[kind].append((time.process_time() - started) / n)
    return times


def rows(results: dict[str, dict[str, list[dict[str, Any]]]]) -> Iterator[str]:
    yield "| schemas | by | " + " | ".join(OUTCOMES) + " | no JSON |"
    yield "| --- | --- | " + " | ".join("---" for _ in OUTCOMES) + " | --- |"
    for suite, sides in results.items():
        for side, found in sides.items():
            counts = Counter(one["outcome"] for one in found)
            no_json = sum(one.get("no_json", 0) for one in found)
            cells = " | ".join(str(counts[name]) for name in OUTCOMES)
            yield f"| {suite}: {len(found)} | {side} | {cells} | {no_json} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=150)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--side", choices=("ours", "llama-cpp-python"))
    parser.add_argument("--suite", choices=tuple(SUITES))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.side:
        work(
            options.side, options.suite, options.first, options.samples, options.tokens,
            options.out,
        )  # fmt: skip
        return
    results = {
        suite: {side: run(side, suite, options) for side in ("ours", "llama-cpp-python")}
        for suite in SUITES
    }
    print("\n".join(rows(results)))
    instances = let_through(next(iter(SUITES)))
    print("instances:", instances)
    times = speed(options.runs)
    free, held = (median(times[kind]) for kind in ("free", "held"))
    print(f"a token: {free * 1e3:.2f} ms free, {held * 1e3:.2f} ms held, ratio {held / free:.3f}")
    figures = {
        "options": {"samples": options.samples, "tokens": options.tokens, "runs": options.runs},
        "results": results,
        "instances": instances,
        "seconds_per_token": times,
    }
    print("raw figures:", save("schemas", figures))


if __name__ == "__main__":
    main()
