"""Bytes that a plan needs: where they lie, and what they are for."""

from __future__ import annotations

from pydantic import computed_field

from longctx.model_info import format_bytes, format_table
from longctx.types import Frozen

RUNTIME_BYTES = 120 * 2**20
"""Python, its libraries, and what requests on their way take; measured with `longctx serve`."""


class Place(Frozen):
    """What lies on a device: layers (the output counted as one) and their bytes.

    ``weights_bytes`` have the adapters' in them, ``free_bytes`` were free when it was planned, and
    ``margin_bytes`` of them are to stay so. An integrated GPU ``is_unified``: its bytes are the
    host's.
    """

    device: str
    n_layers: int
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    free_bytes: int
    margin_bytes: int
    is_unified: bool = False

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.text_bytes

    @property
    def text_bytes(self) -> int:
        """What one text takes of it."""
        return self.kv_bytes + self.compute_bytes

    def __str__(self) -> str:
        return (
            f"{format_bytes(self.total_bytes)} of {format_bytes(self.free_bytes)} free "
            f"(weights {format_bytes(self.weights_bytes)}, KV cache {format_bytes(self.kv_bytes)}, "
            f"compute {format_bytes(self.compute_bytes)})"
        )


class MemoryEstimate(Frozen):
    """Bytes that a plan needs, and the limit it was made for.

    ``weights_bytes`` counts each tensor once. llama.cpp copies weights of some types (Q4_0,
    Q4_K, …) into an order its kernels like, while their pages of the file stay mapped; nothing
    reads those again, and the system takes them back when memory is short. ``adapters_bytes`` are
    those of LoRA adapters; ``checkpoints_bytes`` those of states that are kept of a text, for
    layers that cannot go back to an earlier one. ``beside_bytes`` are taken when many are answered
    at once, if the limit bears it: a small context for prompts, and logits for each. No window is
    refused for them. ``kv_budget_bytes`` is what the KV caches of all texts may take together; None
    leaves it to the limit. ``places`` say how much of all that lies on GPUs; ``host_bytes`` is the
    rest, and what ``limit_bytes`` holds for. What a GPU's own libraries take of it is not counted.
    """

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    limit_bytes: int
    adapters_bytes: int = 0
    checkpoints_bytes: int = 0
    beside_bytes: int = 0
    kv_budget_bytes: int | None = None
    places: tuple[Place, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def total_bytes(self) -> int:
        """Weights, adapters, KV cache, checkpoints and compute buffers together."""
        return self.fixed_bytes + self.text_bytes

    @property
    def text_bytes(self) -> int:
        """What one text takes besides."""
        return self.kv_bytes + self.checkpoints_bytes + self.compute_bytes

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def resident_bytes(self) -> int:
        """What the process holds of the host's memory when it is busy, Python and its libraries
        included."""
        return self.host_bytes + self.beside_bytes + RUNTIME_BYTES

    @property
    def host_bytes(self) -> int:
        """What lies in the host's memory, integrated GPUs' included."""
        return self.total_bytes - sum(p.total_bytes for p in self.places if not p.is_unified)

    @property
    def spare_bytes(self) -> int:
        """What all texts may take together, wherever they lie: as many times one text as fit where
        it is tightest, the budget of their caches included; one at least, for that was planned."""
        apart = [place for place in self.places if not place.is_unified]
        host_text = self.text_bytes - sum(place.text_bytes for place in apart)
        host_fixed = self.fixed_bytes - sum(place.weights_bytes for place in apart)
        tightest = [(self.limit_bytes - host_fixed, host_text)]
        tightest += [
            (place.free_bytes - place.margin_bytes - place.weights_bytes, place.text_bytes)
            for place in apart
        ]
        if self.kv_budget_bytes is not None:
            tightest.append((self.kv_budget_bytes, self.kv_bytes))
        spare = min(left * self.text_bytes // text for left, text in tightest if text)
        return max(spare, self.text_bytes)

    @property
    def fixed_bytes(self) -> int:
        """What is there once, whatever windows are opened: weights and adapters."""
        return self.weights_bytes + self.adapters_bytes

    def __str__(self) -> str:
        adapters = f"adapters {format_bytes(self.adapters_bytes)}, " if self.adapters_bytes else ""
        checkpoints = (
            self.checkpoints_bytes and f"checkpoints {format_bytes(self.checkpoints_bytes)}, "
        )
        return (
            f"{format_bytes(self.total_bytes)} (weights {format_bytes(self.weights_bytes)}, "
            f"{adapters}KV cache {format_bytes(self.kv_bytes)}, {checkpoints or ''}"
            f"compute {format_bytes(self.compute_bytes)})"
        )

    def __repr__(self) -> str:
        return format_table(
            "memory",
            [
                ("weights", format_bytes(self.weights_bytes)),
                *([("adapters", format_bytes(self.adapters_bytes))] if self.adapters_bytes else []),
                ("KV cache", format_bytes(self.kv_bytes)),
                *(
                    [("checkpoints", format_bytes(self.checkpoints_bytes))]
                    if self.checkpoints_bytes
                    else []
                ),
                ("compute", format_bytes(self.compute_bytes)),
                ("total", format_bytes(self.total_bytes)),
                *((place.device, place) for place in self.places),
                ("the process", format_bytes(self.resident_bytes)),
                ("limit", format_bytes(self.limit_bytes)),
            ],
        )
