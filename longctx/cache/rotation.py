"""Cached keys moved to another RoPE or other positions, without prefilling their text again.

llama.cpp fixes RoPE when a context is made and caches keys already rotated, so others prefill
again. A rotation more does it: by p'·θ' - p·θ, times the ratio of the attention factors. Values
carry no position. Keys of the first layer are then exactly those of a fresh prefill; deeper
ones were computed while attention ran under the old RoPE, and keep that (docs/elastic-window.md
has what it costs).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from longctx.backends import Backend
from longctx.cache.compress import Choose, thin_state
from longctx.cache.state import CacheLayout, parse_state
from longctx.errors import BackendError, SnapshotMismatchError, UnsupportedModelError
from longctx.model_info import Layer, ModelInfo
from longctx.rope import RopeConfig, Rotation

_PROBE_POSITION = 1009  # far enough that a wrong rotation is a gross one
# Quantised keys were rounded under the old RoPE and are again under the new one; all others are
# held to 0.02.
_TOLERANCE = {"q8_0": 0.1, "q4_0": 0.4}


def obstacle(info: ModelInfo) -> str | None:
    """Why a model's cached keys cannot be re-rotated; None if they can."""
    if info.rope_type not in ("norm", "neox"):
        return f"its RoPE is of type {info.rope_type}"
    for kind, what in (("mla", "compressed keys (MLA)"), ("recurrent", "a recurrent state")):
        if kind in info.layer_kinds:
            return f"it keeps {what}"
    return None


class KeyRotator:
    """Re-rotates the keys in a sequence's state, on all cores."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._proved: dict[tuple[RopeConfig, RopeConfig, bool], str | None] = {}

    def obstacle(self, old: RopeConfig, new: RopeConfig, *, moves: bool = False) -> str | None:
        """Why keys cannot be re-rotated from ``old`` to ``new``; None if they can.

        Proved on this very model: one token, decoded alone far out under each RoPE, attends
        only to itself, so that every layer's key must be the other's, re-rotated.

        Args:
            old: the RoPE that keys were cached under.
            new: the RoPE that will read them.
            moves: whether they shall stand at other positions, too.
        """
        info = self._backend.info
        reason = obstacle(info)
        if reason is None and moves and "sliding" in info.layer_kinds:
            reason = "its sliding-window layers have a RoPE of their own"
        if reason is not None:
            return reason
        if (old, new, moves) not in self._proved:
            self._proved[old, new, moves] = self._prove(old, new, moves)
        return self._proved[old, new, moves]

    def rotate(
        self,
        state: NDArray[np.uint8],
        old: RopeConfig,
        new: RopeConfig,
        old_positions: NDArray[np.int32],
        new_positions: NDArray[np.int32],
    ) -> None:
        """Rewrite positions and keys in place.

        Args:
            state: uint8[n], of :meth:`longctx._native.Context.get_state`.
            old: the RoPE that the keys were cached under.
            new: the RoPE that will read them.
            old_positions: int32[n_tokens], where the tokens stand.
            new_positions: int32[n_tokens], where they shall stand.

        Raises:
            SnapshotMismatchError: the state does not hold these tokens of this model.
            UnsupportedModelError: the RoPE is neither NORM nor NEOX.
        """
        layout = parse_state(state)
        info = self._backend.info
        owners = [layer for layer in info.layers if layer.key_elements]
        if len(layout.caches) == 1:
            groups = [owners]
        else:  # llama.cpp writes the layers with the full window first, then the sliding ones
            sliding = [layer.kind == "sliding" for layer in owners]
            groups = [
                [layer for layer, slides in zip(owners, sliding, strict=True) if slides == wanted]
                for wanted in (False, True)
            ]
        for cache, layers in zip(layout.caches, groups, strict=True):
            if not len(cache.positions):
                continue
            if len(cache.keys) != len(layers):
                raise SnapshotMismatchError(
                    f"the state has keys of {len(cache.keys)} layers, the model of {len(layers)}"
                )
            self._rotate_cache(state, cache, layers, old, new, old_positions, new_positions)

    def thin(
        self,
        state: NDArray[np.uint8],
        rope: RopeConfig,
        old_positions: NDArray[np.int32],
        new_positions: NDArray[np.int32],
        choose: Choose,
    ) -> NDArray[np.uint8]:
        """Keep for each layer and head the tokens that ``choose`` names, at new positions.

        Raises:
            SnapshotMismatchError: the state does not hold these tokens of this model.
        """
        return thin_state(
            state, self._backend.info, rope, old_positions, new_positions, choose,
            n_threads=self._backend.n_threads,
        )  # fmt: skip

    def _rotate_cache(
        self,
        state: NDArray[np.uint8],
        cache: CacheLayout,
        layers: list[Layer],
        old: RopeConfig,
        new: RopeConfig,
        old_positions: NDArray[np.int32],
        new_positions: NDArray[np.int32],
    ) -> None:
        # Cells stand in the order of their tokens among equal positions; a sliding cache has
        # only the last tokens.
        order = np.argsort(cache.positions, kind="stable")
        first = len(old_positions) - len(order)
        if first < 0 or not np.array_equal(cache.positions[order], old_positions[first:]):
            raise SnapshotMismatchError("the state's positions are not those of the session")
        before = cache.positions
        after = np.empty_like(before)
        after[order] = new_positions[first:]
        info = self._backend.info
        rotation = Rotation.between(
            before, old, after, new, n_rot=info.n_rot, rope_type=info.rope_type
        )
        # Sliding layers mostly keep a RoPE of their own, whatever the window's; of a model whose
        # do not, _prove finds it out.
        rotated = [
            (rows, layer)
            for rows, layer in zip(cache.keys, layers, strict=True)
            if layer.has_rope and layer.kind != "sliding"
        ]
        # Threads do, for numpy holds no lock while it computes; layers share no bytes.
        with ThreadPoolExecutor(self._backend.n_threads) as pool:
            list(
                pool.map(
                    lambda pair: pair[0].rotate(state, rotation, head_dim=pair[1].key_length),
                    rotated,
                )
            )
        cache.write_positions(state, after)

    def _prove(self, old: RopeConfig, new: RopeConfig, moves: bool) -> str | None:
        positions = [_PROBE_POSITION, _PROBE_POSITION // 3 if moves else _PROBE_POSITION]
        states = []
        for rope, position in zip((old, new), positions, strict=True):
            context = self._backend.open(256, rope, n_outputs=1)
            try:
                context.decode([1], position, outputs="none")
                states.append(context.get_state())
            finally:
                context.close()
        rotated, wanted = states
        try:
            before, after = np.array(positions, dtype=np.int32).reshape(2, 1)
            self.rotate(rotated, old, new, before, after)
        except (SnapshotMismatchError, UnsupportedModelError, BackendError) as error:
            return str(error)
        tolerance = _TOLERANCE.get(self._backend.plan.kv_type_k, 0.02)
        pairs = zip(parse_state(rotated).caches, parse_state(wanted).caches, strict=True)
        for have, want in pairs:
            for index, (a, b) in enumerate(zip(have.keys, want.keys, strict=True)):
                is_key, should_be = a.read(rotated), b.read(wanted)
                error_norm = float(np.linalg.norm(is_key - should_be))
                if error_norm > tolerance * float(np.linalg.norm(should_be)):
                    return f"re-rotated keys of layer {index} are not those that llama.cpp computes"
        return None
