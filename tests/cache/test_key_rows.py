"""Cached keys rotated where they lie, in more chunks than one."""

from __future__ import annotations

import numpy as np
import pytest

from longctx.cache.key_rows import KeyRows
from longctx.rope import RopeConfig, Rotation
from longctx.rope.rotate import CHUNK_VALUES

OLD, NEW = (RopeConfig(freq_base=base, original_ctx=1024) for base in (1e4, 4e4))
N_HEAD, HEAD_DIM = 2, 64


@pytest.mark.parametrize("rope_type", ["norm", "neox"])
@pytest.mark.parametrize("kv_type", ["f32", "f16", "q8_0"])
def test_a_long_text_as_its_rows(kv_type: str, rope_type: str) -> None:
    """What each row becomes does not depend on the chunk that it falls into; and those that do not
    turn, in front and behind, keep their bytes."""
    n = 2 * CHUNK_VALUES // (N_HEAD * HEAD_DIM) + 77
    keys = np.random.default_rng(0).standard_normal((n, N_HEAD * HEAD_DIM), dtype=np.float32)
    turning = np.arange(n)  # a row at position 0 does not turn
    turning[-5:] = 0
    row_bytes = KeyRows(kv_type, 1, 0, 0).numbers.n_bytes(N_HEAD * HEAD_DIM)
    state = np.zeros(16 + n * row_bytes, np.uint8)
    rows = KeyRows(kv_type, row_bytes, offset=16, n_cells=n)
    rows.write(state, keys)
    before = state.copy()
    rotation = Rotation.between(turning, OLD, turning, NEW, n_rot=HEAD_DIM, rope_type=rope_type)
    rows.rotate(state, rotation, head_dim=HEAD_DIM)

    assert state[: 16 + row_bytes].tobytes() == before[: 16 + row_bytes].tobytes()
    assert state[-5 * row_bytes :].tobytes() == before[-5 * row_bytes :].tobytes()
    one = KeyRows(kv_type, row_bytes, offset=0, n_cells=1)
    for row in (1, 2, n // 3, n // 2, CHUNK_VALUES // (N_HEAD * HEAD_DIM), n - 6):
        its = slice(16 + row * row_bytes, 16 + (row + 1) * row_bytes)
        alone = before[its].copy()
        one.rotate(alone, rotation[row : row + 1], head_dim=HEAD_DIM)
        assert alone.tobytes() != before[its].tobytes()
        assert state[its].tobytes() == alone.tobytes()
