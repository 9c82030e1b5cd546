"""Many texts over one model: sessions, the scheduler, and the answers that they write."""

from longctx.cache import Session
from longctx.engine.engine import HAND_OUTPUTS, Engine
from longctx.engine.settings import GenerationSettings
from longctx.engine.writing import Outcome, Writing

__all__ = [
    "HAND_OUTPUTS",
    "Engine",
    "GenerationSettings",
    "Outcome",
    "Session",
    "Writing",
]
