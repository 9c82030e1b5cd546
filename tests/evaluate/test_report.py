"""Reports: one page, whole in itself, that says what was measured and how to do it again."""

from __future__ import annotations

import base64
import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from longctx import LongContextLLM, RequestError
from longctx.evaluate import (
    CompressResult,
    EvaluationRun,
    NeedleResult,
    PasskeyResult,
    PerplexityResult,
    RecallResult,
    RulerResult,
    StreamResult,
    compress,
    load_run,
    needle,
    passkey,
    perplexity,
    recall,
    ruler,
    stream,
    write_report,
)
from tests.models import TINY
from tests.support.browser import Opened

COMMAND = "longctx eval recall 'my <model>.gguf'"


@pytest.fixture(scope="module")
def runs() -> list[EvaluationRun]:
    """One of each kind, on the small trained model."""
    made: list[Any] = []
    with LongContextLLM(TINY, 1024, reserve_output=1, n_threads=1) as llm:
        made += [perplexity(llm, 512, marks=[256, 512], stride=64), recall(llm, 400, n_facts=3)]
        made += [passkey(llm, [256], depths=[0, 1], trials=1)]
        made += [needle(llm, [256], depths=[0.5], trials=1)]
        made += [ruler(llm, [1000], tasks=["niah_single"], samples=1)]
        made.append(compress(llm, 320, kind="dense", keeps=[0.5]))
    with LongContextLLM(TINY, 256, overflow="slide", reserve_output=1, n_threads=1) as llm:
        made.insert(-1, stream(llm, 512, stride=128))
    return [EvaluationRun.of([result], command=COMMAND) for result in made]


@pytest.fixture(scope="module")
def page(runs: list[EvaluationRun], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of all of them."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, runs)
    return path


def test_the_json_of_a_run_is_read_back(runs: list[EvaluationRun], tmp_path: Path) -> None:
    """Every kind comes back as its own class, equal to what was written."""
    kinds = [PerplexityResult, RecallResult, PasskeyResult, NeedleResult, RulerResult, StreamResult]
    kinds.append(CompressResult)
    for run, kind in zip(runs, kinds, strict=True):
        file = tmp_path / f"{run.measure}.json"
        file.write_text(run.model_dump_json())
        again = load_run(file)
        assert again == run
        assert type(again.results[0]) is kind


def test_the_page_has_every_figure_table_and_setting(page: Path, runs: list[EvaluationRun]) -> None:
    """The cells of each table, the command as text, the frequencies of the RoPE."""
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == len(runs)
    for run in runs:
        for row in run.table.rows:
            for cell in row:
                assert f"<td>{cell}</td>" in text
    assert "my &lt;model&gt;.gguf" in text
    assert "<model>" not in text
    assert runs[0].results[0].subject.model_sha256[:12] in text
    assert "group 8, block 128, start 384" in text
    assert runs[0].environment["llama-cpp-python"] in text


def test_the_results_can_be_saved_from_the_page(page: Path, runs: list[EvaluationRun]) -> None:
    """Each link holds the run's JSON."""
    links = re.findall(r"data:application/json;base64,([\w+/=]+)", page.read_text())
    saved = [json.loads(base64.b64decode(link)) for link in links]
    assert saved == [run.model_dump(mode="json") for run in runs]


def test_figures_do_not_share_names(runs: list[EvaluationRun], tmp_path: Path) -> None:
    """What one refers to is its own, also where two are of one kind."""
    path = tmp_path / "twice.html"
    write_report(path, [runs[0], runs[0]])
    names = re.findall(r'<(?:clipPath|path|image) id="(\w+)"', path.read_text())
    assert names
    assert len(names) == len(set(names))


def test_colours_are_the_pages_own(page: Path) -> None:
    """Every colour of a figure is a variable with a light and a dark value."""
    for svg in re.findall(r"<svg.*?</svg>", page.read_text(), flags=re.DOTALL):
        fixed = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg))
        assert fixed <= {"#010101", "#fefefe", "#ffffff"}  # text in cells, and backgrounds
        assert "var(--ink)" in svg


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it(page: Path, browser: Browser, scheme: Any) -> None:
    """Nothing is asked of anybody, nothing is wider than the page, and text stands out."""
    with Opened(browser, page.as_uri(), color_scheme=scheme) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ink = shown.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
        paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in (ink, paper)]
        assert abs(brightness[0] - brightness[1]) > 180
        assert (brightness[1] > 128) == (scheme == "light")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file: Invalid JSON"),
        ('{"measure": "taste", "results": []}', "taste"),
        ('{"measure": "recall", "results": []}', "results: "),
        ('{"measure": "recall", "results": [{"seed": 1}]}', "subject"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, said: str) -> None:
    """It says where the file is not what it should be."""
    file = tmp_path / "run.json"
    file.write_text(content)
    with pytest.raises(RequestError, match=said):
        load_run(file)
    with pytest.raises(RequestError, match="nowhere"):
        load_run(tmp_path / "nowhere.json")


def test_pages_that_cannot_be_written(tmp_path: Path, runs: list[EvaluationRun]) -> None:
    """Before any work: another suffix, no folder, nothing to show."""
    with pytest.raises(RequestError, match=r"\.html"):
        write_report(tmp_path / "report.pdf", runs)
    with pytest.raises(RequestError, match=r"report cannot be written .* no such folder"):
        write_report(tmp_path / "nowhere" / "report.html", runs)
    with pytest.raises(RequestError, match="no measurements"):
        write_report(tmp_path / "report.html", [])


def test_nothing_measured_is_lost_where_longctx_is_no_package(
    runs: list[EvaluationRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout on PYTHONPATH has no metadata; a run of hours failed when it was written."""
    monkeypatch.setattr(metadata.MetadataPathFinder, "find_distributions", lambda *_, **__: ())
    again = EvaluationRun.of(runs[0].results)
    assert again.environment["longctx-sdk"] == "not installed"
    assert "not installed" in again.model_dump_json()
