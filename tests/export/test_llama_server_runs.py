"""The exported command, run by the real llama-server: it says what our fixed window says."""

from __future__ import annotations

import shlex
from math import exp
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import httpx
import numpy as np
import pytest

from longctx import ContextPlan, LongContextLLM, export_plan, plan_context
from longctx.export.llama_cpp import yarn_window
from tests.conftest import TinyGguf
from tests.export.test_llama_cpp import copy_of_file, no_profiles
from tests.models import TINY
from tests.support.llama_server import llama_server, running
from tests.support.thorough import quick, thorough

__all__ = ["no_profiles"]  # a fixture of this module, too

TEXT = "\n\n".join(topics[name].strip() for name in ("exceptions", "execmodel", "integers"))


@pytest.fixture(autouse=True, scope="module")
def _server() -> None:
    """Skip these where there is none."""
    llama_server()


def prompt_of(llm: LongContextLLM, n_tokens: int) -> str:
    """The beginning of a text, of at least so many tokens."""
    return llm.detokenize(llm.tokenize(TEXT)[:n_tokens])


def no_text(llm: LongContextLLM) -> list[int]:
    """Tokens that end an answer, or are no character, which noise says and the server refuses."""
    texts = ((token, llm.detokenize([token])) for token in range(llm.info.n_vocab))
    return [token for token, text in texts if not text or not text.isascii()]


def theirs(url: str, prompt: str, banned: list[int]) -> tuple[list[int], list[dict[int, float]]]:
    """24 greedy tokens, and the five most likely ones at each place with their probabilities."""
    asked = {
        "prompt": prompt,
        "n_predict": 24,
        "temperature": 0,
        "n_probs": 5,
        "logit_bias": [[token, False] for token in banned],
    }
    answer = httpx.post(f"{url}/completion", json=asked, timeout=120)
    assert answer.status_code == 200, answer.text
    steps = answer.json()["completion_probabilities"]
    return [step["id"] for step in steps], [
        {top["id"]: exp(top["logprob"]) for top in step["top_logprobs"]} for step in steps
    ]


def ours(
    llm: LongContextLLM, prompt: str, banned: list[int]
) -> tuple[list[int], list[dict[int, float]]]:
    """Likewise."""
    found = llm.generate(
        prompt,
        max_tokens=24,
        temperature=0,
        top_logprobs=5,
        logit_bias=dict.fromkeys(banned, -100.0),
    )
    steps = found.logprobs or ()
    return [step.id for step in steps], [
        {top.id: exp(top.logprob) for top in step.top} for step in steps
    ]


def assert_same(
    plan: ContextPlan,
    log: Path,
    n_prompt: int,
    within: float = 1e-3,
    command: str | None = None,
) -> None:
    """The same tokens, the same probabilities, on a window of the same size."""
    found = export_plan(plan, "llama-server")
    assert found.method == ("none" if plan.rope.scale == 1 else plan.method)
    with LongContextLLM(plan.info.path, plan=plan, n_threads=1) as llm:
        prompt = prompt_of(llm, n_prompt)
        assert llm.count(prompt) > plan.info.n_ctx_train
        banned = no_text(llm)
        our_ids, our_tops = ours(llm, prompt, banned)
    with running(command or found.command, log) as url:
        settings = httpx.get(f"{url}/props").json()["default_generation_settings"]
        assert settings["n_ctx"] == plan.n_ctx
        their_ids, their_tops = theirs(url, prompt, banned)
    assert their_ids == our_ids
    assert len(our_ids) == 24
    for them, us in zip(their_tops, our_tops, strict=True):
        assert len(them) == len(us) == 5
        # Where the fifth and the sixth are as likely, either may be told.
        fifth = min(*them.values(), *us.values())
        for token in them.keys() | us.keys():
            assert them.get(token, fifth) == pytest.approx(us.get(token, fifth), abs=within)


def planned(path: Path, target_ctx: int, **options: Any) -> ContextPlan:
    """A fixed window, as the server's is."""
    return plan_context(
        path,
        target_ctx,
        **{"memory_limit": "8GiB", "reserve_output": 32, **options},
        window="fixed",
    )


