"""Tables of PDFs: what longctx makes of those of the ICDAR 2013 competition, beside pdfplumber.

FOLDER holds its PDFs, each with its `-str.xml`; the repository of tabula-java has them among its
test resources. As the competition has it, a table is the set of its neighbours: pairs of cells that
stand beside or below each other. Precision is the share of the found ones that are right, recall
the share of the right ones that are found. `--prose FILES` are PDFs of text, in which a table is a
false one if you see none there.

    python benchmarks/pdf_tables.py FOLDER [--readers longctx pdfplumber pdfplumber_text]
        [--prose FILE...]

What an earlier run found of other readers and files stays in the results.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from machine import RESULTS, describe, save

from longctx.documents import load_document

Rows = list[list[str]]


def normal(text: str | None) -> str:
    return re.sub(r"\W+", "", text or "").lower()


def neighbours(grid: dict[tuple[int, int], str]) -> Counter[tuple[str, str, str]]:
    """Pairs of cells beside and below each other; empty ones and repeats are passed over."""
    found: set[tuple[str, str, str]] = set()
    for axis, kind in ((0, "beside"), (1, "below")):
        lines: dict[int, list[str]] = defaultdict(list)
        for place in sorted(grid, key=lambda p, axis=axis: (p[axis], p[1 - axis])):
            line, text = lines[place[axis]], grid[place]
            if text and line[-1:] != [text]:
                line.append(text)
        found |= {(a, b, kind) for line in lines.values() for a, b in pairwise(line)}
    return Counter(found)


def right(path: Path) -> dict[int, Counter[tuple[str, str, str]]]:
    """The neighbours by page, as people marked them."""
    pages: dict[int, Counter[tuple[str, str, str]]] = defaultdict(Counter)
    for region in ET.parse(path).getroot().iter("region"):
        grid = {}
        for cell in region.iter("cell"):
            top, left = int(cell.get("start-row", 0)), int(cell.get("start-col", 0))
            for row in range(top, int(cell.get("end-row", top)) + 1):
                for column in range(left, int(cell.get("end-col", left)) + 1):
                    grid[row, column] = normal(cell.findtext("content"))
        pages[int(region.get("page", 0))] += neighbours(grid)
    return pages


def longctx(path: Path) -> Iterable[tuple[int, Rows]]:
    document = load_document(path)
    for table in document.tables:
        lines = document.text[table.start : table.end].split("\n")
        yield document.page_at(table.start) or 0, [line.split(" | ") for line in lines]


def pdfplumber(path: Path, **settings: str) -> Iterable[tuple[int, Rows]]:
    import pdfplumber as library

    with library.open(path) as document:
        for number, page in enumerate(document.pages, start=1):
            for table in page.extract_tables(settings):
                yield number, [[cell or "" for cell in row] for row in table]


def pdfplumber_text(path: Path) -> Iterable[tuple[int, Rows]]:
    return pdfplumber(path, vertical_strategy="text", horizontal_strategy="text")


READERS: dict[str, Callable[[Path], Iterable[tuple[int, Rows]]]] = {
    "longctx": longctx,
    "pdfplumber": pdfplumber,
    "pdfplumber_text": pdfplumber_text,
}


def judged(read: Callable[[Path], Iterable[tuple[int, Rows]]], files: list[Path]) -> dict[str, Any]:
    n_right = n_found = n_there = n_tables = n_good = n_bad = 0
    started = time.perf_counter()
    for file in files:
        there = right(file.with_name(f"{file.stem}-str.xml"))
        found: dict[int, Counter[tuple[str, str, str]]] = defaultdict(Counter)
        for page, rows in read(file):
            grid = {(r, c): normal(t) for r, row in enumerate(rows) for c, t in enumerate(row)}
            pairs = neighbours(grid)
            found[page] += pairs
            share = (pairs & there[page]).total() / max(1, pairs.total())
            n_tables, n_good, n_bad = n_tables + 1, n_good + (share >= 0.8), n_bad + (share < 0.5)
        for page in {*found, *there}:
            n_right += (found[page] & there[page]).total()
            n_found += found[page].total()
            n_there += there[page].total()
    precision, recall = n_right / max(1, n_found), n_right / max(1, n_there)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
        "tables": n_tables,
        "right_by_80_percent": n_good,
        "wrong_by_half": n_bad,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readers", nargs="*", default=["longctx"], choices=READERS)
    parser.add_argument("--prose", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.pdf"))
    known = RESULTS / "pdf_tables.json"
    kept = json.loads(known.read_text("utf-8"))["figures"] if known.exists() else {}
    figures: dict[str, Any] = {**kept, "files": len(files)}
    for name in options.readers:
        row = judged(READERS[name], files)
        figures[name] = {**row, "machine": describe()}
        print(name, {k: round(v, 3) for k, v in row.items()}, flush=True)
    for file in options.prose:
        document = load_document(file)
        print(file.name, len(document.pages), "pages,", len(document.tables), "tables")
        for table in document.tables:
            print("   ", repr(document.text[table.start : table.header_end][:100]))
        figures[file.name] = {"pages": len(document.pages), "tables": len(document.tables)}
    print("raw figures:", save("pdf_tables", figures))


if __name__ == "__main__":
    main()
