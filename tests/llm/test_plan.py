"""A plan opens the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM, RequestError, plan_context
from longctx.planner import ProfileParameters
from tests.conftest import TinyGguf


def test_a_plan_opens_the_model_it_is_of(tiny_gguf: TinyGguf) -> None:
    """Its window, method and parameters hold; a file that is plainly the same is not hashed."""
    path = tiny_gguf("llama", n_ctx_train=512)
    parameters = ProfileParameters(scale_factor=1.5)
    plan = plan_context(path, 1024, method="ntk", parameters=parameters, reserve_output=0)
    with LongContextLLM(path, plan=plan, n_threads=1) as llm, llm.session() as session:
        assert "sha256" not in vars(llm.info) | vars(plan.info)
        assert llm.plan.n_ctx == 1024
        session.feed([5] * 600)
        assert (session.n_ctx, session.rope.scale) == (1024, 3.0)


@pytest.mark.parametrize("besides", [{"target_ctx": 1024}, {"method": "ntk"}])
def test_a_plan_stands_alone(tiny_gguf: TinyGguf, besides: dict[str, Any]) -> None:
    """It says already what they would, or contradicts them."""
    path = tiny_gguf("llama", n_ctx_train=512)
    with pytest.raises(RequestError, match="plan= alone"):
        LongContextLLM(path, plan=plan_context(path, 512), **besides)


def test_another_models_plan_is_refused(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """A copy of the file is the same model, a file of other weights is not."""
    path = tiny_gguf("llama", n_ctx_train=512)
    plan = plan_context(path, 512, reserve_output=0)
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(Path(path).read_bytes())
    LongContextLLM(copy, plan=plan, n_threads=1).close()
    other = tiny_gguf("llama", n_ctx_train=512, seed=1)
    with pytest.raises(RequestError, match="make one with plan_context"):
        LongContextLLM(other, plan=plan)
