"""Where tokens become logits: llama.cpp in this process."""

from longctx.backends.llama_cpp import LlamaCppBackend, context_params, model_params
from longctx.backends.protocol import Backend, KVContext
from longctx.backends.threads import DecodeThreads, default_threads

__all__ = [
    "Backend",
    "DecodeThreads",
    "KVContext",
    "LlamaCppBackend",
    "context_params",
    "default_threads",
    "model_params",
]
