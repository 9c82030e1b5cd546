"""Layers on devices: sizes and free memory in, a decision out, and what it says of itself."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx import DeviceOptions, ModelInfo, PlanError, RequestError
from longctx.devices import Device
from longctx.planner import ContextPlan, estimate_memory, plan_on, usable_devices
from longctx.planner.placement import Load, by_shares, margin_bytes, place
from tests.conftest import TinyGguf

MIB, GIB = 2**20, 2**30


def gpu(name: str = "CUDA0", free: int = 24 * GIB, total: int = 24 * GIB, **more: Any) -> Device:
    """A GPU."""
    fields = {"description": f"a {name}", "kind": "gpu", "backend": name.rstrip("0123456789")}
    return Device(name=name, free_bytes=free, total_bytes=total, **{**fields, **more})


CPU = Device(name="CPU", description="", kind="processor", free_bytes=GIB, total_bytes=GIB)


def load(n: int = 10, **sizes: Any) -> Load:
    """``n`` layers of 10 and a cache of 2, an output of 10, and buffers of 5."""
    given = {"weights": (10,) * (n + 1), "experts": (0,) * (n + 1), "cache": (2,) * n + (0,)}
    return Load(**{**given, "compute": 5, **sizes})


def placed(size: Load, rooms: list[int], n_wanted: int | None = None, **asked: Any) -> Any:
    """Layers of each device by its number, and how many keep their experts behind."""
    devices = [(gpu(f"CUDA{i}"), room) for i, room in enumerate(rooms)]
    shares, n_experts = place(
        size,
        devices,
        DeviceOptions(**asked),
        n_wanted=size.n_layers if n_wanted is None else n_wanted,
    )
    return {int(share.device.name[-1]): share.n_layers for share in shares}, n_experts


SPARSE = {"weights": (10,) * 11, "experts": (8,) * 10 + (0,)}


@pytest.mark.parametrize(
    ("size", "rooms", "asked", "expected"),
    [
        # 10 layers with cache, the output, buffers: 10 · 12 + 10 + 5.
        (load(), [135], {}, ({0: 11}, 0)),
        # A layer less, and what visits the device for it is none here.
        (load(), [134], {}, ({0: 10}, 0)),
        (load(visiting=3), [135], {}, ({0: 11}, 0)),
        (load(visiting=3), [134], {}, ({0: 10}, 0)),
        (load(visiting=12), [134], {}, ({0: 9}, 0)),
        # The output goes first; where it does not fit, nothing does.
        (load(), [15], {}, ({0: 1}, 0)),
        (load(), [14], {}, ({}, 0)),
        (load(), [0], {}, ({}, 0)),
        # One device that has room for all is enough, the one with more of it.
        (load(), [135, 200], {}, ({1: 11}, 0)),
        (load(), [200, 135], {}, ({0: 11}, 0)),
        # Else evenly by what is free, each with buffers of its own.
        (load(), [80, 80], {}, ({0: 5, 1: 6}, 0)),
        (load(), [30, 130], {}, ({0: 1, 1: 10}, 0)),
        # And where all are too small, the first layers stay with the processor.
        (load(), [40, 40], {}, ({0: 2, 1: 3}, 0)),
        (load(), [0, 40], {}, ({1: 3}, 0)),
        # Keys and values elsewhere.
        (load(cache=(0,) * 11), [115], {}, ({0: 11}, 0)),
        # Shares that are given are llama.cpp's to keep: as many layers as fit under them.
        (load(), [200, 200], {"tensor_split": (3, 1)}, ({0: 9, 1: 2}, 0)),
        (load(), [200, 200], {"tensor_split": (0, 1)}, ({1: 11}, 0)),
        (load(), [50, 200], {"tensor_split": (1, 1)}, ({0: 3, 1: 3}, 0)),
        # Experts stay behind before layers do, of as few layers as suffice.
        (load(**SPARSE), [135], {}, ({0: 11}, 0)),
        (load(**SPARSE), [134], {}, ({0: 11}, 1)),
        (load(**SPARSE), [112], {}, ({0: 11}, 3)),
        (load(**SPARSE), [55], {}, ({0: 11}, 10)),
        (load(**SPARSE), [54], {}, ({0: 10}, 10)),
        (load(**SPARSE), [200], {"experts_on_cpu": 4}, ({0: 11}, 4)),
        (load(**SPARSE), [200], {"experts_on_cpu": "all"}, ({0: 11}, 10)),
        (load(**SPARSE), [112], {"experts_on_cpu": 0}, ({0: 9}, 0)),
    ],
)
def test_what_goes_where(
    size: Load, rooms: list[int], asked: dict[str, Any], expected: tuple[dict[int, int], int]
) -> None:
    """By tables."""
    assert placed(size, rooms, **asked) == expected


@given(
    weights=st.lists(st.integers(1, 50), min_size=2, max_size=20),
    rooms=st.lists(st.integers(0, 400), min_size=1, max_size=4),
    compute=st.integers(0, 20),
    sparse=st.booleans(),
)
def test_nothing_is_placed_where_it_does_not_fit(
    weights: list[int], rooms: list[int], compute: int, sparse: bool
) -> None:
    """Whatever the sizes; the layers are the last ones, and one more would not have fitted."""
    experts = (*(w // 2 * sparse for w in weights[:-1]), 0)
    size = Load(tuple(weights), experts, (1,) * len(weights), compute, visiting=max(weights))
    counts, n_experts = placed(size, rooms)
    n_placed = sum(counts.values())
    begin = size.n_layers - n_placed
    for device, count in sorted(counts.items()):
        layers = range(begin, begin + count)
        assert size.device(layers, n_experts, n_placed) <= rooms[device]
        begin += count
    if len(rooms) == 1 and n_placed < size.n_layers:
        more = range(size.n_layers - n_placed - 1, size.n_layers)
        sparse_layers = sum(map(bool, experts))
        assert size.device(more, sparse_layers, n_placed + 1) > rooms[0]


@pytest.mark.parametrize(
    ("n", "shares", "expected"),
    [(11, (1, 1), [6, 5]), (11, (3, 1), [9, 2]), (4, (0, 0, 1), [0, 0, 4]), (1, (1, 9), [1, 0])],
)
def test_shares_are_rounded_as_llama_cpp_does(
    n: int, shares: tuple[float, ...], expected: list[int]
) -> None:
    """``std::upper_bound`` over the ends of the shares."""
    assert by_shares(n, shares) == expected


def integrated(name: str = "Vulkan1", **more: Any) -> Device:
    """A GPU in the processor's memory."""
    return gpu(name, kind="integrated", is_unified=True, **more)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ([CPU], []),
        ([gpu(), CPU], ["CUDA0"]),
        ([integrated(), CPU], ["Vulkan1"]),
        ([integrated(), gpu(), CPU], ["CUDA0"]),
        ([gpu(), gpu("RPC0"), CPU], ["RPC0", "CUDA0"]),
        ([integrated(), gpu("RPC0"), CPU], ["RPC0", "Vulkan1"]),
        # The same GPU by two ways is one; two of one make are two.
        ([gpu(description="H100"), gpu("Vulkan0", description="H100")], ["CUDA0"]),
        ([gpu(description="H100"), gpu("CUDA1", description="H100")], ["CUDA0", "CUDA1"]),
        (
            [Device(name="BLAS", description="", kind="accelerator", free_bytes=0, total_bytes=0)],
            [],
        ),
    ],
)
def test_which_devices_take_layers(devices: list[Device], expected: list[str]) -> None:
    """As llama.cpp chooses them where nobody does."""
    assert [device.name for device in usable_devices(devices)] == expected


