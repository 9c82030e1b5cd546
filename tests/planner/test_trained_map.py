"""An adapter that was taught a map of positions: the plan runs that one, and refuses others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longctx import ModelInfo, export_plan, plan_context
from longctx._native import quantize
from longctx.errors import ModelFileError, PlanError, UnsupportedModelError
from longctx.model_info import TrainedFor
from longctx.planner import Profile, ProfileParameters, SelfExtendConfig
from tests.support.lora import write_lora

MODEL = Path(__file__).parents[1] / "models" / "tiny-longctx.gguf"
FAR = SelfExtendConfig(group=4, block=64, start=256)
SELF_EXTEND = ProfileParameters(self_extend=FAR)
TENSOR = "blk.0.attn_q.weight"


def adapter(
    path: Path,
    method: str = "self-extend",
    target_ctx: int = 4096,
    parameters: ProfileParameters | str = SELF_EXTEND,
    changes: dict[str, Any] | None = None,
) -> Path:
    """An adapter of the small model that says what it was trained for."""
    info = ModelInfo.from_gguf(MODEL)
    as_json = (
        parameters
        if isinstance(parameters, str)
        else parameters.model_dump_json(exclude_defaults=True)
    )
    trained = TrainedFor(
        method=method,
        target_ctx=target_ctx,
        parameters=as_json,
        base_name=info.name,
        base_sha256=info.sha256,
        base_norms_sha256=info.norms_sha256,
    )
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 160)), rng.normal(size=(256, 2))
    pair = (a.astype(np.float32), b.astype(np.float32))
    return write_lora(path, {TENSOR: pair}, changes={**trained.metadata(), **(changes or {})})


@pytest.fixture
def self_extended(tmp_path: Path) -> Path:
    """Taught our compressed map to 4,096 tokens, with parameters of its own."""
    return adapter(tmp_path / "far.gguf")


@pytest.fixture
def scaled(tmp_path: Path) -> Path:
    """Taught YaRN at s = 8."""
    return adapter(tmp_path / "yarn.gguf", "yarn", parameters=ProfileParameters())


@pytest.mark.parametrize("target_ctx", [600, 2048, 4096])
def test_its_own_map_runs(self_extended: Path, target_ctx: int) -> None:
    """Up to the window that it was trained for, with the parameters that it was trained with."""
    plan = plan_context(MODEL, target_ctx, adapters=[self_extended])
    assert plan.method == "self-extend"
    assert plan.self_extend == FAR
    assert plan.window == "elastic"
    assert "far.gguf was trained for self-extend at 4,096 tokens" in plan.reasons[0]
    assert "as far.gguf was trained" in plan.reasons[1]
    named = plan_context(MODEL, target_ctx, adapters=[self_extended], method="self-extend")
    assert (named.self_extend, named.parameters) == (plan.self_extend, plan.parameters)


@pytest.mark.parametrize("target_ctx", [513, 1024, 4096])
def test_frequencies_are_those_of_training(scaled: Path, target_ctx: int) -> None:
    """In a smaller window, too, from the first token on."""
    plan = plan_context(MODEL, target_ctx, adapters=[scaled])
    trained = plan_context(MODEL, 4096, method="yarn", window="fixed")
    assert (plan.method, plan.window) == ("yarn", "fixed")
    assert plan.rope.scale == pytest.approx(trained.rope.scale)
    np.testing.assert_allclose(plan.rope.frequencies(64), trained.rope.frequencies(64))
    assert plan.rope.attention_factor == pytest.approx(trained.rope.attention_factor)


def test_within_the_trained_window_nothing_moves(self_extended: Path) -> None:
    """As without the adapter."""
    assert plan_context(MODEL, 512, adapters=[self_extended]).method == "none"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "yarn"}, "not for method='yarn'"),
        ({"method": "none"}, "not for method='none'"),
        ({"target_ctx": 8192}, "not for 8,192: ask for less"),
        (
            {"method": "self-extend", "parameters": ProfileParameters()},
            "trained with its own parameters",
        ),
    ],
)
def test_another_map_is_refused(self_extended: Path, options: dict[str, Any], said: str) -> None:
    """Method, window and parameters."""
    with pytest.raises(PlanError, match=said):
        plan_context(MODEL, **{"target_ctx": 2048, "adapters": [self_extended], **options})


def test_frequencies_do_not_serve_the_trained_window(scaled: Path) -> None:
    """There nothing is scaled, which the adapter never saw."""
    with pytest.raises(PlanError, match="ask for 513 to 4,096 tokens, or leave the adapter out"):
        plan_context(MODEL, 512, adapters=[scaled])


def test_two_adapters_of_one_window(tmp_path: Path, self_extended: Path, scaled: Path) -> None:
    """Of two maps, one is refused; a style beside a map is welcome; at scale 0 it is no adapter."""
    with pytest.raises(PlanError, match="a window has one map"):
        plan_context(MODEL, 2048, adapters=[self_extended, scaled])
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 160)), rng.normal(size=(256, 2))
    style = write_lora(tmp_path / "style.gguf", {TENSOR: (a.astype("f4"), b.astype("f4"))})
    assert plan_context(MODEL, 2048, adapters=[style, self_extended]).self_extend == FAR
    plan = plan_context(MODEL, 2048, adapters=[(self_extended, 0.0), scaled])
    assert plan.method == "yarn"


def test_a_profile_of_an_adapter_is_for_that_adapter(self_extended: Path, scaled: Path) -> None:
    """Without it the figures hold for nothing."""
    profile = Profile(
        model_sha256=ModelInfo.from_gguf(MODEL).sha256,
        method="self-extend",
        window=4096,
        parameters=SELF_EXTEND,
        adapter_sha256=plan_context(MODEL, 2048, adapters=[self_extended]).adapters[0].sha256,
    )
    assert plan_context(MODEL, 2048, adapters=[self_extended], profile=profile).profile == profile
    for adapters in ([], [scaled], [(self_extended, 0.0)]):
        with pytest.raises(PlanError, match="pass it as adapters"):
            plan_context(MODEL, 2048, adapters=adapters, profile=profile)


def test_any_quantisation_of_the_model_takes_it(tmp_path: Path, self_extended: Path) -> None:
    """It is told by its norms, which are never quantised."""
    quantised = tmp_path / "model.q8_0.gguf"
    quantize(MODEL, quantised, "q8_0")
    assert ModelInfo.from_gguf(quantised).sha256 != ModelInfo.from_gguf(MODEL).sha256
    assert plan_context(quantised, 2048, adapters=[self_extended]).self_extend == FAR


def test_an_adapter_of_another_model_of_the_same_shape(
    tmp_path: Path, tiny_gguf: Callable[..., Path]
) -> None:
    """The shapes fit, the norms do not."""
    shape = {"n_embd": 160, "n_head": 4, "head_dim": 64, "n_rot": 64, "n_ctx_train": 512}
    other = tiny_gguf("llama", **shape, name="a stranger")
    with pytest.raises(UnsupportedModelError, match=r"beside longctx tiny, .* a stranger"):
        plan_context(other, 2048, adapters=[adapter(tmp_path / "far.gguf")])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"longctx.finetune.target_ctx": None}, "says wrongly what it was trained for"),
        ({"longctx.finetune.parameters": "{"}, "says wrongly how its map is set"),
        ({"longctx.finetune.later": "x"}, "says wrongly what it was trained for"),
    ],
)
def test_a_damaged_adapter(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Is named before the weights are read."""
    with pytest.raises(ModelFileError, match=said):
        plan_context(MODEL, 2048, adapters=[adapter(tmp_path / "far.gguf", changes=changes)])


