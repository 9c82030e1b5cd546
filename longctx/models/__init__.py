"""Where models come from: files, Hugging Face's hub and its cache, and what other programs have."""

from longctx.models.finding import DEFAULT_CTX, ModelFile, find_model
from longctx.models.found import FoundModel, list_models

__all__ = ["DEFAULT_CTX", "FoundModel", "ModelFile", "find_model", "list_models"]
