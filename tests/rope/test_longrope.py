"""Longrope: factors that llama.cpp runs from a second file, and re-rotating between them."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from longctx import (
    LongContextLLM,
    PlanError,
    UnsupportedModelError,
    export_plan,
    plan_context,
)
from longctx._native import Context, Model
from longctx.backends.frequency_factors import factors_file, load_with_factors
from longctx.model_info import ModelInfo
from longctx.planner import Profile, ProfileParameters
from longctx.rope import rope_config
from tests.conftest import TinyGguf
from tests.models import TINY
from tests.rope.native_keys import POSITIONS, assert_rotated, lone_keys, native_params

FACTORS = tuple(np.geomspace(1, 3, 16).round(4).tolist())
SHAPE = {"n_rot": 32, "base": 10_000.0, "original_ctx": 1024}


def longrope_profile(info: ModelInfo, n_rot: int) -> Profile:
    """As a calibration would leave it, for twice the window."""
    factors = tuple(np.geomspace(1, 2, n_rot // 2).tolist())
    return Profile(
        model_sha256=info.sha256,
        method="longrope",
        window=2 * info.n_ctx_train,
        parameters=ProfileParameters(frequency_factors=factors, factors_scale=2.0),
    )


def test_gguf_py_reads_the_file(tmp_path: Path) -> None:
    """One tensor, one key."""
    path = tmp_path / "factors.gguf"
    path.write_bytes(factors_file(FACTORS, number=3))
    reader = gguf.GGUFReader(path)
    assert reader.get_field("split.no").contents() == 3
    (tensor,) = reader.tensors
    assert tensor.name == "rope_freqs.weight"
    np.testing.assert_array_equal(tensor.data, np.array(FACTORS, np.float32))


def test_llama_cpp_runs_the_factors(tiny_gguf: TinyGguf) -> None:
    """Every layer's keys rotate by θ/λ, at LongRoPE's temperature, and the file is as it was."""
    path = tiny_gguf("llama")
    info = ModelInfo.from_gguf(path)
    rope = rope_config("longrope", scale=3.0, searched_factors=FACTORS, **SHAPE)
    plain = rope_config("none", scale=1.0, **SHAPE)
    unrotated = lone_keys(Context(Model(path), native_params(plain)), 0)
    context = Context(load_with_factors(info, rope), native_params(rope))
    assert rope.attention_factor > 1
    for position in POSITIONS:
        for before, native in zip(unrotated, lone_keys(context, position), strict=True):
            assert_rotated(before, native, position, rope, rope_type="norm", n_rot=32, head_dim=32)
    assert ModelInfo.from_gguf(path).frequency_factors is None


def test_a_window_grows_to_the_factors() -> None:
    """Elastic: as trained, re-rotated to the factors' power for each window; no second prefill."""
    info = ModelInfo.from_gguf(TINY)
    profile = longrope_profile(info, info.n_rot)
    with LongContextLLM(TINY, 1024, profile=profile, reserve_output=0) as llm:
        assert llm.plan.method == "longrope"
        session = llm.session()
        session.feed("The seller bears the risk until delivery. " * 10)
        assert session.rope.scale == 1
        session.grow(1024)
        assert session.rope.frequency_factors == pytest.approx(profile.parameters.frequency_factors)
        assert session.prefilled_again == 0
        session.feed("The buyer pays the price. " * 20)


def test_the_factors_of_other_scales() -> None:
    """A power: none at 1, the measured ones at theirs, their square at its square."""
    info = ModelInfo.from_gguf(TINY)
    profile = longrope_profile(info, 64)
    measured = np.array(profile.parameters.frequency_factors)
    assert profile.parameters.factors_at(1.0) == pytest.approx([1.0] * 32)
    np.testing.assert_allclose(profile.parameters.factors_at(4.0), measured**2)


def test_longrope_without_a_calibration_is_refused() -> None:
    """No formula gives its factors; the message says what does."""
    with pytest.raises(PlanError, match="longctx calibrate"):
        plan_context(TINY, 1024, method="longrope", reserve_output=0)
    with pytest.raises(PlanError, match="longctx calibrate"):
        rope_config("longrope", scale=2.0, **SHAPE)


@pytest.mark.parametrize("case", ["qwen2", "scaled"])
def test_models_that_cannot_have_factors(tiny_gguf: TinyGguf, case: str) -> None:
    """Refused before llama.cpp sees it."""
    path = tiny_gguf("qwen2") if case == "qwen2" else tiny_gguf("llama", rope_freqs=[2.0] * 16)
    rope = rope_config("longrope", scale=3.0, searched_factors=FACTORS, **SHAPE)
    with pytest.raises(UnsupportedModelError, match="longrope cannot serve"):
        load_with_factors(ModelInfo.from_gguf(path), rope)


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_the_factors_are_exported(engine: str) -> None:
    """As transformers' own longrope: the divisors of the plan, and its temperature."""
    info = ModelInfo.from_gguf(TINY)
    profile = longrope_profile(info, info.n_rot)
    plan = plan_context(info, 2048, profile=profile, reserve_output=0)
    found = json.loads(export_plan(plan, engine).text)
    parameters = found["rope_parameters"]
    assert parameters["rope_type"] == "longrope"
    assert parameters["long_factor"] == pytest.approx(plan.rope.frequency_factors)
    assert parameters["attention_factor"] == plan.rope.attention_factor


@pytest.mark.parametrize("engine", ["llama-server", "ollama", "koboldcpp"])
def test_engines_without_factors_say_so(engine: str) -> None:
    """Another method stands in, by name."""
    info = ModelInfo.from_gguf(TINY)
    plan = plan_context(info, 2048, profile=longrope_profile(info, 64), reserve_output=0)
    found = export_plan(plan, engine)
    assert found.method == "yarn"
    assert "longrope" in found.cannot[0]
