"""The shape of the package: which way imports point, and what is public."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import longctx
from tests.models import TINY

ROOT = Path(__file__).parents[1]


def test_imports_point_down() -> None:
    """The contracts in pyproject.toml hold."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_is_there_and_no_more() -> None:
    """`__all__` is what is promised, sorted, about 30 names, each of which loads."""
    assert longctx.__all__ == sorted(longctx.__all__)
    assert len(longctx.__all__) <= 31
    for name in longctx.__all__:
        assert getattr(longctx, name) is not None
    assert set(longctx.__all__) <= set(dir(longctx))


def test_plan_errors_come_from_planning() -> None:
    """A window here, or the window of a server; every other argument is a RequestError."""
    raising = {
        file.relative_to(ROOT / "longctx").parts[0]
        for file in (ROOT / "longctx").rglob("*.py")
        if "raise PlanError" in file.read_text("utf-8")
    }
    assert raising == {"planner", "remote", "rope"} & raising


def test_importing_longctx_loads_no_llama_cpp() -> None:
    """`longctx --help` and a bare import stay quick."""
    code = "import sys, longctx; sys.exit('llama_cpp' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_answer_loads_only_what_it_needs() -> None:
    """What is for event loops, grammars, documents or servers is memory that others have."""
    others = ("asyncio", "llguidance", "ssl", "httpx", "tiktoken", "fastapi", "longctx.documents")
    code = f"""
import sys
from longctx import LongContextLLM
with LongContextLLM({str(TINY)!r}, 512, n_threads=1) as llm:
    llm.generate("Hello", max_tokens=2)
    print([name for name in {others} if name in sys.modules])
    llm.generate("Hello", max_tokens=40, response_schema={{"type": "boolean"}})
    print("llguidance" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


def test_openmp_spins_for_a_moment_and_then_sleeps() -> None:
    """That is set when libllama loads, for OpenMP reads it then; a user's choice stands."""
    code = """
import os, sys
class Loading:
    def find_spec(self, name, *_):
        if name == "llama_cpp":
            print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Loading())
import longctx._native
"""
    chosen_by_nobody = {
        name: value
        for name, value in os.environ.items()
        if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    for chosen, expected in (
        ({}, "passive 1000"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "PASSIVE 1000"),
        ({"OMP_WAIT_POLICY": "active"}, "active None"),
        ({"GOMP_SPINCOUNT": "0"}, "passive 0"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**chosen_by_nobody, **chosen}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == expected


def test_the_commands_load_little_before_they_run() -> None:
    """Help, completion and usage errors are quick, and work where llama.cpp does not."""
    heavy = ("asyncio", "jinja2", "llama_cpp", "markdown_it", "numpy", "pygments", "tiktoken")
    code = f"import sys, longctx.cli.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
