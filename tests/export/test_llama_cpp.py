"""Exports to engines that run llama.cpp: their flags say what llama.cpp is told here."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longctx import ContextPlan, ModelInfo, RequestError, export_plan, plan_context
from longctx._native import Context, ContextParams, Model
from longctx.backends import context_params
from longctx.export import ENGINES
from longctx.planner import Profile, ProfileParameters, TrialResult
from tests.conftest import TinyGguf
from tests.rope.native_keys import lone_keys, native_params, open_model

METHODS = ("linear", "ntk", "dynamic", "ntk-by-parts", "yarn")


@pytest.fixture(autouse=True)
def no_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plan as on a machine where nothing was calibrated."""
    monkeypatch.setattr("longctx.planner.profile.profiles_dir", lambda: tmp_path / "profiles")


def plan(path: Path, target_ctx: int = 4096, **options: Any) -> ContextPlan:
    """Plan with memory enough; the tiny models are trained for 1,024 tokens."""
    return plan_context(path, target_ctx, **{"memory_limit": "8GiB", **options})


def flags(text: str) -> dict[str, list[str]]:
    """Each flag with its values, as a command line is read."""
    found: dict[str, list[str]] = {}
    for word in shlex.split(text):
        if word.startswith("-") and not re.fullmatch(r"-[\d.]+", word):
            values = found.setdefault(word, [])
        else:
            values.append(word)
    return found


SETTINGS = {
    "rope_freq_base": ("--rope-freq-base", "LLAMA_ARG_ROPE_FREQ_BASE"),
    "rope_freq_scale": ("--rope-freq-scale", "LLAMA_ARG_ROPE_FREQ_SCALE"),
    "rope_scaling": ("--rope-scaling", "LLAMA_ARG_ROPE_SCALING_TYPE"),
    "yarn_orig_ctx": ("--yarn-orig-ctx", "LLAMA_ARG_YARN_ORIG_CTX"),
    "yarn_beta_fast": ("--yarn-beta-fast", "LLAMA_ARG_YARN_BETA_FAST"),
    "yarn_beta_slow": ("--yarn-beta-slow", "LLAMA_ARG_YARN_BETA_SLOW"),
}


def environment(command: str) -> dict[str, str]:
    """The variables before `ollama serve`."""
    (line,) = (line for line in command.splitlines() if "ollama serve" in line)
    return dict(word.split("=", 1) for word in shlex.split(line) if "=" in word)