def tiny(tiny_gguf: TinyGguf, *devices: Device, **options: Any) -> ContextPlan:
    """A plan of a tiny model, for a machine with these devices."""
    return plan_on(
        devices, tiny_gguf("llama", n_layer=4), 1024, reserve_output=16, memory_limit=GIB, **options
    )


def with_room(n_bytes: int, **more: Any) -> Device:
    """A GPU of 2 GiB that has so much free besides its margin."""
    device = gpu(total=2 * GIB, **more)
    return device.model_copy(update={"free_bytes": margin_bytes(device) + n_bytes})


def test_without_a_gpu_nothing_changes(tiny_gguf: TinyGguf) -> None:
    """No reason, no warning, no place."""
    plan = tiny(tiny_gguf, CPU)
    info = ModelInfo.from_gguf(tiny_gguf("llama", n_layer=4))
    assert plan.memory == estimate_memory(info, 1024, limit_bytes=GIB)
    assert (plan.placement.shares, plan.warnings) == ((), ())
    assert plan.placement.attends_on_cpu
    assert not any("layer" in reason for reason in plan.reasons)


def test_with_one_all_of_it_goes_there(tiny_gguf: TinyGguf) -> None:
    """The plan says what lies where; what is left to the host is little."""
    plan = tiny(tiny_gguf, gpu(), CPU)
    (there,) = plan.memory.places
    assert (there.device, there.n_layers, there.free_bytes) == ("CUDA0", 5, 24 * GIB)
    assert there.kv_bytes == plan.memory.kv_bytes
    assert plan.placement.is_whole
    assert not plan.placement.attends_on_cpu
    host = plan.memory.host_bytes
    assert host == plan.memory.total_bytes - there.total_bytes
    assert 0 < host < there.total_bytes
    (said,) = (reason for reason in plan.reasons if "CUDA0" in reason)
    assert said.startswith("5 of 5 layers with their cache on CUDA0 (a CUDA0): ")
    assert "of 24.0 GiB free" in said
    assert "CUDA0" in repr(plan)
    assert "CUDA0" in repr(plan.memory)


