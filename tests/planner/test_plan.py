"""Choices, their reasons, and the refusals."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.errors import ContextOverflowError, PlanError, UnsupportedModelError
from longctx.model_info import ModelInfo
from longctx.planner import (
    ContextPlan,
    Profile,
    ProfileParameters,
    SelfExtendConfig,
    estimate_memory,
    plan_context,
    plan_on,
)
from longctx.planner.method import FALLBACK
from tests.conftest import TinyGguf


@pytest.fixture(autouse=True)
def no_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plan as on a machine where nothing was calibrated."""
    monkeypatch.setattr("longctx.planner.profile.profiles_dir", lambda: tmp_path / "profiles")


@pytest.fixture(scope="module")
def smollm(demo_gguf: Path) -> ModelInfo:
    """The demo model, trained for 8,192 tokens."""
    return ModelInfo.from_gguf(demo_gguf)


def plan(model: Any, target_ctx: Any, **options: Any) -> ContextPlan:
    """Plan with memory enough and no GPU, whatever machine the test runs on."""
    return plan_on((), model, target_ctx, **{"memory_limit": "8GiB", **options})


def warned(plan: ContextPlan, about: str) -> bool:
    """Whether a warning says so."""
    return any(about in warning for warning in plan.warnings)


def test_a_fixed_window_is_ntk_aware(smollm: ModelInfo) -> None:
    """b' = b·s^(d/(d-2)) at s = 2 (DESIGN section 2)."""
    p = plan(smollm, 16384, window="fixed")
    assert (p.method, p.scale, p.n_ctx, p.n_ctx_train) == ("ntk", 2, 16384, 8192)
    assert p.rope.freq_base == pytest.approx(1e5 * 2 ** (64 / 62))
    assert p.self_extend is None
    assert (p.kv_type_k, p.kv_type_v, p.profile) == ("f16", "f16", None)
    assert not p.warnings


def test_an_elastic_window_extends_itself(smollm: ModelInfo, tiny_gguf: TinyGguf) -> None:
    """Positions are grouped where the model allows it; where it does not, the reason is given."""
    p = plan(smollm, 16384)
    assert (p.method, p.scale, p.rope.method, p.window) == ("self-extend", 2, "none", "elastic")
    assert p.self_extend is not None
    assert (p.self_extend.group, p.self_extend.block, p.self_extend.start) == (8, 2048, 6144)
    assert "as trained up to 8,192 tokens, then 16,384 tokens" in p.reasons[-1]
    for architecture in ("gemma3", "qwen2vl", "deepseek2"):
        assert plan(tiny_gguf(architecture), 2048).method == "self-extend"
    assert any("keys of the 2 layers" in r for r in plan(tiny_gguf("gemma3"), 2048).reasons)
    far = plan(tiny_gguf(n_ctx_train=512), 32_768)
    assert far.method == FALLBACK
    assert any("of 512 tokens reaches 16,767 with it" in text for text in far.reasons)
    assert "2,048 tokens (s = 2)" in plan(tiny_gguf(), 2048, method="yarn").reasons[-1]
    with pytest.raises(PlanError, match="window"):
        plan(smollm, 16384, window="rubber")


def test_path_serves_as_well(demo_gguf: Path) -> None:
    """A string or a Path is read first."""
    assert plan(str(demo_gguf), 8192).scale == 1


@pytest.mark.parametrize("target", [1, 300, 8000, 8192])
@pytest.mark.parametrize("method", ["auto", "yarn", "none"])
def test_within_the_trained_window_nothing_is_scaled(
    smollm: ModelInfo, target: int, method: str
) -> None:
    """Whatever method was named, and n_ctx is what was asked for."""
    p = plan(smollm, target, method=method, reserve_output=0)
    assert (p.method, p.scale, p.rope.freq_base) == ("none", 1, 1e5)
    assert p.n_ctx == target
    assert not p.warnings