def test_exports_carry_it_where_its_map_runs(self_extended: Path, scaled: Path) -> None:
    """YaRN's goes along; that of a map which no server has is left out, with the reason."""
    plan = plan_context(MODEL, 2048, adapters=[scaled])
    assert f"--lora {scaled}" in export_plan(plan, "llama-server").command
    assert f"ADAPTER {scaled}\n" in export_plan(plan, "ollama").text
    plan = plan_context(MODEL, 2048, adapters=[self_extended])
    for engine in ("llama-server", "ollama"):
        export = export_plan(plan, engine)
        assert "far.gguf" not in export.command + export.text
        assert any("far.gguf, which is left out" in line for line in export.cannot)


def test_a_budget_of_the_cache_changes_no_trained_scale(scaled: Path) -> None:
    """The window is smaller, and the frequencies are those that were trained."""
    whole = plan_context(MODEL, 2048, adapters=[scaled], kv_type="f16")
    budget = whole.memory.kv_bytes // 2
    bound = plan_context(MODEL, 2048, adapters=[scaled], kv_type="f16", kv_budget=budget)
    assert bound.n_ctx == 1024
    assert (bound.method, bound.scale) == (whole.method, whole.scale)
    assert bound.rope.scale == whole.rope.scale
    with pytest.raises(PlanError):  # as where so small a window is asked for
        plan_context(MODEL, 2048, adapters=[scaled], kv_type="f16", kv_budget=budget // 4)
