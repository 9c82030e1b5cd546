"""What llama.cpp does with each option of devices, on what this machine has.

On a machine without a GPU all of it runs on the processor, and the tests of placements are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from longctx import DeviceOptions, LongContextLLM
from longctx._native import list_devices
from longctx.planner import usable_devices
from tests.conftest import TinyGguf

TINY = Path(__file__).parent.parent / "models" / "tiny-longctx.gguf"
GPUS = usable_devices(list_devices())
needs_gpu = pytest.mark.skipif(not GPUS, reason="this llama.cpp finds no GPU")
N_CTX = 512


def opened(path: Path = TINY, **options: Any) -> LongContextLLM:
    """A model on these devices, in a window of its own training."""
    return LongContextLLM(path, N_CTX, reserve_output=16, devices=DeviceOptions(**options))


def scores(llm: LongContextLLM) -> NDArray[np.float32]:
    """Nats of 200 tokens, which are several batches where these are small."""
    return llm.score(np.random.default_rng(0).integers(0, llm.engine.model.n_vocab, 200))


@pytest.fixture(scope="module")
def exact() -> NDArray[np.float32]:
    """What the processor alone computes."""
    with opened(gpu_layers=0) as llm:
        assert llm.plan.placement.attends_on_cpu
        return scores(llm)


def close(ours: NDArray[np.float32], exact: NDArray[np.float32]) -> None:
    """Equal but for rounding: kernels add up in other orders, and some in half precision."""
    np.testing.assert_allclose(ours, exact, atol=0.02 * float(np.abs(exact).max()))


def test_the_processor_is_listed() -> None:
    """With its memory; names are unique, for a plan keeps names."""
    devices = list_devices()
    (processor,) = (device for device in devices if device.kind == "processor")
    assert processor.total_bytes == pytest.approx(psutil.virtual_memory().total, rel=0.05)
    assert len({device.name for device in devices}) == len(devices)


@pytest.mark.parametrize(
    "options",
    [
        {"mmap": False},
        {"mmap": True},
        {"mlock": True},
        {"n_batch": 64},
        {"n_batch": 64, "n_ubatch": 32},
        {"n_batch": 512, "n_ubatch": 96},
        {"flash_attention": "on"},
        {"flash_attention": "off"},
        {"kv_on_gpu": False},
        {"op_offload": False},
    ],
    ids=str,
)
def test_options_change_how_and_not_what(
    options: dict[str, Any], exact: NDArray[np.float32]
) -> None:
    """The same scores, whatever the batches, the buffers and the way that the file is read."""
    with opened(**options) as llm:
        close(scores(llm), exact)


@pytest.mark.parametrize("options", [{}, {"experts_on_cpu": "all"}, {"experts_on_cpu": 1}], ids=str)
def test_experts_compute_the_same_wherever_they_lie(
    tiny_gguf: TinyGguf, options: dict[str, Any]
) -> None:
    """By a tensor override, which llama.cpp takes without a GPU as well.

    Where two experts are nearly as good, rounding chooses between them, so some tokens differ.
    """
    path = tiny_gguf("gpt-oss")
    with opened(path, gpu_layers=0) as here, opened(path, **options) as there:
        difference = np.abs(scores(there) - scores(here))
    assert np.quantile(difference, 0.9) < 0.1


def test_what_was_planned_is_what_is_taken(demo_gguf: Path) -> None:
    """Each buffer is known by its memory and use; together they are what the plan says."""
    with LongContextLLM(demo_gguf, 2048) as llm:
        llm.generate("Hi", max_tokens=1)
        buffers, memory = llm.engine.buffers, llm.plan.memory
    assert {buffer.use for buffer in buffers} == {"weights", "cache", "compute", "output"}
    for place in memory.places:
        taken = sum(buffer.n_bytes for buffer in buffers if buffer.memory == place.device)
        assert place.total_bytes == pytest.approx(taken, rel=0.15)
    cache = sum(buffer.n_bytes for buffer in buffers if buffer.use == "cache")
    assert cache == pytest.approx(memory.kv_bytes, rel=0.01)


@needs_gpu
@pytest.mark.parametrize(
    ("options", "n_layers"),
    [
        ({}, 5),
        ({"gpu_layers": "all"}, 5),
        ({"gpu_layers": 1}, 1),
        ({"gpu_layers": 3}, 3),
        ({"gpu_layers": 3, "op_offload": False}, 3),
        ({"gpu_layers": 3, "kv_on_gpu": False}, 3),
        ({"gpu_layers": 3, "flash_attention": "off"}, 3),
        ({"main_gpu": 0}, 5),
        ({"tensor_split": (1.0,) * len(GPUS)}, 5),
    ],
    ids=str,
)
def test_layers_compute_the_same_wherever_they_lie(
    options: dict[str, Any], n_layers: int, exact: NDArray[np.float32]
) -> None:
    """And llama.cpp puts the weights where the plan says."""
    with opened(**options) as llm:
        close(scores(llm), exact)
        assert llm.plan.placement.gpu_layers == n_layers
        names = {share.device.name for share in llm.plan.placement.shares}
        weights = {b.memory: b.n_bytes for b in llm.engine.buffers if b.use == "weights"}
        caches = {b.memory for b in llm.engine.buffers if b.use == "cache"}
        for place in llm.plan.memory.places:
            assert weights[place.device] == pytest.approx(place.weights_bytes, rel=0.05)
        on_gpu = options.get("kv_on_gpu", True) and n_layers > 1  # the output has no cache
        assert bool(caches & names) == on_gpu


@needs_gpu
@pytest.mark.parametrize("kv_type", ["q8_0", "q4_0"])
@pytest.mark.parametrize("n_layers", ["all", 2])
def test_quantised_values_on_a_gpu(kv_type: str, n_layers: Any, exact: NDArray[np.float32]) -> None:
    """They run, whether the GPU can fuse attention over them or the processor does it."""
    with LongContextLLM(
        TINY, N_CTX, reserve_output=16, kv_type=kv_type, n_gpu_layers=n_layers
    ) as llm:
        rough = 0.06 if kv_type == "q8_0" else 0.3
        np.testing.assert_allclose(scores(llm), exact, atol=rough * float(np.abs(exact).max()))


@needs_gpu
@pytest.mark.parametrize("method", ["self-extend", "ntk"])
def test_a_text_moves_between_devices(tmp_path: Path, method: str) -> None:
    """Grown on the GPU, saved, loaded by the processor, grown further, compressed there and here:
    the state has one form, and keys turn the same."""
    ids = np.random.default_rng(1).integers(0, 1000, 1500)
    file, seen = tmp_path / "a.session", []
    for layers in ("all", 0, 2):
        with LongContextLLM(
            TINY, 2048, reserve_output=16, method=method, kv_type="f16", n_gpu_layers=layers
        ) as llm:
            session = llm.load_session(file) if file.exists() else llm.session()
            if not session.n_tokens:
                session.feed(ids[:600])
                session.save(file)
            session.feed(ids[600:1400])
            assert session.prefilled_again == 0
            seen.append(session.next_nll(ids[1400:1440]).mean())
            session.compress(0.5)
            assert np.isfinite(session.next_nll(ids[1400:1440])).all()
    np.testing.assert_allclose(seen, seen[0], rtol=0.02)


ALONE = """
import sys
from longctx import DeviceOptions, LongContextLLM
devices = DeviceOptions(numa="isolate")
with LongContextLLM(sys.argv[1], 256, reserve_output=16, devices=devices) as llm:
    print(llm.generate("Hi", max_tokens=2).usage.completion_tokens)
"""


def test_nodes() -> None:
    """In a process of its own: threads are bound to nodes for as long as it lives."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(TINY)], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout.strip(), done.returncode) == ("2", 0), done.stderr


UNPRIVILEGED = """
import os, resource, sys
from longctx import DeviceOptions, PlanError, plan_context
from longctx._native import list_devices, lock_obstacle
path, n_bytes = sys.argv[1], int(sys.argv[2])
options = {"reserve_output": 16, "devices": DeviceOptions(gpu_layers=0, mlock=True)}
plan_context(path, 256, **options)
with open(path, "rb"):
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (n_bytes, n_bytes))
    if not os.getuid():
        os.setuid(65534)
print(lock_obstacle(n_bytes), lock_obstacle(n_bytes + 1))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of Linux")
def test_memory_that_may_not_be_locked() -> None:
    """The obstacle names what may be locked, what is needed, and how to raise it."""
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(TINY), str(2**16)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("None this process may lock 65,536 bytes, and ")
    assert "65,537; raise the limit (`ulimit -l unlimited`" in done.stdout
