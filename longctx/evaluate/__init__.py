"""Measure a window: how well a model predicts, and what it still finds, at which depth.

::

    text, facts, tasks (pure, seeded) → prompts at exact token counts → llm → scores → table, plot

Each measure takes an open :class:`longctx.LongContextLLM`, a seed and ``on_progress``, and
returns a frozen result with a readable ``repr``, ``.plot(path)`` and pydantic's JSON.
"""

from longctx.evaluate.calibrate import calibrate
from longctx.evaluate.measure_needle import NeedleResult, needle
from longctx.evaluate.measure_passkey import PasskeyResult, passkey
from longctx.evaluate.measure_perplexity import PerplexityPoint, PerplexityResult, perplexity
from longctx.evaluate.measure_recall import FactScore, RecallResult, recall
from longctx.evaluate.measure_ruler import RulerResult, RulerSample, RulerScore, ruler
from longctx.evaluate.measure_stream import StreamResult, stream
from longctx.evaluate.plots import check_plot
from longctx.evaluate.report import check_report, write_report
from longctx.evaluate.result import EvaluationResult, Subject
from longctx.evaluate.retrieval import RetrievalCell, RetrievalResult, Trial
from longctx.evaluate.runs import EvaluationRun, load_run
from longctx.evaluate.texts import python_reference

__all__ = [
    "EvaluationResult",
    "EvaluationRun",
    "FactScore",
    "NeedleResult",
    "PasskeyResult",
    "PerplexityPoint",
    "PerplexityResult",
    "RecallResult",
    "RetrievalCell",
    "RetrievalResult",
    "RulerResult",
    "RulerSample",
    "RulerScore",
    "StreamResult",
    "Subject",
    "Trial",
    "calibrate",
    "check_plot",
    "check_report",
    "load_run",
    "needle",
    "passkey",
    "perplexity",
    "python_reference",
    "recall",
    "ruler",
    "stream",
    "write_report",
]
