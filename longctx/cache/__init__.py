"""The KV cache of one text, as an object."""

from longctx.cache.session import Session, common_prefix
from longctx.cache.snapshot import snapshot_key
from longctx.cache.turning import KeyTurner

__all__ = [
    "KeyTurner",
    "Session",
    "common_prefix",
    "snapshot_key",
]
