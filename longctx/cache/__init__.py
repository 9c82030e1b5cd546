"""The KV cache as an object."""

from longctx.cache.session import Session
from longctx.cache.turning import KeyTurner

__all__ = ["KeyTurner", "Session"]