def test_the_window_is_the_one_asked_for_and_the_memory_that_of_whole_blocks(
    smollm: ModelInfo,
) -> None:
    """llama.cpp rounds cells up to 256 (trap 9); limit and scale are those of the wish."""
    p = plan(smollm, 12_000)
    assert p.n_ctx == 12_000
    assert p.scale == 12_000 / 8192
    assert p.memory == plan(smollm, 12_032).memory


@pytest.mark.parametrize("method", ["linear", "ntk", "dynamic", "ntk-by-parts", "yarn"])
def test_each_method_can_be_had(smollm: ModelInfo, method: str) -> None:
    """The lowest frequency is stretched by s under each of them."""
    p = plan(smollm, 32768, method=method)
    assert (p.method, p.scale) == (method, 4)
    unscaled = p.rope_at(8192).frequencies(64)
    assert p.rope.frequencies(64)[-1] == pytest.approx(unscaled[-1] / 4)


def test_none_past_the_window_is_a_baseline(smollm: ModelInfo) -> None:
    """Allowed, with a warning."""
    p = plan(smollm, 16384, method="none")
    assert (p.method, p.scale, p.rope.freq_base) == ("none", 1, 1e5)
    assert warned(p, "never saw")


def test_warnings_grow_with_the_scale(smollm: ModelInfo) -> None:
    """NTK from s = 3, everything above s = 4."""
    assert not warned(plan(smollm, 16384, method="ntk"), "failed at 3.3 times")
    assert warned(plan(smollm, 24576, window="fixed"), "failed at 3.3 times")
    assert not warned(plan(smollm, 32768), "above 4")
    assert warned(plan(smollm, 40960), "above 4")
    assert not warned(plan(smollm, 32768, method="yarn"), "failed at 3.3 times")


def test_scaled_files_and_sliding_layers_are_warned_of(tiny_gguf: TinyGguf) -> None:
    """Traps 4 and 5; Self-Extend leaves sliding layers as they are."""
    yarn = {"type": "yarn", "factor": 4.0, "original_context_length": 256}
    scaled = plan(tiny_gguf("qwen2", rope_scaling=yarn), 2048, window="fixed")
    assert warned(scaled, "already scales its RoPE (yarn x4 from 256 tokens)")
    assert scaled.rope.freq_scale == 0.25
    assert warned(plan(tiny_gguf("gemma3"), 2048, method="yarn"), "4 of 6 layers slide")
    assert not warned(plan(tiny_gguf("gemma3"), 2048), "layers slide")


def test_model_without_rope_is_refused(tiny_gguf: TinyGguf) -> None:
    """No pretence of an effect; as it is, it may go on."""
    path = tiny_gguf("mamba")
    with pytest.raises(UnsupportedModelError, match="method='none'"):
        plan(path, 2048)
    with pytest.raises(UnsupportedModelError):
        plan(path, 2048, method="yarn")
    assert plan(path, 1024, reserve_output=0).method == "none"
    assert warned(plan(path, 2048, method="none"), "no scaling can help")


def test_kv_types_follow_memory(smollm: ModelInfo) -> None:
    """f16 while it fits, then q8_0, then q4_0, then a refusal that says what would fit."""
    sizes = {
        kv: estimate_memory(smollm, 32768, kv_type=kv).total_bytes for kv in ("f16", "q8_0", "q4_0")
    }
    for kv, size in sizes.items():
        p = plan(smollm, 32768, memory_limit=size)
        assert (p.kv_type_k, p.kv_type_v) == (kv, kv)
        assert p.memory.total_bytes == p.memory.limit_bytes == size
    assert warned(plan(smollm, 32768, memory_limit=sizes["q4_0"]), "q4_0")
    with pytest.raises(PlanError) as caught:
        plan(smollm, 32768, memory_limit=sizes["q4_0"] - 1)
    assert caught.value.largest_ctx == 32512
    assert "target_ctx=32512" in str(caught.value)


