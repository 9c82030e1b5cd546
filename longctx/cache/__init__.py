"""The KV cache as an object."""

from longctx.cache.cells import Cells
from longctx.cache.compose import Composer
from longctx.cache.pool import SessionPool
from longctx.cache.session import Session
from longctx.cache.side_by_side import SideBySide, advance_each
from longctx.cache.snapshot import snapshot_key
from longctx.cache.store import SnapshotStore
from longctx.cache.turning import KeyTurner

__all__ = [
    "Cells",
    "Composer",
    "KeyTurner",
    "Session",
    "SessionPool",
    "SideBySide",
    "SnapshotStore",
    "advance_each",
    "snapshot_key",
]
