"""The exported script, run by transformers on the weights of a GGUF: it writes what we write."""

from __future__ import annotations

from math import exp
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from longctx import LongContextLLM, export_plan, plan_context
from tests.export.test_llama_cpp import no_profiles
from tests.models import TINY
from tests.support.thorough import quick, thorough

pytestmark = thorough

__all__ = ["no_profiles"]  # a fixture of this module, too

N_TOKENS = 24
BOS = 1021


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model as transformers reads it out of the GGUF, written as a repository."""
    folder = tmp_path_factory.mktemp("repository")
    read = LlamaForCausalLM.from_pretrained(TINY.parent, gguf_file=TINY.name, dtype=torch.float32)
    config = read.config.to_dict()
    del config["quantization_config"]  # from here on it is plain float32
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    return folder


def likelihoods(script: str, ids: list[int]) -> list[NDArray[np.float64]]:
    """What the script's model says to come after each of the last tokens: [n_vocab] each."""
    scope: dict[str, Any] = {}
    exec(script, scope)
    with torch.no_grad():
        logits = scope["model"](torch.tensor([ids]), logits_to_keep=N_TOKENS).logits[0]
    return list(torch.softmax(logits.double(), -1).numpy())


@pytest.mark.parametrize(
    "method", quick(["none", "linear", "ntk", "ntk-by-parts", "yarn"], "ntk", "yarn")
)
def test_the_script_says_what_we_say(method: Any, repository: Path) -> None:
    """At three times the trained window, along our greedy tokens: the same five are likeliest.

    To 0.01, where llama.cpp's keys are f16 and these float32.
    """
    plan = plan_context(
        TINY, 1536, method=method, window="fixed", memory_limit="8GiB", reserve_output=32
    )
    with LongContextLLM(TINY, plan=plan, n_threads=1) as llm:
        text = "\n\n".join(topics[name].strip() for name in ("exceptions", "execmodel"))
        ids = llm.tokenize(text)[:1200]
        found = llm.generate(
            llm.detokenize(ids), max_tokens=N_TOKENS, temperature=0, top_logprobs=5
        )
    ours = found.logprobs or ()
    assert found.usage.prompt_tokens == len(ids) + 1
    script = export_plan(plan, "transformers", model=str(repository)).files["load_model.py"]
    whole = [BOS, *ids, *(step.id for step in ours)]
    for step, theirs in zip(ours, likelihoods(script, whole[:-1]), strict=True):
        for top in step.top:
            assert theirs[top.id] == pytest.approx(exp(top.logprob), abs=0.01)
        assert theirs[step.id] == pytest.approx(theirs.max(), abs=0.01)
