"""The KV cache as an object."""

from longctx.cache.compose import Composer
from longctx.cache.pool import SessionPool
from longctx.cache.session import Session
from longctx.cache.snapshot import snapshot_key
from longctx.cache.store import SnapshotStore
from longctx.cache.turning import KeyTurner

__all__ = ["Composer", "KeyTurner", "Session", "SessionPool", "SnapshotStore", "snapshot_key"]