def test_largest_ctx_fits_and_the_next_does_not(smollm: ModelInfo) -> None:
    """The window offered can be had, and is the largest."""
    with pytest.raises(PlanError) as caught:
        plan(smollm, 65536, memory_limit="400MiB", kv_type="f16")
    largest = caught.value.largest_ctx
    assert largest
    assert plan(smollm, largest, memory_limit="400MiB", kv_type="f16").n_ctx == largest
    with pytest.raises(PlanError):
        plan(smollm, largest + 256, memory_limit="400MiB", kv_type="f16")


def test_heads_that_no_block_divides_stay_in_f16(tiny_gguf: TinyGguf) -> None:
    """llama.cpp refuses quantised keys of 48 elements a head."""
    path = tiny_gguf("llama", head_dim=48, n_rot=48)
    need = estimate_memory(ModelInfo.from_gguf(path), 4096).total_bytes
    with pytest.raises(PlanError, match="with f16"):
        plan(path, 4096, memory_limit=need - 1)
    with pytest.raises(PlanError, match="48 key elements"):
        plan(path, 4096, kv_type="q8_0")


@pytest.mark.parametrize(
    ("target", "options"),
    [
        (0, {}),
        (-1, {}),
        (10_000_000, {}),
        (2**40, {}),
        (True, {}),
        (16384.0, {}),
        ("16k", {}),
        (None, {}),
        (16384, {"method": "magic"}),
        (16384, {"method": None}),
        (16384, {"method": ["ntk"]}),
        (16384, {"kv_type": "q2_0"}),
        (16384, {"overflow": "wrap"}),
        (16384, {"memory_limit": "1MiB"}),
        (16384, {"memory_limit": 2**20}),
        (16384, {"memory_limit": "lots"}),
        (16384, {"reserve_output": 16384}),
        (16384, {"reserve_output": -1}),
        (16384, {"reserve_output": 1.5}),
        (16384, {"n_keep": 16384}),
        (16384, {"n_keep": -4}),
        (16384, {"n_keep": "all"}),
        (1, {}),  # no room for the default reserve
    ],
)
def test_nonsense_is_refused(smollm: ModelInfo, target: Any, options: dict[str, Any]) -> None:
    """Always a PlanError, and one that says what to do instead."""
    with pytest.raises(PlanError) as caught:
        plan(smollm, target, **options)
    advice = ("use", "ask", "raise", "lower", "give", "such as")
    assert any(word in str(caught.value) for word in advice)


def test_nonsense_in_place_of_a_model() -> None:
    """Bytes, None, numbers."""
    for model in (None, 7, b"model.gguf"):
        with pytest.raises(PlanError, match="ModelInfo"):
            plan(model, 2048)


def test_slide_keeps_four_sinks(smollm: ModelInfo) -> None:
    """StreamingLLM's default; none where nothing slides."""
    assert plan(smollm, 8192, overflow="slide").n_keep == 4
    assert plan(smollm, 8192).n_keep == 0
    assert plan(smollm, 8192, overflow="slide", n_keep=64).n_keep == 64


def test_steps_double_from_the_trained_window(smollm: ModelInfo) -> None:
    """And the RoPE of each is that of its own scale."""
    p = plan(smollm, 40_000, method="ntk")
    assert p.steps == (8192, 16384, 32768, 40_000)
    assert [p.rope_at(n).scale for n in p.steps] == [1, 2, 4, 40_000 / 8192]
    assert p.rope_at(p.n_ctx) == p.rope
    assert p.rope_at(4096).method == "none"
    assert plan(smollm, 4096).steps == (4096,)
    fixed = plan(smollm, 40_000, method="ntk", window="fixed")
    assert fixed.steps == (fixed.first_window,) == (40_000,)


