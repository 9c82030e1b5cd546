"""The memory estimate against what llama.cpp says it allocated."""

import re
from pathlib import Path

import pytest

from longctx._native import Context, ContextParams, Model, ModelParams, captured_log
from longctx.errors import PlanError
from longctx.model_info import ModelInfo, format_bytes
from longctx.planner import estimate_memory
from longctx.planner.memory_limit import free_bytes, resolve_memory_limit
from tests.conftest import TinyGguf


def logged(lines: list[str], what: str) -> float:
    """Bytes; the log gives hundredths of a MiB."""
    found = (re.search(rf"{what} buffer size = *([\d.]+) MiB", line) for line in lines)
    return sum(float(match[1]) for match in found if match) * 2**20


def check(path: Path, n_ctx: int, kv_type: str) -> None:
    """Open a context and hold the estimate against its log."""
    info = ModelInfo.from_gguf(path)
    with captured_log() as lines:
        model = Model(path, params=ModelParams(devices=()))  # what a GPU takes: test_devices.py
        context = Context(model, ContextParams(n_ctx=n_ctx, kv_type_k=kv_type, kv_type_v=kv_type))
    context.close()
    estimate = estimate_memory(info, n_ctx, kv_type=kv_type)  # type: ignore[arg-type]  # a text
    n_buffers = sum("KV buffer" in line or "RS buffer" in line for line in lines)
    cache = logged(lines, "KV") + logged(lines, "RS")
    assert abs(estimate.kv_bytes - cache) <= 0.005 * 2**20 * n_buffers + 64
    total = cache + logged(lines, "CPU_Mapped model")
    total += logged(lines, "compute") + logged(lines, "output")
    native = estimate.total_bytes - estimate.checkpoints_bytes
    assert native == pytest.approx(total, rel=0.10)


@pytest.mark.parametrize("n_ctx", [256, 1024, 4096])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "phi3", "stablelm"])
def test_tiny_models(tiny_gguf: TinyGguf, architecture: str, n_ctx: int, kv_type: str) -> None:
    """Cache exact, total within 10 %: full attention, GQA, sliding windows."""
    check(tiny_gguf(architecture, n_ff=512, n_layer=6), n_ctx, kv_type)


@pytest.mark.parametrize("architecture", ["deepseek2", "mamba"])
def test_compressed_keys_and_recurrent_states(tiny_gguf: TinyGguf, architecture: str) -> None:
    """MLA has no values; a recurrent state has one size for every window."""
    check(tiny_gguf(architecture, n_layer=3), 2048, "f16")


def test_heads_that_differ_by_layer(tiny_gguf: TinyGguf) -> None:
    """The naive formula takes one head count for all layers."""
    # The generator writes every layer with 2; the estimate alone is compared, by hand.
    path = tiny_gguf("llama", metadata={"llama.attention.head_count_kv": [2, 1, 2]})
    estimate = estimate_memory(ModelInfo.from_gguf(path), 1024)
    assert estimate.kv_bytes == 1024 * (2 + 1 + 2) * 32 * 2 * 2


def test_the_demo_model(demo_gguf: Path) -> None:
    """A real model in a small window."""
    check(demo_gguf, 1024, "f16")


def test_sliding_layers_do_not_grow(tiny_gguf: TinyGguf) -> None:
    """Doubling the window doubles only the layers that see all of it (two of six)."""
    info = ModelInfo.from_gguf(tiny_gguf("gemma3"))
    growth = estimate_memory(info, 8192).kv_bytes - estimate_memory(info, 4096).kv_bytes
    assert growth == 4096 * 2 * (32 + 32) * 2


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("6GiB", 6 * 2**30), ("512 MiB", 512 * 2**20), ("2GB", 2 * 10**9), ("1.5g", 1_500_000_000),
     ("4096", 4096), (12345, 12345)],
)  # fmt: skip
def test_limits_are_read(text: int | str, n_bytes: int) -> None:
    """Binary and decimal units, and plain bytes."""
    assert resolve_memory_limit(text)[0] == n_bytes


@pytest.mark.parametrize("limit", ["lots", "", "-1GiB", 0, -5, True, 1.5, "0", "6XB", "1e400"])
def test_limits_that_are_no_size(limit: object) -> None:
    """Each is refused with examples of what would do."""
    with pytest.raises(PlanError, match="6GiB"):
        resolve_memory_limit(limit)  # type: ignore[arg-type]  # that it is refused is the test


def test_free_memory_less_a_margin() -> None:
    """No limit means what is free, and not all of it."""
    limit, source = resolve_memory_limit(None)
    assert 0 < limit < free_bytes() * 0.99
    assert "free now" in source


def test_bytes_for_people() -> None:
    """Three significant digits, and no 1024 of anything."""
    assert [format_bytes(n) for n in (0, 1023, 1024, 1024**2 - 1, 98_300_000, 6 * 2**30)] == [
        "0 B", "1023 B", "1.00 KiB", "1.00 MiB", "93.7 MiB", "6.00 GiB",
    ]  # fmt: skip
