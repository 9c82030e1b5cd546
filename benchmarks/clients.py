"""Clients that people have, each in an environment of its own, beside llama-server: which of an
answer, a stream, a loop with a tool and a typed answer each of them gets.

    python benchmarks/clients.py [--only openai_chat …] [--environments FOLDER]

Each script in `client_scripts` is a client: its first lines name its packages, which are installed
for it alone from the registries of Python and npm (some 3 GB in all; `--environments` keeps them).
Both servers have the demo model (F16), a window of 4,096 and two threads. "ok" is what was asked
for; "model" that the protocol held and the model said what cannot be used; "failed" is an error of
client or server. llama-server is found as by `benchmarks/server.py`.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import save
from server import OURS, llama_server, running

from longctx import demo_model
from longctx._native import quantize

SCRIPTS = Path(__file__).parent / "client_scripts"
TASKS = ("basic", "stream", "tools", "structured")
LIMIT_S = 240


def scripts(only: Sequence[str]) -> list[Path]:
    """The clients, by name."""
    found = [*SCRIPTS.glob("*.py"), *SCRIPTS.glob("*.mjs")]
    clients = sorted(path for path in found if path.stem != "tasks")
    return [path for path in clients if not only or path.stem in only]


def packages(script: Path) -> list[str]:
    """What a client needs (PEP 723; in JavaScript, a comment)."""
    text = script.read_text("utf-8")
    if script.suffix == ".mjs":
        return text.splitlines()[0].removeprefix("// npm: ").split()
    line = re.search(r"^# dependencies = (\[.*\])$", text, re.MULTILINE)
    assert line is not None, f"{script.name} names no packages"
    return list(ast.literal_eval(line[1]))


def installed(script: Path, environments: Path) -> tuple[list[str], dict[str, str]]:
    """The command that runs a client, and the versions of its packages."""
    home, needs = environments / script.stem, packages(script)
    home.mkdir(parents=True, exist_ok=True)
    if script.suffix == ".mjs":
        for name in ("tasks.mjs", script.name):  # modules are looked for beside the script
            (home / name).write_text((SCRIPTS / name).read_text("utf-8"), "utf-8")
        if not (home / "node_modules").exists():
            subprocess.run(["npm", "install", "--silent", *needs], cwd=home, check=True)
        listed = subprocess.run(
            ["npm", "ls", "--json"], cwd=home, stdout=subprocess.PIPE, check=True
        )
        found = json.loads(listed.stdout)["dependencies"]
        return ["node", str(home / script.name)], {name: found[name]["version"] for name in needs}
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *needs], check=True)
    listed = subprocess.run([*pip, "list", "--format=json"], stdout=subprocess.PIPE, check=True)
    versions = {row["name"].lower(): row["version"] for row in json.loads(listed.stdout)}
    return [str(python), str(script)], {
        name: versions[name.split("[")[0].lower()] for name in needs
    }


def asked(command: list[str], port: int, log: Path) -> dict[str, dict[str, Any]]:
    """What became of each task."""
    env = os.environ | {"CLIENT_URL": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
    with log.open("w") as errors:
        try:
            done = subprocess.run(
                command,
                env=env,
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=LIMIT_S,
                check=False,
            )
            out = done.stdout
        except subprocess.TimeoutExpired as late:
            out = late.stdout or b""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith(b'{"task"')]
    told = {line.pop("task"): line for line in lines}
    missing = {"outcome": "failed", "why": f"no word within {LIMIT_S} s", "s": LIMIT_S}
    return {task: told.get(task, missing) for task in TASKS}


def table(figures: dict[str, Any]) -> str:
    """A row for each client: ours, and llama-server's where it is another."""
    lines = [f"| client | {' | '.join(TASKS)} |", f"| --- |{' --- |' * len(TASKS)}"]
    for row in figures.values():
        cells = []
        for task in TASKS:
            ours = row["servers"]["longctx"][task]["outcome"]
            theirs = row["servers"].get("llama-server", {}).get(task, {}).get("outcome", ours)
            cells.append(ours if ours == theirs else f"{ours} (llama-server: {theirs})")
        names = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        lines.append(f"| {row['client']} ({names}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def title(script: Path) -> str:
    """What a client is called: the docstring's, or the second comment's."""
    text = script.read_text("utf-8")
    if script.suffix == ".mjs":
        return text.splitlines()[1].removeprefix("// ").rstrip(".")
    return str(ast.get_docstring(ast.parse(text))).rstrip(".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=[], help="of the clients, by their files' names"
    )
    parser.add_argument("--environments", type=Path, help="where they are installed, and stay")
    parser.add_argument("--llama-server", help="path of the binary")
    options = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = "passive"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = folder / "demo.f16.gguf"
        quantize(demo_model(), model, "f16")
        common = ["--threads", "2"]
        servers = {
            "longctx": [sys.executable, "-c", OURS, "serve", str(model), "--target-ctx", "4096",
                        "--model-id", "m", *common],
        }  # fmt: skip
        if binary := llama_server(options.llama_server):
            servers["llama-server"] = [
                binary, "--model", str(model), "--alias", "m", "--ctx-size", "4096", "--parallel",
                "1", "--device", "none", "--no-ui", "--jinja", *common,
            ]  # fmt: skip
        figures: dict[str, Any] = {}
        for script in scripts(options.only):
            command, versions = installed(script, options.environments or folder)
            row = figures[script.stem] = {
                "client": title(script),
                "versions": versions,
                "servers": {},
            }
            for name, served in servers.items():
                with tempfile.TemporaryFile() as log, running(served, log) as (port, _):
                    row["servers"][name] = asked(
                        command, port, folder / f"{script.stem}.{name}.log"
                    )
                told = ", ".join(
                    f"{task} {o['outcome']}" for task, o in row["servers"][name].items()
                )
                print(f"{script.stem}, {name}: {told}", flush=True)
                for outcome in row["servers"][name].values():
                    if outcome["why"]:
                        print("   ", outcome["why"][:200], flush=True)
    print(table(figures))
    print("raw figures:", save("clients", figures))


if __name__ == "__main__":
    main()
