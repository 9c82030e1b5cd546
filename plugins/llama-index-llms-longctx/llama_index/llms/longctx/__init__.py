"""Local GGUF models with the window you ask for, in LlamaIndex."""

from llama_index.llms.longctx.base import LongCtx

__all__ = ["LongCtx"]
