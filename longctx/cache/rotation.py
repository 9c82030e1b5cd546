"""Cached keys moved to another RoPE or other positions, without prefilling their text again.

llama.cpp fixes RoPE when a context is made and caches keys already rotated, so others prefill
again. A rotation more does it: by p'·θ' - p·θ, times the ratio of the attention factors. Values
carry no position. Keys of the first layer are then exactly those of a fresh prefill; deeper
ones were computed while attention ran under the old RoPE, and keep that (docs/elastic-window.md
has what it costs).

What a layer sees of a position is the rotation of its key; a cell's own position only drives the
masks. So keys of layers that see the whole window move alone: cells stay where they are, and with
them the layers that slide, and a recurrent state beside them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from longctx.backends import Backend
from longctx.cache.compress import Choose, thin_state
from longctx.cache.key_rows import KeyRows
from longctx.cache.state import CacheLayout, StateShape, parse_state
from longctx.errors import BackendError, SnapshotMismatchError, UnsupportedModelError
from longctx.model_info import Layer
from longctx.rope import RopeConfig, Rotation

_PROBE_POSITION = 1009  # far enough that a wrong rotation is a gross one
# Quantised keys were rounded under the old RoPE and are again under the new one; all others are
# held to 0.02.
_TOLERANCE = {"q8_0": 0.1, "q4_0": 0.4}
# On a GPU attention rounds to half precision, otherwise at another position, and activations are
# quantised behind it: what comes to a layer is not quite the same. Values, which no RoPE turns,
# are made of it as keys are, and so tell how much of the difference that is. A layer's keys may
# weaken what they share more than its values do, hence the factor, and a limit to what counts.
_NOISE_FACTOR = 4.0
_NOISE_LIMIT = 0.1


class KeyRotator:
    """Re-rotates the keys in a sequence's state, on all cores."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        info = backend.info
        self.shape = StateShape.of(info)
        owners = [layer for layer in info.layers if layer.key_elements]
        sliding = [layer for layer in owners if layer.kind == "sliding"]
        # llama.cpp writes the layers with the full window first, then the sliding ones.
        self._caches = [[layer for layer in owners if layer.kind != "sliding"]]
        if sliding:
            self._caches.append(sliding)
        self._proved: dict[tuple[RopeConfig, RopeConfig, bool], str | None] = {}

    def obstacle(
        self,
        old: RopeConfig,
        new: RopeConfig,
        *,
        moves: bool = False,
        relabels: bool = False,
        drops: bool = False,
    ) -> str | None:
        """Why keys cannot be re-rotated from ``old`` to ``new``; None if they can.

        Proved on this very model: one token, decoded alone far out under each RoPE, attends
        only to itself, so that every layer's key must be the other's, re-rotated.

        Args:
            old: the RoPE that keys were cached under.
            new: the RoPE that will read them.
            moves: whether they shall stand at other positions, too.
            relabels: whether their cells shall, too, or some are dropped, before them or behind.
            drops: whether some cells are dropped and the others stay, which no RoPE hinders.
        """
        reason = self._backend.info.turning_obstacle
        if drops and not self.turns:
            reason = None
            if not self.has_keys:
                return None
        if reason is None and relabels and self.forgets:
            reason = "layers that slide or are recurrent hold what was dropped"
        if reason is not None:
            return reason
        if old == new and not moves:
            return None  # no key turns, so that there is nothing to prove
        if (old, new, moves) not in self._proved:
            self._proved[old, new, moves] = self._prove(old, new, moves)
        return self._proved[old, new, moves]

    @property
    def forgets(self) -> bool:
        """Whether some layers slide or are recurrent: what they hold cannot be moved."""
        return len(self._caches) > 1 or self.shape.is_recurrent

    @property
    def turns(self) -> bool:
        """Whether there is a key that is rotated."""
        return any(layer.has_rope for layer in self._caches[0])

    @property
    def has_keys(self) -> bool:
        """Whether there are cells of single tokens that can be dropped by themselves."""
        return bool(self._caches[0])

    def rotate(
        self,
        state: NDArray[np.uint8],
        old: RopeConfig,
        new: RopeConfig,
        old_positions: NDArray[np.int32],
        new_positions: NDArray[np.int32],
        *,
        first: int | None = None,
    ) -> None:
        """Rewrite keys of layers that see the whole window in place.

        Args:
            state: uint8[n], of :meth:`longctx._native.Context.get_state`.
            old: the RoPE that the keys were cached under.
            new: the RoPE that will read them.
            old_positions: int32[n_tokens], where the tokens' keys stand.
            new_positions: int32[n_tokens], where they shall stand.
            first: position that the first token's cell gets, and the others one by one; None
                leaves all where they are.

        Raises:
            SnapshotMismatchError: the state does not hold these tokens of this model.
            UnsupportedModelError: the RoPE is neither NORM nor NEOX nor M-RoPE.
        """
        layout = parse_state(state, self.shape)
        n_tokens = len(old_positions)
        if len(layout.caches) != len(self._caches):
            raise SnapshotMismatchError(
                f"the state has {len(layout.caches)} caches, the model {len(self._caches)}"
            )
        # Layers that slide have the cache behind, and mostly keep a RoPE of their own, whatever the
        # window's; of a model whose do not, _prove finds it out.
        cache, layers = layout.caches[0], self._caches[0]
        n_cells = len(cache.positions)
        if n_cells != n_tokens:
            raise SnapshotMismatchError(f"the state holds {n_cells} tokens, the session {n_tokens}")
        if not n_cells:
            return
        if len(cache.keys) != len(layers):
            raise SnapshotMismatchError(
                f"the state has keys of {len(cache.keys)} layers, the model of {len(layers)}"
            )
        # Cells stand in the order of their tokens among equal positions.
        order = np.argsort(cache.positions, kind="stable")
        before, after = np.empty_like(cache.positions), np.empty_like(cache.positions)
        before[order], after[order] = old_positions, new_positions
        self._rotate_cache(state, cache, layers, (old, before), (new, after))
        if first is not None:
            labels = np.empty_like(cache.positions)
            labels[order] = np.arange(first, first + n_tokens)
            cache.write_positions(state, labels)

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
            n_threads=self._backend.host_threads,
        )  # fmt: skip

    def _rotate_cache(
        self,
        state: NDArray[np.uint8],
        cache: CacheLayout,
        layers: list[Layer],
        old: tuple[RopeConfig, NDArray[np.int32]],
        new: tuple[RopeConfig, NDArray[np.int32]],
    ) -> None:
        rotated = [
            (rows, layer) for rows, layer in zip(cache.keys, layers, strict=True) if layer.has_rope
        ]
        if not rotated:
            return
        info = self._backend.info
        rotation = Rotation.between(
            old[1], old[0], new[1], new[0],
            n_rot=info.n_rot, rope_type=info.rope_type, still=info.still_pairs,
        )  # fmt: skip

        def rotate_layer(pair: tuple[KeyRows, Layer]) -> None:
            rows, layer = pair
            first = layer.key_length - info.n_rot if layer.rope_is_last else 0
            rows.rotate(state, rotation, head_dim=layer.key_length, first=first)

        # Threads do, for numpy holds no lock while it computes; layers share no bytes.
        with ThreadPoolExecutor(self._backend.host_threads) as pool:
            list(pool.map(rotate_layer, rotated))

    def _prove(self, old: RopeConfig, new: RopeConfig, moves: bool) -> str | None:
        # A token alone attends to itself, whatever its position: all that two such states differ in
        # is how their keys are rotated.
        positions = [_PROBE_POSITION, _PROBE_POSITION // 3 if moves else _PROBE_POSITION]
        rotated, wanted = self._lone_state(old, positions[0]), self._lone_state(new, positions[1])
        # Layers that slide have nothing to do with where the others' keys are moved to.
        slid = wanted if not moves or old == new else self._lone_state(new, positions[0])
        try:
            before, after = np.array(positions, dtype=np.int32).reshape(2, 1)
            self.rotate(rotated, old, new, before, after)
        except (SnapshotMismatchError, UnsupportedModelError, BackendError) as error:
            return str(error)
        whole, *sliding = zip(
            parse_state(rotated, self.shape).caches,
            parse_state(wanted, self.shape).caches,
            parse_state(slid, self.shape).caches,
            strict=True,
        )
        compared = [(rotated, whole[0], wanted, whole[1])]
        if old != new:
            compared += [(rotated, have, slid, want) for have, _, want in sliding]
        for have_state, have, want_state, want in compared:
            values = zip(have.values, want.values, strict=True)
            for index, (a, b) in enumerate(zip(have.keys, want.keys, strict=True)):
                pair = next(values, None)
                noise = 0.0 if pair is None else _apart(pair, have_state, want_state)
                allowed = self._tolerance + _NOISE_FACTOR * min(noise, _NOISE_LIMIT)
                if _apart((a, b), have_state, want_state) > allowed:
                    return f"re-rotated keys of layer {index} are not those that llama.cpp computes"
        return None

    @property
    def _tolerance(self) -> float:
        return _TOLERANCE.get(self._backend.plan.kv_type_k, 0.02)

    def _lone_state(self, rope: RopeConfig, position: int) -> NDArray[np.uint8]:
        info, n_ctx = self._backend.info, 256
        scaling, long_factors = info.rope_scaling, info.frequency_factors_long
        if scaling and scaling.original_ctx and long_factors == rope.frequency_factors is not None:
            # Of a LongRoPE file llama.cpp takes the long factors where the window is a long one.
            n_ctx = max(n_ctx, scaling.original_ctx + 1)
        context = self._backend.open(n_ctx, rope, n_outputs=1)
        try:
            context.decode([1], position, outputs="none")
            return context.get_state()
        finally:
            context.close()


def _apart(
    rows: tuple[KeyRows, KeyRows], have: NDArray[np.uint8], want: NDArray[np.uint8]
) -> float:
    """How far a layer's rows of one state are from another's, as a share of these."""
    found, should_be = rows[0].read(have), rows[1].read(want)
    norm = float(np.linalg.norm(should_be))
    return float(np.linalg.norm(found - should_be)) / norm if norm else 0.0
