"""The KV cache of one text, as an object."""

from longctx.cache.compress import COMPRESSION_METHODS
from longctx.cache.prefix import common_prefix
from longctx.cache.rotation import KeyRotator
from longctx.cache.session import Session
from longctx.cache.snapshot import snapshot_key

__all__ = [
    "COMPRESSION_METHODS",
    "KeyRotator",
    "Session",
    "common_prefix",
    "snapshot_key",
]