@pytest.mark.parametrize(
    "method", quick(["none", "linear", "ntk", "dynamic", "ntk-by-parts", "yarn"], "ntk", "yarn")
)
def test_the_command_runs_as_it_is(method: str, tmp_path: Path) -> None:
    """At three times the trained window, past which the server gives no slot by itself."""
    assert_same(planned(TINY, 1536, method=method), tmp_path / "log", 1200, within=1e-4)


def test_the_type_of_keys_and_values_goes_along(tmp_path: Path) -> None:
    """bf16; kernels for q8_0 of builds for many processors die on some."""
    plan = planned(TINY, 1024, method="ntk", kv_type="bf16")
    assert "-ctk bf16 -ctv bf16" in export_plan(plan, "llama-server").command
    assert_same(plan, tmp_path / "log", 900)


# Windows whose YaRN comes to a token less in single precision, and one between two cells' ends.
@thorough
@pytest.mark.parametrize("target_ctx", [1792, 3328, 1500])
@pytest.mark.parametrize("method", ["yarn", "ntk"])
def test_no_token_of_the_window_is_capped(method: str, target_ctx: int, tmp_path: Path) -> None:
    """What the server says of its slot is what was planned."""
    found = export_plan(planned(TINY, target_ctx, method=method), "llama-server")
    with running(found.command, tmp_path / "log") as url:
        assert (
            httpx.get(f"{url}/props").json()["default_generation_settings"]["n_ctx"] == target_ctx
        )


FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "sliding layers": ("gemma3", {}),
    "linear": ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
    "yarn": (
        "llama",
        {"rope_scaling": {"type": "yarn", "factor": 2.0, "original_context_length": 512}},
    ),
    "yarn that does not say from what": (
        "llama",
        {"rope_scaling": {"type": "yarn", "factor": 2.0}},
    ),
    "llama3 factors": ("llama", {"rope_freqs": np.linspace(1, 8, 16).tolist()}),
    "longrope that does not say from what": (
        "phi3",
        {
            "rope_scaling": {"type": "longrope"},
            "rope_short": np.linspace(1, 2, 16).tolist(),
            "rope_long": np.linspace(1, 8, 16).tolist(),
        },
    ),
}


@pytest.mark.parametrize("file", quick(FILES, "sliding layers", "llama3 factors"))
@pytest.mark.parametrize("method", quick(["none", "ntk", "yarn"], "ntk"))
def test_what_files_bring_stays(
    tiny_gguf: TinyGguf, file: str, method: str, tmp_path: Path
) -> None:
    """That the file is said to be trained for the window changes nothing else that it says."""
    architecture, changes = FILES[file]
    path = tiny_gguf(architecture, **{"n_ctx_train": 512, **changes})
    assert_same(planned(path, 1024, method=method), tmp_path / "log", 700)


@pytest.mark.parametrize("method", quick(["none", "linear", "ntk", "yarn"], "yarn"))
def test_what_ollama_would_start(method: str, tmp_path: Path) -> None:
    """The copy of the file and the variables, with the flag that Ollama adds: its num_ctx."""
    plan = planned(TINY, 1792, method=method)
    export = export_plan(plan, "ollama")
    *lines, serve, _ = export.command.split("\n")
    copy_of_file(lines, tmp_path)
    words = [word for word in shlex.split(serve) if word.startswith("LLAMA_ARG_")]
    source = tmp_path / export.text.splitlines()[0].removeprefix("FROM ")
    words += ["llama-server", "-m", str(source), "-c", str(plan.n_ctx), "-np", "1"]
    assert_same(plan, tmp_path / "log", 1200, command=shlex.join(["env", *words]))


def test_one_rounding_step_reaches_every_window() -> None:
    """In single precision, as llama.cpp divides: without the step a ninth falls short."""
    short = 0
    for trained in (512, 1000, 4096, 8192, 32_768, 131_072):
        for n_ctx in range(trained + 256, 8 * trained, 256):
            scale = trained / n_ctx
            smaller = float(np.nextafter(np.float32(scale), np.float32(0)))
            short += yarn_window(trained, scale) < n_ctx
            assert yarn_window(trained, smaller) >= n_ctx
    assert short > 100
