"""LoRA adapters: what they add is what merged weights would say, and nobody mistakes them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from longctx import (
    LongContextLLM,
    ModelFileError,
    PlanError,
    SnapshotMismatchError,
    UnsupportedModelError,
    export_plan,
    plan_context,
)
from longctx._native import Context, ContextParams, LoraAdapter, Model, ModelParams, captured_log
from longctx.model_info import ModelInfo, read_adapter
from longctx.planner import estimate_memory
from tests.cache.test_session import IDS, opened
from tests.cli.test_commands import run
from tests.conftest import TinyGguf
from tests.planner.test_memory import logged
from tests.support.lora import Pair, write_f32, write_lora
from tests.support.rounding import coarser

TINY = Path(__file__).parents[1] / "models" / "tiny-longctx.gguf"
N_EMBD, N_FF = 160, 416
Q, DOWN = "blk.0.attn_q.weight", "blk.2.ffn_down.weight"


def pair(n_out: int, n_in: int, rank: int = 1, seed: int = 0) -> Pair:
    """Random A [rank, in] and B [out, rank] that change a logit visibly."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((rank, n_in), dtype=np.float32) / np.float32(np.sqrt(n_in))
    return a, np.float32(0.3) * rng.standard_normal((n_out, rank), dtype=np.float32)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in float32, so that nothing is rounded but by arithmetic."""
    return write_f32(TINY, tmp_path_factory.mktemp("f32") / "tiny.gguf")


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rank-1 adapter of one tensor."""
    return write_lora(tmp_path_factory.mktemp("lora") / "lora.gguf", {Q: pair(256, N_EMBD)})


def scores(path: Path, n: int = 200, target_ctx: int = 512, **options: Any) -> NDArray[np.float32]:
    """Negative log-likelihoods of a fixed text."""
    with opened(path, target_ctx, **options) as llm:
        return llm.score(IDS[:n])


def test_scale_0_is_no_adapter(lora: Path) -> None:
    """To the bit, and at scale 1 it does change the model."""
    without = scores(TINY)
    np.testing.assert_array_equal(scores(TINY, adapters=[(lora, 0)]), without)
    assert np.abs(scores(TINY, adapters=[lora]) - without).max() > 0.05


@pytest.mark.parametrize(
    ("names", "alpha", "scale"),
    [([Q], None, 1.0), ([Q], None, 0.8), ([DOWN], None, -0.5), ([Q, DOWN], 6.0, 0.5)],
)
def test_an_adapter_is_what_merged_weights_are(
    plain: Path, tmp_path: Path, names: list[str], alpha: float | None, scale: float
) -> None:
    """One tensor, two, of rank 1 and 3, with LoRA's own scale and ours: W + s (alpha/r) B A."""
    shapes = {Q: (256, N_EMBD), DOWN: (N_EMBD, N_FF)}
    rank = 1 if alpha is None else 3
    pairs = {name: pair(*shapes[name], rank, seed) for seed, name in enumerate(names)}
    adapter = write_lora(tmp_path / "lora.gguf", pairs, alpha=alpha)
    by = np.float32(scale * (alpha / rank if alpha else 1))
    merged = write_f32(
        TINY, tmp_path / "merged.gguf", {name: by * (b @ a) for name, (a, b) in pairs.items()}
    )
    expected = scores(merged)
    np.testing.assert_allclose(
        scores(plain, adapters=[(adapter, scale)]), expected, atol=0.01 * coarser()
    )
    assert np.abs(scores(plain) - expected).max() > 0.2


def test_two_adapters_add_up(plain: Path, tmp_path: Path) -> None:
    """Each with its own scale, on the same tensor and on another."""
    first, second = pair(256, N_EMBD, 1, 1), pair(256, N_EMBD, 2, 2)
    one = write_lora(tmp_path / "one.gguf", {Q: first})
    two = write_lora(tmp_path / "two.gguf", {Q: second, DOWN: pair(N_EMBD, N_FF)})
    a, b = pair(N_EMBD, N_FF)
    added = {
        Q: np.float32(0.5) * (first[1] @ first[0]) + np.float32(0.25) * (second[1] @ second[0]),
        DOWN: np.float32(0.25) * (b @ a),
    }
    merged = write_f32(TINY, tmp_path / "merged.gguf", added)
    both = scores(plain, adapters=[(one, 0.5), (two, 0.25)])
    np.testing.assert_allclose(both, scores(merged), atol=0.01 * coarser())