def test_what_does_not_fit_stays(tiny_gguf: TinyGguf) -> None:
    """With numbers: how many layers, what one takes, and what a smaller cache would do."""
    whole = tiny(tiny_gguf, gpu()).memory.places[0].total_bytes
    plan = tiny(tiny_gguf, with_room(whole - 1))
    n = plan.placement.gpu_layers
    assert 0 < n < 5
    assert f"the first {5 - n} on the processor" in " ".join(plan.reasons)
    assert "At 1,024 tokens a layer takes" in " ".join(plan.reasons)
    assert plan.memory.places[0].total_bytes <= whole - 1
    assert plan.memory.host_bytes > tiny(tiny_gguf, gpu()).memory.host_bytes
    none = tiny(tiny_gguf, with_room(0))
    assert none.placement.shares == ()
    assert any("none fits" in reason for reason in none.reasons)


def test_the_host_need_not_hold_what_a_gpu_does(tiny_gguf: TinyGguf) -> None:
    """A limit of the host's memory is no limit of a GPU's; unified memory is counted with it."""
    path = tiny_gguf("llama", n_layer=4)
    limit = estimate_memory(ModelInfo.from_gguf(path), 8192).total_bytes * 3 // 4
    options: Any = {"reserve_output": 16, "memory_limit": limit, "kv_type": "f16"}
    assert plan_on((gpu(),), path, 8192, **options).memory.host_bytes <= limit
    for device in (CPU, integrated()):
        with pytest.raises(PlanError, match="largest window that fits") as caught:
            plan_on((device,), path, 8192, **options)
        assert caught.value.largest_ctx is not None


def test_texts_have_what_is_left_where_it_is_tightest(tiny_gguf: TinyGguf) -> None:
    """A second window is opened only where every device bears it."""
    whole = tiny(tiny_gguf, gpu()).memory.places[0]
    narrow = tiny(tiny_gguf, with_room(whole.total_bytes)).memory
    assert narrow.text_bytes <= narrow.spare_bytes < 1.01 * narrow.text_bytes
    wide = tiny(tiny_gguf, with_room(whole.total_bytes + 2 * whole.text_bytes)).memory
    assert 3 * wide.text_bytes <= wide.spare_bytes < 3.01 * wide.text_bytes
    host = tiny(tiny_gguf, CPU).memory
    assert host.spare_bytes == host.limit_bytes - host.fixed_bytes


