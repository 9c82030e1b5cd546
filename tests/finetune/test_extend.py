"""A fine-tuning from end to end, in a few steps, and what it refuses."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from longctx import LongContextLLM, plan_context
from longctx.errors import (
    DocumentError,
    LongCtxError,
    MissingExtraError,
    ModelFileError,
    PlanError,
    RequestError,
)
from longctx.finetune import FinetuneProgress, FinetuneResult, extend
from longctx.planner import Profile
from tests.finetune.small import FEW, MODEL, PROSE
from tests.support.gguf_tensors import tensors_of
from tests.support.thorough import thorough

pytestmark = thorough


def run(out: Path, target_ctx: int = 1024, **changes: Any) -> FinetuneResult:
    """A training of four steps."""
    return extend(MODEL, target_ctx, **{**FEW, "out": out, **changes})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FinetuneResult:
    """One that is measured, and merged."""
    out = tmp_path_factory.mktemp("finetune") / "made"
    return run(out, measure=True, merge=True, learning_rate=1e-2)


def test_it_writes_an_adapter_that_plans_itself(made: FinetuneResult) -> None:
    """Opened with nothing but its path, the map that it was trained for runs."""
    with LongContextLLM(MODEL, 1024, adapters=[made.adapter], reserve_output=0) as llm:
        assert llm.plan.method == "self-extend"
        assert llm.plan.self_extend is not None
        assert "was trained for self-extend at 1,024 tokens" in llm.plan.reasons[0]
        taught = llm.score(PROSE[:600])
    with LongContextLLM(MODEL, 1024, reserve_output=0) as llm:
        assert np.abs(taught - llm.score(PROSE[:600])).max() > 0.01


def test_it_is_measured_before_and_after(made: FinetuneResult) -> None:
    """The untrained model beside the taught one, in the card and in the profile."""
    assert made.before is not None
    assert made.after is not None
    assert made.before.recall_nats != made.after.recall_nats
    assert made.profile is not None
    profile = Profile.model_validate_json(made.profile.read_bytes())
    plan = plan_context(MODEL, 1024, adapters=[made.adapter], profile=profile)
    assert plan.profile == profile
    with pytest.raises(PlanError, match="pass it as adapters"):
        plan_context(MODEL, 1024, profile=profile)
    card = made.card.read_text()
    for figure in (f"{made.after.recall_nats:.2f}", f"{made.before.short_perplexity:.2f}"):
        assert figure in card


def test_the_merged_model_is_a_model(made: FinetuneResult) -> None:
    """It says what the model beside its adapter says."""
    assert made.merged is not None
    with LongContextLLM(made.merged, 1024, reserve_output=0, n_threads=1) as llm:
        inside = llm.score(PROSE[:600])
    with LongContextLLM(MODEL, 1024, adapters=[made.adapter], reserve_output=0, n_threads=1) as llm:
        np.testing.assert_allclose(llm.score(PROSE[:600]), inside, atol=0.06)


def stop_at(step: int) -> Callable[[FinetuneProgress], None]:
    """Ctrl-C behind a step."""

    def stop(progress: FinetuneProgress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    return stop


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """The same command goes on, to the same weights."""
    unbroken = run(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", on_progress=stop_at(2))
    seen: list[int] = []
    again = run(tmp_path / "stopped", on_progress=lambda progress: seen.append(progress.step))
    assert seen == [3, 4]
    expected, found = tensors_of(unbroken.adapter), tensors_of(again.adapter)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-6, err_msg=name)


def test_ctrl_c_before_the_first_step_keeps_nothing(tmp_path: Path) -> None:
    """And says so."""
    said: list[str] = []

    def announce(line: str) -> None:
        said.append(line)
        if line.startswith("Loading"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "made", announce=announce)
    assert said[-1] == "Nothing was trained yet; the same command begins anew."
    assert not (tmp_path / "made" / "checkpoint.pt").exists()


def test_a_full_gpu_makes_the_parts_smaller(tmp_path: Path) -> None:
    """What was trained stays, and it goes on; with one sequence alone its layers go twice."""
    said: list[str] = []

    def full_once(progress: FinetuneProgress) -> None:
        if progress.step == 2 and len(seen) == 1:
            seen.append(-1)
            raise torch.OutOfMemoryError
        seen.append(progress.step)

    seen: list[int] = []
    made = run(tmp_path, on_progress=full_once, announce=said.append)
    assert seen == [1, -1, 3, 4]
    assert made.tokens == FEW["tokens"]
    assert "64 tokens go together" in " ".join(said)
    assert "layers computed twice" in made.machine


def test_what_was_trained_can_be_measured_later(tmp_path: Path) -> None:
    """By a call that need not repeat how it was trained, and trains nothing."""
    with pytest.raises(RequestError, match="nothing was trained"):
        run(tmp_path, measure="only")
    made = run(tmp_path, rank=3, measure=False)
    with pytest.raises(RequestError, match="self-extend to 1,024 tokens"):
        run(tmp_path, 2048, measure="only")
    seen: list[FinetuneProgress] = []
    measured = extend(MODEL, 1024, out=tmp_path, measure="only", on_progress=seen.append)
    assert not seen
    assert measured.recipe == made.recipe
    assert measured.held_out == made.held_out
    assert measured.before is not None
    assert measured.after is not None
    assert measured.profile is not None
    assert "| before | after |" in made.card.read_text()


def test_bfloat16_trains_as_well(tmp_path: Path) -> None:
    """On a processor too; the file says in which type it was trained."""
    made = run(tmp_path, precision="bfloat16", tokens=8 * 256)
    exact = run(tmp_path / "exact", precision="float32", tokens=8 * 256)
    assert made.loss == pytest.approx(exact.loss, rel=0.02)
    assert "bfloat16" in made.card.read_text()
    looks = [look.tokens for look in made.held_out]
    assert (looks[0], looks[-1], len(looks)) == (0, made.tokens, 6)
    assert "float32" in exact.machine


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_there_is_not(tmp_path: Path) -> None:
    """Is refused with both ways out."""
    with pytest.raises(RequestError, match=r"finds no GPU: .*device='cpu'"):
        run(tmp_path, device="cuda")


def test_a_run_that_is_done_trains_no_more(tmp_path: Path) -> None:
    """And writes its files again."""
    first = run(tmp_path)
    first.adapter.unlink()
    seen: list[FinetuneProgress] = []
    assert run(tmp_path, on_progress=seen.append).steps == first.steps
    assert not seen
    assert first.adapter.exists()


def test_another_recipe_in_the_same_folder(tmp_path: Path) -> None:
    """Is refused, with what differs; so is a text."""
    run(tmp_path)
    with pytest.raises(RequestError, match="another fine-tuning: rank, seed differ"):
        run(tmp_path, rank=3, seed=5)
    with pytest.raises(RequestError, match="text_sha256 differ"):
        run(tmp_path, text=PROSE + ".")


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    """The second is refused while the first runs."""
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(RequestError, match="another fine-tuning is running"),
    ):
        run(tmp_path)


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    """Is named, and may be removed."""
    run(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(LongCtxError, match=r"checkpoint\.pt cannot be read .* remove it"):
        run(tmp_path)


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """No file may grow past so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(tmp_path: Path) -> None:
    """Of the checkpoint, then of the adapter; what was trained is kept, and goes on."""
    with full_disk(20_000), pytest.raises(LongCtxError, match="checkpoint cannot be written"):
        run(tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()
    run(tmp_path)
    (adapter,) = tmp_path.glob("*.lora.gguf")
    adapter.unlink()
    n_checkpoint = (tmp_path / "checkpoint.pt").stat().st_size
    with full_disk(n_checkpoint + 10), pytest.raises(LongCtxError, match="cannot be written"):
        run(tmp_path, merge=True)  # the model is larger than the checkpoint


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"target_ctx": 512}, RequestError, "nothing to teach"),
        ({"target_ctx": 512 * 65}, PlanError, "times the trained window"),
        ({"method": "linear"}, RequestError, "method"),
        ({"budget_s": 0.5, "tokens": None}, RequestError, "too few to learn from"),
        ({"budget_s": 1, "tokens": 10**9}, RequestError, "larger budget"),
        ({"budget_s": 0.01, "measure": True}, RequestError, "before and after takes"),
        ({"budget_s": None, "tokens": None}, RequestError, "how many tokens"),
        ({"text": "Too short."}, DocumentError, "one sequence takes 64"),
        ({"sequence_tokens": 1024}, RequestError, "sequence_tokens"),
        ({"learning_rate": 0}, RequestError, "learning_rate"),
        ({"recall_share": 1.5}, RequestError, "recall_share"),
        ({"learning_rate": 1e30}, RequestError, "run away"),
        ({"seed": 2**70}, RequestError, "seed"),
        ({"device": "tpu"}, RequestError, "device"),
        ({"precision": "int8"}, RequestError, "precision"),
        ({"answer_weight": 0}, RequestError, "answer_weight"),
        ({"step_tokens": 0}, RequestError, "step_tokens"),
        ({"weights": Path("nowhere")}, ModelFileError, "no folder of a transformers model"),
    ],
)
def test_what_cannot_be(
    tmp_path: Path, changes: dict[str, Any], error: type[LongCtxError], said: str
) -> None:
    """Each is refused with what to do about it."""
    with pytest.raises(error, match=said):
        run(tmp_path / "out", **changes)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"text": "Too short."}, DocumentError),
        pytest.param({"budget_s": 1, "tokens": 10**9}, RequestError, marks=thorough),
        pytest.param({"learning_rate": 1e30}, RequestError, marks=thorough),
    ],
)
def test_what_was_refused_may_be_tried_again_there(
    tmp_path: Path, changes: dict[str, Any], error: type[LongCtxError]
) -> None:
    """A run that never trained does not keep its folder from the one that does as it was told."""
    with pytest.raises(error):
        run(tmp_path, **changes)
    run(tmp_path)
    assert list(tmp_path.glob("*.lora.gguf"))


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    """A file stands there."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LongCtxError, match="give another out"):
        run(tmp_path / "file")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said, and how to have it."""
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"needs peft: run `pip install .*\[finetune\]"):
        run(tmp_path)


def test_it_imports_without_torch() -> None:
    """The room, and the commands; what needs torch comes when it runs."""
    code = (
        "import sys; import longctx, longctx.cli.app, longctx.finetune; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'peft', 'gguf')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
