"""What README, documentation and release files say of the project itself is so."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest

from longctx.packaged_model import tiny_model
from tests.support.thorough import thorough
from tools import architecture

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_diagram_is_the_import_contract() -> None:
    """Drawn again it is what the README has: `python -m tools.architecture`."""
    assert architecture.diagram() in README
    drawn = re.findall(r"\w+", "".join(re.findall(r"│(.*)", architecture.diagram())))
    folders = {path.stem for path in (ROOT / "longctx").iterdir() if path.suffix in ("", ".py")}
    folders -= {"__init__", "__pycache__", "__main__", "packaged"}
    assert sorted(drawn) == sorted(folders)


def test_figures_of_the_comparison_are_those_that_were_measured() -> None:
    """The README's rows that name `benchmarks/elsewhere.py` are its raw figures."""
    raw = json.loads((ROOT / "benchmarks" / "results" / "elsewhere.json").read_text())["figures"]
    ours, theirs, refused, overridden, exported = raw.values()
    row = next(line for line in README.splitlines() if "pass keys found" in line)
    cells = [cell.strip().replace("*", "") for cell in row.split("|")]
    assert cells[2:4] == [each["pass keys found"] for each in (ours, theirs)]
    assert "exceeds the available context" in refused["last answer"]
    assert overridden["pass keys found"] in cells[4]
    assert exported["pass keys found"] in cells[4]
    assert ours["tokens of <|im_end|> in a message"] > 1
    assert {each["tokens of <|im_end|> in a message"] for each in list(raw.values())[1:]} == {1}
    again = "prefilled, two conversations in turn"
    assert ours[again][2:] == exported[again][2:] == [1, 1]
    assert theirs[again][2:] == theirs[again][:2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """To a file that is there and, behind `#`, to one of its headings."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{target}: there is no such file"
        if anchor:
            assert anchor in _anchors(found), f"{target}: there is no such heading"


def _anchors(page: Path) -> set[str]:
    """As GitHub and mkdocs make them of headings."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles)
    return {re.sub(r"\s+", "-", each) for each in words}


def test_the_two_commands_come_first() -> None:
    """Sentence, picture, `make demo` and `make test`, code, comparison: in this order."""
    order = ["# longctx", "docs/window.svg", "make demo ", "make test ", "```python", "## Compared"]
    places = [README.index(each) for each in order]
    assert all(a < b for a, b in pairwise(places))


TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
LONGCTX = "import sys; from longctx.cli import main; main(sys.argv[1:])"


def _bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run what the tutorial prints, with this Python and this checkout."""
    ours = (
        f"python() {{ '{sys.executable}' \"$@\"; }}\n"
        f"longctx() {{ python -c '{LONGCTX}' \"$@\"; }}\n"
    )
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ours + script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@thorough
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """Its shell blocks, as printed and in order, in a folder of their own."""
    blocks = re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    named = {f"longctx {name}" for name in ("plan", "eval", "export")}
    assert all(any(name in block for block in blocks) for name in named)
    done = _bash("\n".join(blocks), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The pass key is 48213." in done.stdout
    assert "llama-server" in done.stdout
    assert (tmp_path / "served").is_dir()


@thorough
def test_the_tutorials_server_answers_as_it_says(tmp_path: Path) -> None:
    """Its first step, its server and its client, but for the port."""
    assert not _bash(re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)[0], tmp_path).returncode
    (line,) = re.findall(r"^longctx (serve .*)$", TUTORIAL, re.MULTILINE)
    (client,) = re.findall(r"```py\n(.*?)```", TUTORIAL, re.DOTALL)
    words = [*shlex.split(line.replace("$MODEL", str(tiny_model()))), "--port", "0"]
    serve = [sys.executable, "-c", LONGCTX, *words]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        serve, cwd=tmp_path, env=here, stderr=PIPE, stdout=DEVNULL, text=True
    ) as server:
        try:
            assert server.stderr
            said = (re.search(r"running on http://127\.0\.0\.1(:\d+)", s) for s in server.stderr)
            port = next(found[1] for found in said if found)
            ask = [sys.executable, "-c", client.replace(":8000/", f"{port}/")]
            done = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, check=True)
        finally:
            server.kill()
    fresh, again = done.stdout.splitlines()
    assert fresh == "first The pass key is 48213. (0 tokens were cached)"
    assert re.fullmatch(r"second The pass key is 48213. \(16\d\d tokens were cached\)", again)
