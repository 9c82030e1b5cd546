"""What is understood of each family's answers: a table of llama.cpp's chat templates.

For each template: whether its own rendering of one call and of two is read back, whether the
grammar lets both be written, how many of the outputs that llama.cpp's tests expect are read (words,
reasoning and calls), and
the marks of reasoning. Nothing is generated; it takes half a minute.

    python benchmarks/families.py
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from machine import save

sys.path.insert(0, str(Path(__file__).parents[1]))  # what is measured is what the tests check
from longctx._native import Model
from longctx.grammar import TokenTable
from longctx.tokens.special_tokens import SpecialTokens
from tests.chat.families import Family, may_write
from tests.support.llama_cpp_chat_cases import ChatCase, read_cases
from tests.support.llama_cpp_models import CHAT_CASES, models_folder

SIGNS = {True: "yes", False: "no", None: "—"}
HEAD = "| template | calls begin with | one read | two read | written | llama.cpp's | reasoning |"


def row(
    family: Family, model: Model, tokens: TokenTable, special: SpecialTokens, cases: list[ChatCase]
) -> dict[str, Any]:
    """What is measured of one."""
    style = family.style
    right = [family.reads_case(case)[0] for case in cases]
    written = [may_write(family, model, tokens, special, n) for n in (1, 2)]
    begins = style.calls.begins
    if not begins and not family.template.traits.supports_tools:
        begins = ("in words",)
    return {
        "template": family.path.stem,
        "begins": " ".join(f"`{mark}`" for mark in begins[:1]) or "the object itself",
        "one": family.reads(1),
        "two": family.reads(2),
        "written": None if written[0] is None else all(w is not False for w in written),
        "cases": [sum(right), len(right)],
        "reasoning": f"`{style.thinking[0].strip()}`" if style.thinking else "",
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [HEAD, "| --- " * 7 + "|"]
    for found in rows:
        right, n = found["cases"]
        signs = " | ".join(SIGNS[found[key]] for key in ("one", "two", "written"))
        begins, reasoning = (found[key].replace("|", "\\|") for key in ("begins", "reasoning"))
        seen = f"{right} of {n}" if n else "—"
        lines.append(f"| {found['template']} | {begins} | {signs} | {seen} | {reasoning} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and save."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    folder: Path = models_folder()
    model = Model(folder / "ggml-vocab-qwen2.gguf", vocab_only=True)
    tokens = TokenTable(model)
    cases: defaultdict[str, list[ChatCase]] = defaultdict(list)
    for case in read_cases(folder / CHAT_CASES)[0]:
        cases[case.template].append(case)
    paths = sorted(folder.glob("*.jinja"))
    special = SpecialTokens.of(model)
    rows = [row(Family(path), model, tokens, special, cases[path.name]) for path in paths]
    print(table(rows))
    for key in ("one", "two", "written"):
        found = [result[key] for result in rows]
        print(f"{key}: {found.count(True)} of {len(found) - found.count(None)}")
    print("cases:", *(sum(result["cases"][i] for result in rows) for i in (0, 1)))
    print("raw figures:", save("families", {"rows": rows}))


if __name__ == "__main__":
    main()
