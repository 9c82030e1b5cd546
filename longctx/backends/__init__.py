"""Where tokens become logits: llama.cpp in this process."""

from longctx.backends.llama_cpp import N_BATCH, LlamaCppBackend, context_params
from longctx.backends.protocol import Backend, KVContext
from longctx.backends.threads import DecodeThreads, default_threads

__all__ = [
    "N_BATCH",
    "Backend",
    "DecodeThreads",
    "KVContext",
    "LlamaCppBackend",
    "context_params",
    "default_threads",
]
