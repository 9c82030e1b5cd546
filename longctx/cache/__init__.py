"""The KV cache as an object."""

from longctx.cache.session import Session

__all__ = ["Session"]
