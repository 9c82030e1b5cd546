"""Many texts over one model: sessions, the scheduler, and the answers that they write."""

from longctx.cache import Session
from longctx.devices import N_BATCH
from longctx.engine.engine import Engine
from longctx.engine.settings import GenerationSettings
from longctx.engine.writing import Outcome, Writing

__all__ = [
    "N_BATCH",
    "Engine",
    "GenerationSettings",
    "Outcome",
    "Session",
    "Writing",
]
