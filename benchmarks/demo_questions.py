"""Thirty questions about the demo's document, answered by the demo model under each method.

The document is the first 12,288 tokens of the Python language reference, half as much again as the
model was trained on, in a window of 16,384. Each question follows the whole document, as in
`longctx demo`; answers are greedy. An answer is right where it has the expected words. The last row
has no document: what the model knows, or guesses, by itself.

    python benchmarks/demo_questions.py [--methods none ntk yarn self-extend auto] [--adapter LORA]
"""

from __future__ import annotations

import argparse
import re
import time
from typing import Any

from machine import save

from longctx import LongContextLLM, demo_model
from longctx.evaluate import python_reference
from longctx.packaged_model import fast_copy

N_DOCUMENT = 12_288
QUESTIONS = (
    ("What is the name of the built-in variable that is True under normal circumstances and False "
     "when optimization is requested?", "__debug__"),
    ("Which command line option requests optimization?", r"-O\b"),
    ("Which exception does a failing assert statement raise?", "AssertionError"),
    ("Which PEP specifies Extended Iterable Unpacking?", "3132"),
    ("Which exception is raised if an assignment to a subscripted list is out of range?",
     "IndexError"),
    ("Which method is called when a subscription of a user-defined object is assigned to?",
     "__setitem__"),
    ("Which PEP added syntax for variable annotations?", r"\b526"),
    ("Which PEP added the typing module?", r"\b484"),
    ("In which special attribute are annotations of a module stored?", "__annotations__"),
    ("Which PEP made coroutines a proper standalone concept in Python?", r"\b492"),
    ("In which version of Python did await and async become keywords?", r"3\.7"),
    ("Which exception is it to use a yield from expression inside the body of a coroutine "
     "function?", "SyntaxError"),
    ("Which method of an asynchronous iterator can call asynchronous code?", "__anext__"),
    ("Which exception is raised if a name is not bound?", "NameError"),
    ("To what is the identifier __spam in a class named Ham transformed?", "_Ham__spam"),
    ("Which method is called when the default attribute access fails with an AttributeError?",
     "__getattr__"),
    ("Which method is called unconditionally to implement attribute accesses?",
     "__getattribute__"),
    ("Which PEP describes the __getattr__ function on modules?", r"\b562"),
    ("Which PEP specifies that __get__ is callable with one or two arguments?", r"\b252"),
    ("What is a descriptor called that defines __set__ or __delete__?", "data descriptor"),
    ("What allows us to explicitly declare data members and deny the creation of __dict__?",
     "__slots__"),
    ("Which operator is intended to be used for matrix multiplication?", "@"),
    ("Which exception does division by zero raise?", "ZeroDivisionError"),
    ("Which built-in function are floor division and modulo connected with?", "divmod"),
    ("Which special method customizes the modulo operation?", "__mod__"),
    ("Which built-in function returns code objects?", r"compile\b"),
    ("Which object is commonly used by slicing and written as three dots?", "Ellipsis"),
    ("What is the name of the null object?", "None"),
    ("Which method should a user-defined object provide to customize its truth value?",
     "__bool__"),
    ("Which PEP originally proposed that function calls accept any number of unpackings?",
     r"\b448"),
)  # fmt: skip
"""In the order of the text, each with a pattern of what a right answer has."""


def ask(llm: LongContextLLM, document: str, n_tokens: int) -> list[dict[str, Any]]:
    """All of them, one after another: the document is prefilled once."""
    rows = []
    for question, expected in QUESTIONS:
        text = f"{document}\n\n{question}" if document else question
        answer = llm.chat([{"role": "user", "content": text}], max_tokens=n_tokens)
        is_right = re.search(expected, answer.text) is not None
        rows.append({"question": question, "answer": answer.text, "is_right": is_right})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--methods", nargs="+", default=["none", "ntk", "yarn", "self-extend", "auto"]
    )
    parser.add_argument("--model", help="another than the demo's")
    parser.add_argument("--adapter", help="a LoRA adapter, under `auto`")
    parser.add_argument("--target-ctx", type=int, default=16_384)
    parser.add_argument("--tokens", type=int, default=48, help="of an answer, at most")
    parser.add_argument("--file", help="the document, in place of this Python's reference")
    parser.add_argument("--save-as", default="demo_questions")
    options = parser.parse_args()
    path = options.model or fast_copy(demo_model())
    reference = python_reference()
    if options.file:
        with open(options.file, encoding="utf-8") as file:
            reference = file.read()
    with LongContextLLM(path, 256, reserve_output=0) as llm:
        document = llm.detokenize(llm.tokenize(reference)[:N_DOCUMENT]).strip("\ufffd")
    plans: dict[str, tuple[str, dict[str, Any]]] = {
        method: (document, {"method": method}) for method in options.methods
    }
    if options.adapter:
        plans["fine-tuned"] = document, {"adapters": [options.adapter]}
    plans["without the document"] = "", {}
    print("| way | right answers | s |\n| --- | --- | --- |")
    figures = {}
    for name, (text, settings) in plans.items():
        started = time.perf_counter()
        ctx = options.target_ctx if text else 1024
        with LongContextLLM(path, ctx, reserve_output=options.tokens, **settings) as llm:
            rows = ask(llm, text, options.tokens)
            plan = f"{llm.plan.method}{llm.plan.parameters}"
        figures[name] = {"plan": plan, "answers": rows, "s": time.perf_counter() - started}
        n_right = sum(row["is_right"] for row in rows)
        print(
            f"| {name} ({plan}) | {n_right} of {len(rows)} | {figures[name]['s']:.0f} |", flush=True
        )
    print("raw figures:", save(options.save_as, figures))


if __name__ == "__main__":
    main()
