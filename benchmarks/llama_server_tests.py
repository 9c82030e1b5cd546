"""llama.cpp's own server tests against `longctx serve`, adapted by a table of names alone.

The tests are in the sdist of llama-cpp-python; `llama_server/conftest.py` says what stands for
what. What was measured of other files stays in the results.

    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36
    python benchmarks/llama_server_tests.py --sdist llama_cpp_python-0.3.36.tar.gz \\
        [--files test_basic.py test_metrics.py]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

from machine import RESULTS, save

ROOT = Path(__file__).parents[1]
NAME = "llama_server_tests"
WANTED = ("/vendor/llama.cpp/tools/server/tests/", "/vendor/llama.cpp/models/templates/")


def unpacked(sdist: Path, folder: Path) -> Path:
    """The tests, beside the chat templates that they name; their folder."""
    with tarfile.open(sdist) as archive:
        members = [m for m in archive.getmembers() if any(part in m.name for part in WANTED)]
        archive.extractall(folder, members=members, filter="data")
    (tests,) = folder.glob("*/vendor/llama.cpp/tools/server/tests")
    shutil.copy(Path(__file__).parent / "llama_server" / "conftest.py", tests)
    return tests


def outcomes(tests: Path, file: str, seconds: int) -> dict[str, list[str]]:
    """Of each test of a file its outcome and why."""
    log = tests / "outcomes.jsonl"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    env = {**os.environ, "LONGCTX_ROOT": str(ROOT), "LONGCTX_LOG": str(log), "PORT": "8471"}
    try:
        subprocess.run(
            [*command, f"unit/{file}"], cwd=tests, env=env, timeout=seconds, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        print(f"{file} was ended after {seconds} s", flush=True)
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return {test: said for test, *said in rows}


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdist", type=Path, required=True)
    parser.add_argument("--files", nargs="*", default=[])
    parser.add_argument("--seconds", type=int, default=600, help="of a file, at most")
    options = parser.parse_args()
    before = RESULTS / f"{NAME}.json"
    held = json.loads(before.read_text())["figures"] if before.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        tests = unpacked(options.sdist, Path(folder))
        for file in options.files or sorted(p.name for p in (tests / "unit").glob("test_*.py")):
            found = outcomes(tests, file, options.seconds)
            print(f"{file}: {dict(Counter(outcome for outcome, _ in found.values()))}", flush=True)
            ran = f"unit/{file}::"
            held = {test: said for test, said in held.items() if not test.startswith(ran)} | found
            save(NAME, dict(sorted(held.items())))
    print(Counter(outcome for outcome, _ in held.values()))


if __name__ == "__main__":
    main()