@pytest.mark.parametrize("scaled_file", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_flags_and_variables_are_what_our_own_contexts_are_given(
    tiny_gguf: TinyGguf, method: str, scaled_file: bool
) -> None:
    """Digit by digit, for a file that is already scaled too; what is left out is a default."""
    scaling = {"type": "linear", "factor": 2.0, "original_context_length": 512}
    path = tiny_gguf("llama", rope_scaling=scaling) if scaled_file else tiny_gguf()
    chosen = plan(path, method=method)
    ours, default = (
        context_params(rope, n_ctx=chosen.n_ctx)
        for rope in (chosen.rope, chosen.rope_at(chosen.n_ctx_train))
    )
    server = flags(export_plan(chosen, "llama-server").text)
    assert server["-c"] == ["4096"]
    served_by_ollama = export_plan(chosen, "ollama")
    variables = environment(served_by_ollama.command)
    for name, (flag, variable) in SETTINGS.items():
        wanted = getattr(ours, name)
        if wanted == getattr(default, name):
            assert flag not in server
            continue
        assert type(wanted)(server[flag][0]) == wanted
        if served_by_ollama.method == method:
            assert variables[variable] == server[flag][0]
    overrides = ["llama.context_length=int:4096"]
    if method == "ntk-by-parts":
        factor = chosen.rope.attention_factor / chosen.rope.yarn_attention_factor
        overrides.append(f"llama.rope.scaling.attn_factor=float:{factor!r}")
    assert server["--override-kv"] == [",".join(overrides)]
    if method == "ntk-by-parts":
        assert served_by_ollama.method == "yarn"
        assert "ntk-by-parts" in served_by_ollama.cannot[0]


@pytest.mark.parametrize("method", METHODS)
def test_koboldcpp_reaches_llama_cpp_through_metadata(tiny_gguf: TinyGguf, method: str) -> None:
    """Frequency scale, base and the overrides that it passes on rotate keys as our contexts do."""
    chosen = plan(tiny_gguf(), method=method)
    found = flags(export_plan(chosen, "koboldcpp").text)
    scale, base = map(float, found["--ropeconfig"])
    kinds = {"str": str, "int": int, "float": float}
    overrides: dict[str, Any] = {}
    for override in filter(None, ",".join(found.get("--overridekv", [])).split(",")):
        key, kind, value = re.split("[=:]", override)
        overrides[key] = kinds[kind](value)
    # KoboldCpp sets base and scale of the context; all else comes from the metadata.
    told = ContextParams(
        n_ctx=256,
        kv_type_k="f32",
        kv_type_v="f32",
        rope_freq_base=base,
        rope_freq_scale=scale,
    )
    keys = []
    for model, params in (
        (Model(chosen.info.path, overrides=overrides), told),
        (open_model(chosen.info.path, "llama", chosen.rope), native_params(chosen.rope)),
    ):
        context = Context(model, params)
        keys.append(lone_keys(context, 1000))
        context.close()
        model.close()
    np.testing.assert_array_equal(*keys)


@pytest.mark.parametrize("engine", ["llama-server", "ollama"])
def test_a_window_that_yarn_does_not_reach_is_said(tiny_gguf: TinyGguf, engine: str) -> None:
    """A file that says 2 times 256 and a window of 1,024; NTK's base has no such limit."""
    scaling = {"type": "yarn", "factor": 2.0, "original_context_length": 256}
    path = tiny_gguf("llama", rope_scaling=scaling)
    lost = {
        method: [
            line
            for line in export_plan(plan(path, method=method), engine).cannot
            if "caps YaRN at 2,048" in line
        ]
        for method in ("yarn", "ntk")
    }
    assert (len(lost["yarn"]), lost["ntk"]) == (1, [])


def test_within_the_trained_window_nothing_is_said_of_rope(tiny_gguf: TinyGguf) -> None:
    """Except to KoboldCpp, which would choose for itself."""
    chosen = plan(tiny_gguf(), 1024, reserve_output=64)
    server = flags(export_plan(chosen, "llama-server").text)
    assert not any("rope" in flag or "override" in flag for flag in server)
    ollama = export_plan(chosen, "ollama")
    assert "gguf-set-metadata" not in ollama.command
    assert ollama.command.startswith("ollama serve")
    assert f"FROM {chosen.info.path}\n" in ollama.text
    assert flags(export_plan(chosen, "koboldcpp").text)["--ropeconfig"] == ["1.0", "10000.0"]


def test_cache_answer_and_overflow(tiny_gguf: TinyGguf) -> None:
    """Types of keys and values, room for an answer, sinks, in each engine's words."""
    slides = plan(
        tiny_gguf(), method="ntk", overflow="slide", n_keep=8, kv_type="q8_0", reserve_output=128
    )
    server = flags(export_plan(slides, "llama-server").text)
    assert server["-ctk"] == server["-ctv"] == ["q8_0"]
    assert (server["-fa"], server["-n"], server["--keep"]) == (["on"], ["4096"], ["8"])
    assert "--context-shift" in server
    ollama = export_plan(slides, "ollama")
    assert modelfile(ollama.files["Modelfile"])[1] == {
        "num_ctx": "4096",
        "num_predict": "128",
        "num_keep": "8",
    }
    assert environment(ollama.command)["OLLAMA_KV_CACHE_TYPE"] == "q8_0"
    kobold = flags(export_plan(slides, "koboldcpp").text)
    assert (kobold["--quantkv"], kobold["--defaultgenamt"]) == (["q8_0"], ["128"])
    assert "--noshift" not in kobold
    refuses = plan(tiny_gguf(), method="ntk")
    refusing = flags(export_plan(refuses, "llama-server").text)
    assert "--no-context-shift" in refusing
    assert "-n" not in refusing  # an answer goes to the end of the window
    assert "--noshift" in flags(export_plan(refuses, "koboldcpp").text)


def modelfile(text: str) -> tuple[str, dict[str, str]]:
    """Read a Modelfile as its documentation describes it: FROM, and parameters that exist."""
    first, *lines = text.splitlines()
    instruction, source = first.split(" ", 1)
    assert instruction == "FROM"
    parameters = {}
    for line in lines:
        word, name, value = line.split(" ")
        assert word == "PARAMETER"
        assert name in ("num_ctx", "num_predict", "num_keep")
        parameters[name] = value
    return source, parameters


def copy_of_file(lines: list[str], folder: Path) -> None:
    """Run the lines of a shell that come before ``ollama serve``."""
    tools = Path(sys.executable).parent
    subprocess.run(
        "\n".join(["set -e", f'PATH="{tools}:$PATH"', *lines]),
        shell=True,
        cwd=folder,
        check=True,
        capture_output=True,
    )


def test_ollama_gets_a_copy_that_states_the_window(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """The shell lines before `ollama serve` are run; the copy is otherwise the same file."""
    chosen = plan(tiny_gguf(), method="ntk")
    found = export_plan(chosen, "ollama")
    lines = found.command.split("\n")
    assert [line.split()[0] for line in lines] == [
        "cp",
        "gguf-set-metadata",
        "LLAMA_ARG_ROPE_FREQ_BASE=" + repr(chosen.rope.freq_base),
        "ollama",
    ]
    copy_of_file(lines[:2], tmp_path)
    source, parameters = modelfile(found.files["Modelfile"])
    copy = ModelInfo.from_gguf(tmp_path / source)
    assert copy.n_ctx_train == chosen.n_ctx == int(parameters["num_ctx"])
    assert copy.rope_freq_base == chosen.info.rope_freq_base


@pytest.mark.parametrize("engine", ["llama-server", "ollama", "koboldcpp", "vllm"])
def test_what_no_server_has_is_replaced_and_said(tiny_gguf: TinyGguf, engine: str) -> None:
    """Self-Extend becomes YaRN; an elastic window a scale from the first token."""
    chosen = plan(tiny_gguf())
    assert (chosen.method, chosen.window) == ("self-extend", "elastic")
    found = export_plan(chosen, engine)
    assert (found.method, found.scale) == ("yarn", 4.0)
    assert "Self-Extend" in found.cannot[0]
    assert "elastic" in found.cannot[1]
    assert found.cannot[1] not in export_plan(plan(tiny_gguf(), window="fixed"), engine).cannot


def test_a_calibration_chooses_what_stands_in(tiny_gguf: TinyGguf) -> None:
    """The next best that was measured, with its own parameters; unscaled is none of them."""
    info = ModelInfo.from_gguf(tiny_gguf())

    def row(method: Any, perplexity: float, **parameters: Any) -> TrialResult:
        return TrialResult(
            window=2048,
            method=method,
            parameters=ProfileParameters(**parameters),
            perplexity=perplexity,
            seconds=1.0,
        )

    profile = Profile(
        model_sha256=info.sha256,
        method="self-extend",
        window=2048,
        results=(
            row("self-extend", 9.0),
            row("none", 9.5),
            row("ntk", 10.0, scale_factor=1.5),
            row("yarn", 11.0),
        ),
    )
    chosen = plan_context(info, 2048, profile=profile, memory_limit="8GiB")
    assert chosen.method == "self-extend"
    found = export_plan(chosen, "llama-server")
    assert (found.method, found.scale) == ("ntk", 3.0)
    assert "calibration" in found.cannot[0]


def test_sliding_under_yarn_is_warned_of(tiny_gguf: TinyGguf) -> None:
    """llama.cpp multiplies the keys again at each shift."""
    for method, warned in (("yarn", True), ("ntk", False)):
        chosen = plan(tiny_gguf(), method=method, overflow="slide")
        lost = export_plan(chosen, "llama-server").cannot
        assert any("at each shift" in line for line in lost) is warned


def test_every_engine_says_what_it_loses(tiny_gguf: TinyGguf) -> None:
    """None can refuse all that does not fit, or grow, or keep a GGUF's cache types."""
    chosen = plan(tiny_gguf(), kv_type="q8_0")
    for engine in ENGINES:
        found = export_plan(chosen, engine)
        assert found.engine == engine
        assert len(found.cannot) >= 3
        assert "Not expressed:" in str(found)
    with pytest.raises(RequestError, match="koboldcpp"):
        export_plan(chosen, "exllama")


def test_names_and_paths_are_quoted(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """A path with spaces and a name with anything in it stay one word of the shell."""
    path = tmp_path / "my model's.gguf"
    path.write_bytes(tiny_gguf("llama", name="My; rm -rf Model").read_bytes())
    chosen = plan(path, method="ntk")
    command = shlex.split(export_plan(chosen, "llama-server").command)
    assert command[:3] == ["llama-server", "-m", str(path)]
    lines = export_plan(chosen, "ollama").command.split("\n")
    assert shlex.split(lines[0])[1] == str(path)
    assert shlex.split(lines[-1]) == ["ollama", "create", "my-rm-rf-model", "-f", "Modelfile"]
