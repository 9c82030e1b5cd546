"""torch computes what llama.cpp computes, with an adapter and without, under every map."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForCausalLM

from longctx import LongContextLLM, ModelInfo, export_plan, plan_context
from longctx.errors import LongCtxError, UnsupportedModelError
from longctx.finetune.adapter_file import trained_for, write_adapter, write_merged
from longctx.finetune.loading import check_loadable, check_same, load
from longctx.finetune.lora import alpha, gguf_pairs, matrices, with_lora
from longctx.finetune.peft_folder import write_peft_folder
from longctx.finetune.placement import place, unmoved
from longctx.finetune.torch_model import TorchModel
from longctx.planner import ContextPlan
from tests.finetune.small import MODEL, PROSE
from tests.support.thorough import quick, thorough

pytestmark = thorough

RANK = 4


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def plan(method: str, n_ctx: int, path: Path = MODEL, **options: object) -> ContextPlan:
    """A plan of so large a window, with the kind of window that the method is trained for."""
    window = "elastic" if method in ("none", "self-extend") else "fixed"
    return plan_context(path, n_ctx, method=method, window=window, reserve_output=0, **options)  # type: ignore[arg-type]  # options of a plan


def llama_cpp(planned: ContextPlan, n: int) -> tuple[list[int], NDArray[np.float32]]:
    """A text of n tokens, BOS included, and the likelihoods of all but that."""
    with LongContextLLM(planned.info.path, plan=planned, n_threads=1) as llm, llm.session() as s:
        s.begin()
        ids = llm.tokenize(PROSE)[: n - s.n_tokens]
        return [*s.tokens, *ids], s.nll(ids)


def in_torch(model: TorchModel, planned: ContextPlan, ids: list[int]) -> NDArray[np.float32]:
    """The same likelihoods, by transformers with our RoPE and attention."""
    with torch.no_grad():
        log_probs = model.log_probs(ids, place(unmoved(len(ids)), planned.self_extend)).numpy()
    return -log_probs[np.arange(len(ids) - 1), ids[1:]]


@pytest.mark.parametrize(
    ("method", "n_ctx"),
    quick(
        [("none", 512), ("yarn", 2048), ("ntk", 2048), ("self-extend", 2048)],
        ("yarn", 2048),
        ("self-extend", 2048),
    ),
)
def test_torch_computes_what_llama_cpp_does(method: str, n_ctx: int) -> None:
    """Token by token to the rounding of F16 keys; under self-extend through many moves of them."""
    planned = plan(method, n_ctx)
    ids, expected = llama_cpp(planned, min(n_ctx, 900))
    found = in_torch(load(planned.info, planned.rope), planned, ids)
    np.testing.assert_allclose(found, expected, atol=0.06)
    assert abs(found.mean() - expected.mean()) < 0.002


@pytest.mark.parametrize("method", quick(["yarn", "self-extend"], "self-extend"))
def test_an_adapter_in_llama_cpp_is_what_peft_trained(tmp_path: Path, method: str) -> None:
    """The round trip: beside the weights, merged by peft, merged into a GGUF, all the same."""
    planned = plan(method, 2048)
    model = load(planned.info, planned.rope)
    before = llama_cpp(planned, 700)[1]
    taught = TorchModel(noisy(with_lora(model.module, RANK, seed=1)), model.inv_freq)
    pairs = gguf_pairs(matrices(taught.module), planned.info)
    path = tmp_path / "lora.gguf"
    write_adapter(path, pairs, alpha(RANK), planned.info, trained_for(planned))
    ids, beside = llama_cpp(plan(method, 2048, adapters=[path]), 700)
    assert np.abs(beside - before).max() > 0.5
    peft: Any = taught.module
    merged = TorchModel(peft.merge_and_unload(), model.inv_freq)
    np.testing.assert_allclose(beside, in_torch(merged, planned, ids), atol=0.06)
    write_merged(tmp_path / "merged.gguf", pairs, alpha(RANK) / RANK, planned.info)
    inside = llama_cpp(plan(method, 2048, tmp_path / "merged.gguf"), 700)[1]
    np.testing.assert_allclose(beside, inside, atol=0.06)


def test_peft_and_vllm_take_it_as_a_folder(tmp_path: Path) -> None:
    """peft loads what was trained, and `longctx export` names it where it is there."""
    planned = plan("yarn", 2048)
    model = load(planned.info, planned.rope)
    taught = TorchModel(noisy(with_lora(model.module, RANK, seed=1)), model.inv_freq)
    path = tmp_path / "tiny.longctx.lora.gguf"
    pairs = gguf_pairs(matrices(taught.module), planned.info)
    write_adapter(path, pairs, alpha(RANK), planned.info, trained_for(planned))
    beside = plan("yarn", 2048, adapters=[path])
    assert any("vLLM loads none from a GGUF" in line for line in export_plan(beside, "vllm").cannot)
    folder = path.with_suffix(".peft")
    write_peft_folder(folder, matrices(taught.module), RANK, "tiny")
    ids = llama_cpp(planned, 100)[0]
    fresh = load(planned.info, planned.rope)
    again: Any = PeftModel.from_pretrained(fresh.module, folder)
    found = in_torch(TorchModel(again, fresh.inv_freq), planned, ids)
    np.testing.assert_allclose(found, in_torch(taught, planned, ids), atol=1e-4)
    words = shlex.split(export_plan(beside, "vllm", model="org/name").command)
    at = words.index("--enable-lora")
    assert words[at + 1 : at + 5] == ["--max-lora-rank", "8", "--lora-modules", f"tiny={folder}"]


def noisy(module: torch.nn.Module) -> torch.nn.Module:
    """Matrices that were trained somewhere: B is no longer zero."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in matrices(module).items():
            if "lora_B" in name:
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    return module