def test_a_method_that_maps_the_weights_again_takes_them_twice(tiny_gguf: TinyGguf) -> None:
    """In a GPU's memory two copies are two; the file's pages are one."""
    path = tiny_gguf("llama", n_layer=4)  # trained for 1,024 tokens
    once = tiny(tiny_gguf, gpu()).memory.places[0].weights_bytes
    for method, n_ctx, window, copies in (
        ("ntk", 4096, "elastic", 1),
        ("ntk-by-parts", 1024, "fixed", 1),
        ("ntk-by-parts", 4096, "fixed", 2),
        ("ntk-by-parts", 2048, "elastic", 2),
        ("ntk-by-parts", 4096, "elastic", 3),
    ):
        plan = plan_on(
            (gpu(),), path, n_ctx, reserve_output=16, memory_limit=GIB, method=method, window=window
        )
        assert plan.memory.places[0].weights_bytes == copies * once


@pytest.mark.parametrize(
    ("options", "devices", "said"),
    [
        ({"main_gpu": 5}, (gpu(),), r"main_gpu is 5; this machine has 1 GPU .*: 0 CUDA0"),
        ({"main_gpu": 0}, (CPU,), r"this machine has 0 GPUs"),
        ({"tensor_split": (1, 1, 2)}, (gpu(),), r"tensor_split has 3 shares; .* 1 GPU"),
        ({"tensor_split": (1,)}, (), r"tensor_split has 1 share; .* 0 GPUs"),
        ({"gpu_layers": "all"}, (with_room(0),), r"gpu_layers is 'all'.* 0 fit: use"),
        ({"gpu_layers": 3}, (gpu(free=1),), r"gpu_layers is 3: 3 layers of .* take .* and CUDA0"),
        ({"experts_on_cpu": 2}, (gpu(),), r"is no mixture of experts"),
        ({"experts_on_cpu": "all"}, (), r"is no mixture of experts"),
    ],
)
def test_what_cannot_be_is_refused(
    tiny_gguf: TinyGguf, options: dict[str, Any], devices: tuple[Device, ...], said: str
) -> None:
    """Before anything is loaded, with what there is."""
    if "gpu_layers" in options:
        devices = tuple(device.model_copy(update={"free_bytes": 1}) for device in devices)
    with pytest.raises(PlanError, match=said):
        tiny(tiny_gguf, *devices, devices=DeviceOptions(**options))


def test_quantised_values_need_flash_attention(tiny_gguf: TinyGguf) -> None:
    """llama.cpp refuses them without; auto takes f16 then, and buffers are larger."""
    off = DeviceOptions(flash_attention="off")
    with pytest.raises(PlanError, match="flash attention, which is off"):
        tiny(tiny_gguf, gpu(), devices=off, kv_type="q8_0")
    plain, fused = tiny(tiny_gguf, CPU, devices=off), tiny(tiny_gguf, CPU)
    assert plain.kv_type_k == "f16"
    assert plain.memory.compute_bytes > fused.memory.compute_bytes


def test_one_of_several_gpus(tiny_gguf: TinyGguf) -> None:
    """By its number among those that can be used."""
    devices = (gpu("CUDA0"), gpu("CUDA1", free=12 * GIB), CPU)
    plan = tiny(tiny_gguf, *devices, devices=DeviceOptions(main_gpu=1))
    assert [share.device.name for share in plan.placement.shares] == ["CUDA1"]


def test_experts_stay_first(tiny_gguf: TinyGguf) -> None:
    """Of a real file: its expert tensors are known by their names."""
    path = tiny_gguf("gpt-oss", n_layer=4)
    info = ModelInfo.from_gguf(path)
    assert info.weights_layout.has_experts
    options: Any = {"reserve_output": 16, "memory_limit": GIB}
    whole = plan_on((gpu(),), path, 512, **options)
    need = whole.memory.places[0].total_bytes + info.weights_layout.largest
    plan = plan_on((with_room(need - info.weights_layout.experts[0]),), path, 512, **options)
    assert plan.placement.gpu_layers == plan.placement.n_layers
    assert plan.placement.expert_layers
    assert not plan.placement.is_whole
    n = len(plan.placement.expert_layers)
    assert f"the experts of {n} layers stay with the processor" in " ".join(plan.reasons)


