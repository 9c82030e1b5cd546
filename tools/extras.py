"""Writes into docs/install.md what each extra brings, and what it weighs when it is installed.

    python -m tools.extras

Sizes are those of the files that the installed distributions list, without what the core has
already. What is not installed here is named.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution
from pathlib import Path

from tools.requirements import EXTRAS, closure

PAGE = Path(__file__).parents[1] / "docs" / "install.md"
PURPOSES = {
    "": "models, windows, chats, agents, the command line",
    "demo": "a small chat model, so that everything runs as it is printed",
    "rag": "documents: formats, embeddings, search",
    "eval": "plots",
    "finetune": "`longctx finetune`",
    "hub": "models of Hugging Face",
    "mcp": "tools and documents of MCP servers, and `longctx mcp`",
    "otel": "traces of agents, by OpenTelemetry",
    "remote": "a model on a server",
    "server": "`longctx serve`",
    "ray": "replicas of the server, with Ray Serve",
}
_BLOCK = re.compile(r"(<!-- python -m tools\.extras -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def size(package: Distribution) -> int:
    """Bytes of a distribution's files that are there."""
    paths = {Path(str(file.locate())) for file in package.files or ()}
    return sum(path.stat().st_size for path in paths if path.is_file())


def table() -> str:
    """A row for the core and for each extra."""
    core, _ = closure()
    sizes = {name: size(package) for name, package in core.items()}
    rows = [
        "| extra | for | packages | megabytes | the largest |",
        "| --- | --- | --- | --- | --- |",
    ]
    for extra in ("", *EXTRAS):
        found, missing = closure(extra or None)
        new = {name: found[name] for name in found if not extra or name not in core}
        sizes |= {name: size(package) for name, package in new.items()}
        largest = sorted(new, key=lambda name: -sizes[name])[:3]
        total = sum(sizes[name] for name in new) / 1e6
        named = ", ".join(f"{name} {sizes[name] / 1e6:.0f}" for name in largest)
        absent = f"; not installed here: {', '.join(sorted(missing))}" if missing else ""
        label = f"`{extra}`" if extra else "none"
        rows.append(f"| {label} | {PURPOSES[extra]} | {len(new)} | {total:.0f} | {named}{absent} |")
    return "\n".join(rows)


def main() -> None:
    """Write the table between its marks."""
    text = PAGE.read_text("utf-8")
    PAGE.write_text(_BLOCK.sub(lambda found: found[1] + table() + "\n" + found[3], text), "utf-8")


if __name__ == "__main__":
    main()