def test_a_plan_says_what_fits_it(smollm: ModelInfo) -> None:
    """To the token, with the numbers of the prompt and its answer, or of the text alone."""
    p = plan(smollm, 4096)
    p.check_fit(4096)
    p.check_answer(4000, 96)
    with pytest.raises(ContextOverflowError, match=r"4097 tokens do not fit.* 4096: 1 too") as text:
        p.check_fit(4097)
    assert (text.value.needed, text.value.available, text.value.n_ctx) == (4097, 4096, 4096)
    said = r"prompt is 4000 tokens and its answer may take 100, 4100 in all.* 4 too many"
    with pytest.raises(ContextOverflowError, match=said) as prompt:
        p.check_answer(4000, 100)
    assert prompt.value.needed == 4100
    p.check_answer(4096 - p.reserve_output)
    said = rf"and {p.reserve_output} are reserved for its answer, 4097 in all.* 1 too many"
    with pytest.raises(ContextOverflowError, match=said):
        p.check_answer(4097 - p.reserve_output)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("ntk", ProfileParameters(scale_factor=1.3)),
        ("yarn", ProfileParameters(beta_fast=24.0)),
        ("longrope", ProfileParameters(frequency_factors=(1.5,) * 32)),
        (
            "self-extend",
            ProfileParameters(self_extend=SelfExtendConfig(group=4, block=1024, start=4096)),
        ),
    ],
)
def test_a_method_is_set_by_parameters(
    smollm: ModelInfo, method: Any, parameters: ProfileParameters
) -> None:
    """As a calibration that measured them would have it, without one, at each step."""
    profile = Profile(
        model_sha256=smollm.sha256, method=method, window=32_768, parameters=parameters
    )
    measured = plan(smollm, 32_768, profile=profile)
    given = plan(smollm, 32_768, method=method, parameters=parameters)
    assert (given.method, given.self_extend) == (measured.method, measured.self_extend)
    assert [given.rope_at(n) for n in given.steps] == [measured.rope_at(n) for n in given.steps]
    assert given.rope != plan(smollm, 32_768, method="ntk").rope
    assert (given.parameters, given.profile) == (measured.parameters, None)
    assert f"{method}{parameters}, as asked for" in given.reasons[0]


@pytest.mark.parametrize(
    "options",
    [{}, {"method": "auto"}, {"method": "yarn", "parameters": {"scale_factor": 2}}],
)
def test_parameters_of_no_method(smollm: ModelInfo, options: dict[str, Any]) -> None:
    """Nothing is guessed: which method they are of is named."""
    with pytest.raises(PlanError, match="parameters"):
        plan(smollm, 16_384, **{"parameters": ProfileParameters(), **options})


@settings(max_examples=60, deadline=None)
@given(target=st.integers(1, 500_000))
def test_every_target_gives_a_sound_plan(demo_gguf: Path, target: int) -> None:
    """The window that was asked for, and steps that rise to it."""
    info = ModelInfo.from_gguf(demo_gguf)
    p = plan_context(info, target, memory_limit="1TiB", reserve_output=0)
    steps = p.steps
    assert p.n_ctx == target
    assert list(steps) == sorted(set(steps))
    assert steps[-1] == p.n_ctx
    assert p.scale == max(1, target / 8192)


def test_trained_window_that_is_no_multiple_of_256(tiny_gguf: TinyGguf) -> None:
    """Asking for exactly the trained window scales nothing; growing past it begins there."""
    path = tiny_gguf("llama", n_ctx_train=1000)
    assert plan(path, 1000, reserve_output=0).scale == 1
    grown = plan(path, 4000, reserve_output=0, method="ntk")
    assert grown.steps == (1000, 2000, 4000)
    assert [grown.rope_at(n).scale for n in (768, 1000, 2000, 4000)] == [1, 1, 2, 4]


def test_plan_prints_as_a_table_and_dumps_as_json(smollm: ModelInfo) -> None:
    """For a terminal and for --json."""
    p = plan(smollm, 32768, method="ntk")
    text = repr(p)
    assert "32,768 tokens (trained for 8,192)" in text
    assert "WARNING" in text
    assert max(map(len, text.splitlines())) <= 90
    assert "KV cache" in repr(p.memory)
    dumped = p.model_dump(mode="json")
    assert dumped["memory"]["total_bytes"] == p.memory.total_bytes
    assert "info" not in dumped
