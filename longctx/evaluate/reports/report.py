"""One self-contained page of measurements: figures, tables, and the settings to reproduce them.

The page asks no other host, runs no script, and is light or dark as its reader's screen is.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from longctx.errors import RequestError
from longctx.evaluate.figures.plots import PALETTE, check_folder, check_plot
from longctx.evaluate.figures.tables import Table
from longctx.evaluate.measures.result import Subject
from longctx.evaluate.reports.runs import EvaluationRun
from longctx.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {
    "perplexity": "Perplexity by position",
    "recall": "Recall of facts by depth",
    "passkey": "Pass keys by depth",
    "needle": "Needle in a haystack",
    "ruler": "RULER",
    "stream": "Perplexity along a stream",
    "compress": "What a compressed cache still knows",
}


def check_report(path: str | Path) -> None:
    """Refuse a page that could not be written, before the measurement that it would show.

    Raises:
        MissingExtraError: the extra ``eval`` is not installed.
        RequestError: the folder is missing, or the name does not end in .html.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"a report is a page, but {Path(path).name!r} is no .html; name it so")
    check_folder("report", path)
    check_plot(Path(path).with_suffix(".svg"))


def write_report(path: str | Path, runs: Sequence[EvaluationRun]) -> None:
    """Write one page with a section for each run.

    Raises:
        MissingExtraError: the extra ``eval`` is not installed.
        RequestError: the page cannot be written, or there is nothing to show.
    """
    check_report(path)
    if not runs:
        raise RequestError("there are no measurements to report; pass at least one run")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(
        files("longctx.evaluate.reports").joinpath("report.html").read_text(encoding="utf-8")
    )
    page = template.render(
        runs=runs,
        models={
            result.subject.model: result.subject.n_ctx_train
            for run in runs
            for result in run.results
        },
        drawn=[_inline_svg(run.figure, _TITLES[run.measure], i) for i, run in enumerate(runs)],
        titles=_TITLES,
        settings=_settings,
        data_url=_data_url,
        palette=PALETTE,
    )
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise RequestError(f"the report cannot be written to {path}: {error}") from error


def _settings(run: EvaluationRun) -> Table:
    """What each result was measured with, apart from the command."""
    header = (
        "window", "tokens", "rope_freq_base", "rope_freq_scale", "Self-Extend", "keys, values",
        "model's sha256", "seed",
    )  # fmt: skip
    rows = [_row(result.subject, result.seed) for result in run.results]
    return Table("Settings", header, rows)


def _row(subject: Subject, seed: int) -> tuple[str, ...]:
    far = subject.self_extend
    return (
        subject.label,
        f"{subject.n_ctx:,}",
        f"{subject.rope.freq_base:,.0f}",
        f"{subject.rope.freq_scale:.4g}",
        f"group {far.group}, block {far.block:,}, start {far.start:,}" if far else "",
        f"{subject.kv_type_k}, {subject.kv_type_v}",
        subject.model_sha256[:12],
        str(seed),
    )


def _data_url(run: EvaluationRun) -> str:
    """The raw results, to be saved from the page."""
    encoded = base64.b64encode(run.model_dump_json(indent=1).encode()).decode()
    return f"data:application/json;base64,{encoded}"


def _inline_svg(figure: Figure, title: str, number: int) -> Markup:
    """A figure whose colours are the page's variables, so that it is light or dark with it."""
    import matplotlib

    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_alpha(0)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{number}"}):
        figure.savefig(buffer, format="svg")
    svg = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    svg = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    for name, (light, _dark) in PALETTE.items():
        svg = svg.replace(light.lower(), f"var(--{name})")
    return Markup(svg)
