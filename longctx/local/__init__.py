"""A model that runs here: how it is loaded, how it answers, and its cached texts."""

from longctx.local.generator import AnswerGenerator
from longctx.local.loading import LoadedModel, load_model, log_to_stderr
from longctx.local.opened import Opened
from longctx.local.sessions import Sessions

__all__ = ["AnswerGenerator", "LoadedModel", "Opened", "Sessions", "load_model", "log_to_stderr"]