@pytest.mark.parametrize("architecture", ["llama", "gpt-oss", "gemma3", "mamba", "deepseek2"])
def test_layers_and_the_rest_are_the_whole_file(tiny_gguf: TinyGguf, architecture: str) -> None:
    """Each tensor is counted once; embeddings twice where they are the output as well."""
    info = ModelInfo.from_gguf(tiny_gguf(architecture))
    layout = info.weights_layout
    assert len(layout.layers) == info.n_layer
    counted = sum(layout.layers) + layout.inputs + layout.output
    assert info.weights_bytes <= counted <= info.weights_bytes + layout.inputs


def test_the_shorthand(tiny_gguf: TinyGguf) -> None:
    """``n_gpu_layers`` is ``gpu_layers``; both are a contradiction."""
    assert tiny(tiny_gguf, gpu(), n_gpu_layers=2).placement.gpu_layers == 2
    assert tiny(tiny_gguf, gpu(), n_gpu_layers=-1).placement.gpu_layers == 5
    assert tiny(tiny_gguf, gpu(), n_gpu_layers=99).placement.gpu_layers == 5
    assert tiny(tiny_gguf, gpu(), n_gpu_layers="auto").placement.gpu_layers == 5
    plan = tiny(tiny_gguf, gpu(), n_gpu_layers=0)
    assert plan.placement.gpu_layers == 0
    assert "No layer on a GPU, as asked for." in plan.reasons
    with pytest.raises(RequestError, match="pass one of them"):
        tiny(tiny_gguf, gpu(), n_gpu_layers=2, devices=DeviceOptions())


@pytest.mark.parametrize(
    "wrong",
    [
        *({"gpu_layers": value} for value in (-2, 1.5, True, None, "many", 2**40)),
        *({"experts_on_cpu": value} for value in (-2, 0.5, False, "some")),
        *({"tensor_split": value} for value in ((), (0, 0), (-1, 2), "3,1", 3, (float("nan"),))),
        *({"main_gpu": value} for value in (-1, 1.5, True, "CUDA0")),
        {"main_gpu": 0, "tensor_split": (1, 1)},
        *({name: 1} for name in ("kv_on_gpu", "mmap", "mlock", "op_offload")),
        *({"n_batch": value} for value in (0, 63, 2**20, 512.0)),
        *({"n_ubatch": value} for value in (0, 513, "512")),
        *({"flash_attention": value} for value in (True, None, "yes")),
        {"numa": "spread"},
    ],
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    """Where they are written."""
    with pytest.raises(RequestError, match=next(iter(wrong))):
        DeviceOptions(**wrong)


def test_devices_are_device_options(tiny_gguf: TinyGguf) -> None:
    """And nothing else."""
    with pytest.raises(RequestError, match="DeviceOptions"):
        tiny(tiny_gguf, gpu(), devices={"gpu_layers": 1})


def test_no_layers_want_no_device(tiny_gguf: TinyGguf) -> None:
    """One switch turns a configuration off."""
    for asked in ({"main_gpu": 0}, {"tensor_split": (3, 1)}):
        plan = tiny(tiny_gguf, CPU, devices=DeviceOptions(gpu_layers=0, **asked))
        assert not plan.placement.shares


def test_one_text_at_least_may_be_had(tiny_gguf: TinyGguf) -> None:
    """Where layers were asked for on a device that is nearly full, or does not say what it has."""
    for device in (with_room(2**20), gpu(free=0, total=0)):
        with suppress(PlanError):
            memory = tiny(tiny_gguf, device, n_gpu_layers=-1).memory
            assert memory.spare_bytes >= memory.text_bytes
