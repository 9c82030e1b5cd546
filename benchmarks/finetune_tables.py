"""The figures of ``finetune_gpu.py`` as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

Row = dict[str, Any]


def tables(rows: Sequence[Row]) -> str:
    """All that there are: what was tried, trained and measured; and what failed."""
    parts = [
        _sweep(_of(rows, "sweep")),
        _trained(_of(rows, "train")),
        _measured(_of(rows, "measure")),
    ]
    failed = [f"- {row['job']}, {row['name']}: {row['failed']}" for row in rows if "failed" in row]
    return "\n\n".join(filter(None, [*parts, "\n".join(failed)]))


def _of(rows: Sequence[Row], job: str) -> list[Row]:
    return [row for row in rows if row["job"] == job and "failed" not in row]


def _sweep(rows: Sequence[Row]) -> str:
    by_way: dict[str, list[Row]] = {}
    for row in rows:
        by_way.setdefault(row["way"], []).append(row)
    lines = []
    for way, seeds in by_way.items():
        exact = [row["4096"]["exact"] for row in seeds]
        nats = [row["4096"]["nats"] for row in seeds]
        spread = f" ± {stdev(nats):.2f}" if len(nats) > 1 else ""
        lines.append(
            [
                way, str(len(seeds)), f"{mean(exact):.0%} ({', '.join(f'{e:.0%}' for e in exact)})",
                f"{mean(nats):.2f}{spread}", f"{mean(r['512']['exact'] for r in seeds):.0%}",
                f"{mean(r['short_perplexity'] for r in seeds):.2f}",
                f"{mean(r['long_perplexity'] for r in seeds):.2f}",
                f"{mean(r['tokens'] for r in seeds):,.0f}",
            ]
        )  # fmt: skip
    lines.sort(key=lambda line: float(line[3].split()[0]))
    head = [
        "",
        "seeds",
        "exact at 4,096",
        "nats",
        "exact at 512",
        "perplexity at 480",
        "at 4,096",
        "tokens",
    ]
    return _table(head, lines)


def _trained(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        first, last = row["held_out"][0], row["held_out"][-1]
        lines.append(
            [
                row["name"], f"{row['tokens']:,}", f"{row['seconds']:.0f}",
                f"{row['tokens_per_s']:,.0f}", f"{row['tokens'] / row['text_tokens']:.1f}",
                f"{first['answers']:.2f} → {last['answers']:.2f}",
                f"{first['prose']:.3f} → {last['prose']:.3f}",
            ]
        )  # fmt: skip
    head = ["trained", "tokens", "s", "tokens/s", "times the text", "held out: answers", "prose"]
    return _table(head, lines)


def _measured(rows: Sequence[Row]) -> str:
    by_name: dict[str, dict[str, Row]] = {}
    lengths: set[int] = set()
    for row in rows:
        what = row["what"]
        if what == "recall":
            lengths.add(row["length"])
            what = f"recall {row['length']}"
        by_name.setdefault(row["name"], {})[what] = row
    ordered = sorted(lengths)
    marks = sorted(
        {
            int(m)
            for found in by_name.values()
            for m in found.get("long perplexity", {}).get("by_mark", {})
        }
    )
    lines = []
    for name, found in by_name.items():
        line = [name]
        for length in ordered:
            row = found.get(f"recall {length}", {})
            line.append(f"{row['exact']:.0%}, {row['nats']:.2f}" if row else "")
        short = found.get("short perplexity", {})
        line.append(f"{short['by_mark'][str(short['length'])]:.2f}" if short else "")
        by_mark = found.get("long perplexity", {}).get("by_mark", {})
        line += [f"{by_mark[str(mark)]:.2f}" if str(mark) in by_mark else "" for mark in marks]
        asked = found.get("questions")
        line.append(f"{asked['right']} of {asked['n']}" if asked else "")
        lines.append(line)
    head = [
        "exact recall, nats a token", *(f"at {length:,}" for length in ordered), "short perplexity",
        *(f"perplexity at {mark:,}" for mark in marks), "questions",
    ]  # fmt: skip
    return _table(head, lines)


def _table(head: list[str], lines: Sequence[list[str]]) -> str:
    if not lines:
        return ""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
