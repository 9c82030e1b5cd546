"""The KV cache of one text, as an object."""

from longctx.cache.rotation import KeyRotator
from longctx.cache.session import Session, common_prefix
from longctx.cache.snapshot import snapshot_key

__all__ = [
    "KeyRotator",
    "Session",
    "common_prefix",
    "snapshot_key",
]
