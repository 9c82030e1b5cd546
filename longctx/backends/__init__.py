"""Where tokens become logits: llama.cpp in this process."""

from longctx.backends.llama_cpp import LlamaCppBackend, context_params
from longctx.backends.threads import DecodeThreads, default_threads

__all__ = ["DecodeThreads", "LlamaCppBackend", "context_params", "default_threads"]
