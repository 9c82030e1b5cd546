"""LangChain's conformance suites on ``ChatLongCtx`` and on LangChain's own llama.cpp integration.

The same model, window, threads and room for an answer; nothing is marked as expected to fail.

    pip install ".[test,conformance]" && python conformance.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

SUITE = """
from typing import Any
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from longctx import demo_model
from longctx.packaged_model import fast_copy
from {module} import {name}

PARAMS: dict[str, Any] = {params}

class Mixin:
    chat_model_class = property(lambda self: {name})
    chat_model_params = property(lambda self: PARAMS)

class TestUnit(Mixin, ChatModelUnitTests):
    pass

class TestIntegration(Mixin, ChatModelIntegrationTests):
    pass
"""
MODELS = {
    "ChatLongCtx": ("langchain_longctx", "dict(target_ctx=8192, reserve_output=64)"),
    "ChatLlamaCpp (langchain-community)": (
        "langchain_community.chat_models",
        "dict(model_path=str(fast_copy(demo_model())), n_ctx=8192, max_tokens=64, "
        "temperature=0, verbose=False)",
    ),
}
OUTCOMES = ("passed", "failed", "skipped")
# Its tests of batches decode from two threads at once, which ends the process (llama.cpp aborts).
LEFT_OUT = {"ChatLlamaCpp (langchain-community)": "not batch"}


def outcomes(title: str) -> Counter[str]:
    """Run both suites in a process of their own; count what came of each test."""
    module, params = MODELS[title]
    source = SUITE.format(module=module, name=title.split()[0], params=params)
    if "max_tokens" in params:  # one test passes it a second time
        source = source.replace(
            "class TestUnit(Mixin, ChatModelUnitTests):\n    pass",
            "class TestUnit(Mixin, ChatModelUnitTests):\n    chat_model_params = property(\n"
            "        lambda self: {k: v for k, v in PARAMS.items() if k != 'max_tokens'})",
        )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_suite.py").write_text(source)
        report = Path(folder) / "report.xml"
        options = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--snapshot-update"]
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                *options,
                "-k",
                LEFT_OUT.get(title, ""),
                f"--junitxml={report}",
                folder,
            ],
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        counts: Counter[str] = Counter()
        failures = []
        for case in ElementTree.parse(report).iter("testcase"):
            tags = {child.tag for child in case}
            failed = bool(tags & {"failure", "error"})
            counts["failed" if failed else "skipped" if "skipped" in tags else "passed"] += 1
            if failed:
                failures.append(case.get("name") or "")
        print(f"{title} fails: {', '.join(failures) or 'nothing'}", file=sys.stderr, flush=True)
        return counts


def main() -> None:
    """Print one table; arguments choose its rows by how they begin."""
    print(f"| model | {' | '.join(OUTCOMES)} |")
    print("| --- |" + " --- |" * len(OUTCOMES))
    for title in MODELS:
        if sys.argv[1:] and not title.startswith(tuple(sys.argv[1:])):
            continue
        counts = outcomes(title)
        print(f"| {title} | {' | '.join(str(counts[o]) for o in OUTCOMES)} |", flush=True)


if __name__ == "__main__":
    main()
