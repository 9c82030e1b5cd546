"""Which quantisation, by the memory of host and GPUs: sizes in, a choice and its reason out."""

from __future__ import annotations

from typing import Any

import pytest

from longctx import DeviceOptions, ModelInfo, PlanError
from longctx.devices import Device
from longctx.models.choice import Room, choose, none_fits
from longctx.models.variants import variants_of
from longctx.planner.placement import margin_bytes
from tests.conftest import TinyGguf

MIB, GIB = 2**20, 2**30
VARIANTS = variants_of(
    {
        "m-F16.gguf": 16_000 * MIB,
        "m-Q8_0.gguf": 8_000 * MIB,
        "m-Q6_K.gguf": 6_000 * MIB,
        "m-Q4_K_M.gguf": 4_000 * MIB,
        "m-Q2_K.gguf": 2_000 * MIB,
    }
)


def gpu(gib: float, name: str = "CUDA0") -> Device:
    """One with so much free."""
    n_bytes = int(gib * GIB)
    return Device(
        name=name, description=f"a {name}", kind="gpu", backend="CUDA", free_bytes=n_bytes,
        total_bytes=n_bytes,
    )  # fmt: skip


def room(host: str, *gpus: Device, **options: Any) -> Room:
    """A window of 1,024 tokens."""
    return Room(1024, host, DeviceOptions(**options), machine=gpus)


@pytest.mark.parametrize(
    ("host", "gpus", "options", "chosen"),
    [
        ("20GiB", (), {}, "Q8_0"),
        ("7GiB", (), {}, "Q6_K"),
        ("3GiB", (), {}, "Q2_K"),
        # Weights that lie on a GPU take no memory of the host.
        ("3GiB", (gpu(24),), {}, "Q8_0"),
        ("3GiB", (gpu(24),), {"gpu_layers": 0}, "Q2_K"),
        # What lies there as a whole goes before more bits that do not.
        ("20GiB", (gpu(5.5),), {}, "Q4_K_M"),
        ("20GiB", (gpu(4, "CUDA0"), gpu(4, "CUDA1")), {}, "Q6_K"),
        ("20GiB", (gpu(5.5),), {"main_gpu": 0}, "Q4_K_M"),
        # What fits only in both together, or what was asked to lie there.
        ("6GiB", (gpu(3.5),), {}, "Q8_0"),
        ("3GiB", (gpu(2.9),), {}, "Q4_K_M"),
        ("20GiB", (gpu(6),), {"gpu_layers": "all"}, "Q6_K"),
    ],
)
def test_memory_of_gpus_counts(
    tiny_gguf: TinyGguf,
    host: str,
    gpus: tuple[Device, ...],
    options: dict[str, Any],
    chosen: str,
) -> None:
    """As the plan places layers."""
    info = ModelInfo.from_gguf(tiny_gguf("llama", n_layer=8))
    found = choose(VARIANTS, info, room(host, *gpus, **options))
    assert found is not None
    variant, why = found
    assert variant.label == chosen
    assert why.startswith(f"{chosen}, of 5 quantisations: with 1,024 tokens of")
    assert ("free on CUDA0" in why) == (bool(gpus) and options.get("gpu_layers") != 0)
    if len(gpus) == 1 and options.get("gpu_layers") == "all":
        assert variant.n_bytes < gpus[0].free_bytes + margin_bytes(gpus[0])


def test_where_gpus_do_not_suffice_either(tiny_gguf: TinyGguf) -> None:
    """The error names them, and what would fit."""
    info = ModelInfo.from_gguf(tiny_gguf("llama", n_layer=8))
    small = room("600MiB", gpu(1))
    assert choose(VARIANTS, info, small) is None
    error = none_fits("m", VARIANTS, info, small)
    assert isinstance(error, PlanError)
    assert "and the GPUs with 1,024 tokens: the smallest, Q2_K" in str(error)
