"""Exports to vLLM and transformers: transformers' own code computes our frequencies from them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PhiConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi.modeling_phi import PhiRotaryEmbedding

from longctx import ContextPlan, Export, export_plan
from longctx.rope import RopeConfig
from tests.conftest import TinyGguf
from tests.export.test_llama_cpp import METHODS, no_profiles, plan
from tests.support.thorough import thorough

pytestmark = thorough

__all__ = ["no_profiles"]  # a fixture of this module, too

FILES: dict[str, dict[str, Any]] = {
    "plain": {},
    "partial rotary": {"n_rot": 16},
    "already linear": {"rope_scaling": {"type": "linear", "factor": 2.0}},
    "already yarn": {
        "rope_scaling": {"type": "yarn", "factor": 2.0, "original_context_length": 512}
    },
    "llama3 factors": {"rope_freqs": np.linspace(1, 8, 16).tolist()},
}


def theirs(chosen: ContextPlan, config: dict[str, Any]) -> tuple[NDArray[np.float32], float]:
    """Frequencies and attention factor of transformers' own modules under a configuration."""
    # Llama knows no partial rotary by default, Phi does; the functions are the same.
    partial = chosen.info.n_rot != chosen.info.head_dim
    kind: Any = (PhiConfig if partial else LlamaConfig)(
        hidden_size=64,
        num_attention_heads=2,
        **{"max_position_embeddings": chosen.n_ctx, **config},
    )
    assert kind.hidden_size // kind.num_attention_heads == chosen.info.head_dim
    if kind.rope_parameters["rope_type"] == "dynamic":
        init = ROPE_INIT_FUNCTIONS["dynamic"]
        frequencies, factor = init(kind, torch.device("cpu"), seq_len=chosen.n_ctx)
    else:
        module = (PhiRotaryEmbedding if partial else LlamaRotaryEmbedding)(kind)
        frequencies, factor = module.inv_freq, module.attention_scaling
    return frequencies.numpy(), float(factor)


def assert_same(rope: RopeConfig, n_rot: int, other: tuple[NDArray[np.float32], float]) -> None:
    """Relative error of float32 in each frequency and in the attention factor."""
    np.testing.assert_allclose(rope.frequencies(n_rot), other[0], rtol=2e-6)
    assert rope.attention_factor == pytest.approx(other[1], rel=1e-6)


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("file", FILES)
def test_the_frequencies_are_ours(tiny_gguf: TinyGguf, file: str, method: str, engine: str) -> None:
    """Every method on every kind of file, to float32's precision."""
    chosen = plan(tiny_gguf("llama", **FILES[file]), method=method)
    found = export_plan(chosen, engine)
    rope = chosen.rope
    if found.method != method:  # vLLM's dynamic is another
        assert (engine, method, found.method) == ("vllm", "dynamic", "yarn")
        rope = plan(chosen.info.path, method="yarn").rope
    assert_same(rope, chosen.info.n_rot, theirs(chosen, json.loads(found.text)))


def test_dynamic_grows_with_the_text(tiny_gguf: TinyGguf) -> None:
    """With transformers it is ours at every length, not only at the window's."""
    chosen = plan(tiny_gguf(), method="dynamic")
    found = export_plan(chosen, "transformers")
    config = LlamaConfig(hidden_size=64, num_attention_heads=2, head_dim=32, **_config(found))
    for n_tokens in (500, 1024, 2048, 3000):
        ours = chosen.rope_at(max(1024, n_tokens)).frequencies(32)
        init = ROPE_INIT_FUNCTIONS["dynamic"]
        frequencies, _ = init(config, torch.device("cpu"), seq_len=n_tokens)
        np.testing.assert_allclose(ours, frequencies.numpy(), rtol=2e-6)
    assert not any("elastic" in line for line in found.cannot)
    assert any("stay rotated" in line for line in found.cannot)


def _config(found: Export) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(found.text)
    return config


def test_vllm_takes_the_window(tiny_gguf: TinyGguf) -> None:
    """The command's JSON is the text's; by vLLM's own rule the window is not refused."""
    for method in METHODS:
        for target in (1280, 3328, 4096, 7168):
            chosen = plan(tiny_gguf("llama", n_ctx_train=1000), target, method=method)
            found = export_plan(chosen, "vllm", model="org/name")
            words = shlex.split(found.command)
            assert words[:5] == ["vllm", "serve", "org/name", "--max-model-len", str(chosen.n_ctx)]
            overrides = json.loads(words[words.index("--hf-overrides") + 1])
            assert overrides == _config(found)
            rope = overrides["rope_parameters"]
            # vllm.config.model._get_and_verify_max_len
            longest = overrides.get("max_position_embeddings", 1000)
            if rope["rope_type"] == "yarn":
                longest = rope["original_max_position_embeddings"]
            if rope["rope_type"] != "longrope":
                longest *= rope.get("factor", 1.0)
            assert longest >= chosen.n_ctx


def test_nothing_is_overridden_within_the_trained_window(tiny_gguf: TinyGguf) -> None:
    """The repository's own configuration holds."""
    chosen = plan(tiny_gguf(), 1024, reserve_output=64)
    assert _config(export_plan(chosen, "vllm")) == {}
    assert _config(export_plan(chosen, "transformers")) == {"max_position_embeddings": 1024}
    past = plan(tiny_gguf(), method="none")
    assert _config(export_plan(past, "vllm")) == {"max_position_embeddings": 4096}


def test_sliding_layers_keep_their_own(tiny_gguf: TinyGguf) -> None:
    """The parameters stand under full_attention, and what is missing is said."""
    chosen = plan(tiny_gguf("gemma3"), method="ntk")
    for engine in ("vllm", "transformers"):
        found = export_plan(chosen, engine)
        (key,) = _config(found)["rope_parameters"]
        assert key == "full_attention"
    assert any("sliding_attention" in line for line in export_plan(chosen, "vllm").cannot)
    script = export_plan(chosen, "transformers").files["load_model.py"]
    assert "config.rope_parameters |= " in script


def test_the_script_loads_a_model(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """It is run on a repository of noise; the model then has our frequencies and window."""
    chosen = plan(tiny_gguf(), method="yarn")
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            max_position_embeddings=1024,
        )
    ).save_pretrained(tmp_path)
    found = export_plan(chosen, "transformers", model=str(tmp_path))
    scope: dict[str, Any] = {}
    exec(found.files["load_model.py"], scope)
    model = scope["model"]
    assert isinstance(model, LlamaForCausalLM)
    assert scope["AutoModelForCausalLM"] is AutoModelForCausalLM
    assert model.config.max_position_embeddings == 4096
    assert model.generation_config.max_length == 4096
    rotary = model.model.rotary_emb
    assert_same(chosen.rope, 32, (rotary.inv_freq.numpy(), rotary.attention_scaling))