@pytest.mark.parametrize("method", ["ntk-by-parts", "self-extend"])
def test_grown_windows_have_it_too(plain: Path, tmp_path: Path, method: str) -> None:
    """Past the trained window, also where the weights are mapped once more for the RoPE."""
    pairs = {"blk.1.attn_k.weight": pair(128, N_EMBD)}
    adapter = write_lora(tmp_path / "lora.gguf", pairs)
    ((name, (a, b)),) = pairs.items()
    merged = write_f32(TINY, tmp_path / "merged.gguf", {name: b @ a})
    found, expected = (
        scores(path, 900, 1024, method=method, adapters=adapters)
        for path, adapters in ((plain, [adapter]), (merged, []))
    )
    np.testing.assert_allclose(found, expected, atol=0.02 * coarser())


# What is refused


@pytest.fixture(
    params=[
        ("architecture", "'qwen2'"),
        ("shape", "another model"),
        ("missing tensor", "blk.9.*not there"),
        ("half a pair", "half of a pair"),
        ("whole module", "no LoRA matrix"),
        ("control vector", "'control_vector'"),
        ("activated", "activated LoRA"),
    ],
    ids=lambda param: param[0],
)
def unfit(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """An adapter that does not belong to the tiny model, and what is said of it."""
    kind, said = request.param
    path, good = tmp_path / "lora.gguf", {Q: pair(256, N_EMBD)}
    a, b = good[Q]
    made: dict[str, Any] = {
        "architecture": {"pairs": good, "architecture": "qwen2"},
        "shape": {"pairs": {Q: pair(256, 128)}},
        "missing tensor": {"pairs": {"blk.9.attn_q.weight": good[Q]}},
        "half a pair": {"pairs": good, "others": {f"{DOWN}.lora_a": a}},
        "whole module": {"pairs": good, "others": {"output.weight": b}},
        "control vector": {"pairs": good, "changes": {"adapter.type": "control_vector"}},
        "activated": {"pairs": good, "changes": {"adapter.alora.invocation_tokens": [1, 2]}},
    }[kind]
    return write_lora(path, **made), said


def test_an_adapter_of_another_model_is_refused(unfit: tuple[Path, str]) -> None:
    """Before the weights are read, with what is wrong."""
    path, said = unfit
    with pytest.raises(UnsupportedModelError, match=said):
        plan_context(TINY, 512, adapters=[path])


def test_files_that_are_no_adapter() -> None:
    """A model in an adapter's place, no file, an empty one, a model's place for an adapter."""
    with pytest.raises(UnsupportedModelError, match="no LoRA adapter but a 'model'"):
        plan_context(TINY, 512, adapters=[TINY])
    with pytest.raises(ModelFileError, match="no file"):
        LongContextLLM(TINY, 512, adapters=["no-such-lora.gguf"])


def test_an_adapter_in_a_models_place(lora: Path) -> None:
    """It is named for what it is."""
    with pytest.raises(UnsupportedModelError, match="adapter"):
        LongContextLLM(lora, 512)


@pytest.mark.parametrize(
    "wrong",
    ["lora.gguf", [("lora.gguf", "much")], [("lora.gguf", float("nan"))], [("lora.gguf",)], [3],
     [(3, 0.5)], [("lora.gguf", True)], 7],
)  # fmt: skip
def test_nonsense_is_a_plan_error(wrong: Any) -> None:
    """A list of paths, or of paths and numbers, is wanted."""
    with pytest.raises(PlanError, match=r"lora\.gguf"):
        plan_context(TINY, 512, adapters=wrong)


@pytest.mark.parametrize(
    "command",
    [["chat", "MODEL"], ["ask", "README.md", "Why?", "--model", "MODEL"], ["serve", "MODEL"],
     ["plan", "MODEL"], ["export", "MODEL", "--to", "ollama"]],
    ids=lambda command: command[0],
)  # fmt: skip
def test_commands_take_adapters_to_the_model(command: list[str], tmp_path: Path) -> None:
    """Each refuses one of another model, with its scale read off."""
    other = write_lora(tmp_path / "other.gguf", {Q: pair(256, 128)})
    words = [str(TINY) if word == "MODEL" else word for word in command]
    done = run(*words, "--target-ctx", "2048", "--adapter", f"{other}:0.5", ok=False)
    assert done.returncode == 1
    assert "UnsupportedModelError" in done.stderr
    assert "other.gguf changes blk.0.attn_q.weight" in done.stderr


# Plan and sessions


def test_the_plan_has_and_shows_it(lora: Path) -> None:
    """Its memory, its file and its scale; a plan opens what it says."""
    plan = plan_context(TINY, 512, adapters=[(lora, 0.8)])
    bare = plan_context(TINY, 512)
    assert plan.memory.adapters_bytes == (256 + N_EMBD) * 4
    assert plan.memory.total_bytes > bare.memory.total_bytes
    assert "lora.gguf at 0.8 (rank 1, 1 tensors)" in repr(plan)
    assert "adapters" in repr(plan.memory)
    expected = scores(TINY, adapters=[(lora, 0.8)])
    with LongContextLLM(TINY, plan=plan, n_threads=1) as llm:
        np.testing.assert_array_equal(llm.score(IDS[:200]), expected)


def test_the_memory_is_what_llama_cpp_takes(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Of the adapter exactly, and of the compute buffer, which grows with its rank."""
    path = tiny_gguf("llama", n_ff=512, n_layer=6)
    widths = {"ffn_up": (512, 64), "ffn_gate": (512, 64), "ffn_down": (64, 512), "attn_q": (64, 64)}
    pairs = {
        f"blk.{i}.{name}.weight": pair(*n, 128) for i in range(6) for name, n in widths.items()
    }
    file = write_lora(tmp_path / "lora.gguf", pairs)
    adapter = read_adapter(file, 1.0, ModelInfo.from_gguf(path))
    with captured_log() as lines:
        model = Model(path, params=ModelParams(devices=()))
        lora = LoraAdapter(model, file, 1.0)
    assert adapter.n_bytes == pytest.approx(logged(lines, "LoRA"), abs=0.01 * 2**20)
    with captured_log() as lines:
        context = Context(model, ContextParams(n_ctx=1024), [lora])
        context.decode(IDS[:512], 0)
    context.close()
    lora.close()
    model.close()
    estimate = estimate_memory(ModelInfo.from_gguf(path), 1024, adapters=[adapter])
    reserved = [line for line in lines if "compute buffer size" in line]
    assert estimate.compute_bytes == pytest.approx(logged(reserved[-1:], "compute"), rel=0.01)


def test_a_saved_session_belongs_to_its_adapters(lora: Path, tmp_path: Path) -> None:
    """Neither loads the other's, nor another scale's; scale 0 is none."""
    files = {}
    for name, adapters in {"with": [lora], "without": []}.items():
        files[name] = tmp_path / f"{name}.session"
        with opened(TINY, adapters=adapters) as llm, llm.session() as session:
            session.feed(IDS[:100])
            session.save(files[name])
    for name, adapters in {"without": [lora], "with": []}.items():
        with (
            opened(TINY, adapters=adapters) as llm,
            pytest.raises(SnapshotMismatchError, match="other LoRA adapters"),
        ):
            llm.load_session(files[name])
    with (
        opened(TINY, adapters=[(lora, 0.5)]) as llm,
        pytest.raises(SnapshotMismatchError, match=r"at 1, here \w+… at 0\.5"),
    ):
        llm.load_session(files["with"])
    with opened(TINY, adapters=[lora]) as llm:
        assert llm.load_session(files["with"]).tokens == tuple(IDS[:100])
    with opened(TINY, adapters=[(lora, 0)]) as llm:
        assert llm.load_session(files["without"]).tokens == tuple(IDS[:100])


def test_cache_dir_keeps_them_apart(lora: Path, tmp_path: Path) -> None:
    """A conversation that was kept with an adapter is not continued without it."""
    text = "word " * 700
    for adapters, cached in (([], False), ([lora], False), ([lora], True)):
        with opened(TINY, 2048, adapters=adapters, cache_dir=tmp_path, reserve_output=4) as llm:
            usage = llm.generate(text, max_tokens=1).usage
            assert (usage.cached_tokens > 1000) is cached


def test_exports_name_it_or_say_that_they_cannot(lora: Path) -> None:
    """llama-server has flags for adapters; of the others none is forgotten in silence."""
    plan = plan_context(TINY, 512, adapters=[(lora, 0.5), lora])
    flags = shlex.split(export_plan(plan, "llama-server").text)
    assert flags[flags.index("--lora-scaled") + 1] == f"{lora}:0.5"
    assert flags[flags.index("--lora") + 1] == str(lora)
    for engine in ("ollama", "koboldcpp", "vllm", "transformers"):
        lost = export_plan(plan, engine).cannot
        assert any("lora.gguf at 0.5" in line for line in lost), engine
        assert not any(
            "LoRA" in line for line in export_plan(plan_context(TINY, 512), engine).cannot
        )