@pytest.mark.parametrize(
    ("architecture", "shape"),
    # transformers takes every Qwen3 to have heads of 128.
    [("llama", {}), ("qwen2", {}), ("qwen3", {"head_dim": 128, "n_rot": 128})],
)
def test_rows_of_every_architecture(
    tiny_gguf: Callable[..., Path], architecture: str, shape: dict[str, int], tmp_path: Path
) -> None:
    """Random models: q and k are in the order that their rotation wants, also in the adapter."""
    planned = plan("yarn", 2048, tiny_gguf(architecture, **shape))
    model = load(planned.info, planned.rope)
    ids, expected = llama_cpp(planned, 200)
    check_same(model, planned.info, ids, expected)
    taught = TorchModel(noisy(with_lora(model.module, RANK, seed=1)), model.inv_freq)
    pairs = gguf_pairs(matrices(taught.module), planned.info)
    path = tmp_path / "lora.gguf"
    write_adapter(path, pairs, alpha(RANK), planned.info, trained_for(planned))
    beside = llama_cpp(plan("yarn", 2048, planned.info.path, adapters=[path]), 200)[1]
    np.testing.assert_allclose(beside, in_torch(taught, planned, ids), atol=0.06)


def test_weights_of_a_folder(tmp_path: Path) -> None:
    """As of the repository that a GGUF was quantised from."""
    planned = plan("none", 512)
    module: Any = load(planned.info, planned.rope).module
    del module.config.quantization_config  # says that it came out of a GGUF
    fresh: Any = AutoModelForCausalLM.from_config(module.config)
    fresh.load_state_dict(module.state_dict())
    fresh.save_pretrained(tmp_path)
    ids, expected = llama_cpp(planned, 200)
    found = in_torch(load(planned.info, planned.rope, tmp_path), planned, ids)
    np.testing.assert_allclose(found, expected, atol=0.06)


def test_a_model_that_torch_computes_otherwise_is_refused() -> None:
    """As where transformers reads an architecture wrong, or other weights were given."""
    planned = plan("none", 512)
    ids, expected = llama_cpp(planned, 100)
    model = load(planned.info, planned.rope)
    check_same(model, planned.info, ids, expected)
    with torch.no_grad():
        model.inv_freq.mul_(0.5)
    with pytest.raises(UnsupportedModelError, match="nats a token apart"):
        check_same(model, planned.info, ids, expected)


@pytest.mark.parametrize("architecture", ["gemma3", "phi3", "mamba"])
def test_models_that_cannot_be_fine_tuned(
    tiny_gguf: Callable[..., Path], architecture: str
) -> None:
    """By their header, with the reason."""
    with pytest.raises(UnsupportedModelError, match="cannot be fine-tuned: its architecture is"):
        check_loadable(ModelInfo.from_gguf(tiny_gguf(architecture)))


def test_what_transformers_cannot_load(tmp_path: Path, tiny_gguf: Callable[..., Path]) -> None:
    """Heads of a size that it does not expect; a folder of weights that is none."""
    other = plan("none", 512, tiny_gguf("qwen3"))
    with pytest.raises(UnsupportedModelError, match=r"transformers cannot load .* another model"):
        load(other.info, other.rope)
    planned = plan("none", 512)
    with pytest.raises(LongCtxError, match=r"no config\.json"):
        load(planned.info, planned.rope, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnsupportedModelError, match="transformers cannot load"):
        load(planned.info, planned.rope, tmp_path)
