"""Measure a window: how well a model predicts, and what it still finds, at which depth.

::

    prompts (pure, seeded, at exact counts) → measures (answers to scores) → figures, reports
                                                                           → calibration

Each measure takes an open :class:`longctx.LongContextLLM`, a seed and ``on_progress``, and
returns a frozen result with a readable ``repr``, ``.plot(path)`` and pydantic's JSON.
"""

from longctx.evaluate.calibration.calibrate import calibrate
from longctx.evaluate.figures.plots import check_plot
from longctx.evaluate.measures.compress import CompressResult, CompressScore, compress
from longctx.evaluate.measures.needle import NeedleResult, needle
from longctx.evaluate.measures.passkey import PasskeyResult, passkey
from longctx.evaluate.measures.perplexity import PerplexityPoint, PerplexityResult, perplexity
from longctx.evaluate.measures.recall import FactScore, RecallResult, recall
from longctx.evaluate.measures.result import EvaluationResult, Subject
from longctx.evaluate.measures.retrieval import RetrievalCell, RetrievalResult, Trial
from longctx.evaluate.measures.ruler import RulerResult, RulerSample, RulerScore, ruler
from longctx.evaluate.measures.stream import StreamResult, stream
from longctx.evaluate.prompts.texts import python_reference
from longctx.evaluate.reports.report import check_report, write_report
from longctx.evaluate.reports.runs import EvaluationRun, load_run

__all__ = [
    "CompressResult",
    "CompressScore",
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
    "compress",
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
