"""How a model is opened is the same on every command, and as in Python."""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from longctx import DeviceOptions
from longctx.cli.app import app
from longctx.cli.opening import DEVICES, OPENING, PLANNING
from longctx.planner import PlanOptions, plan_context
from longctx.shared_models import OPENING_OPTIONS
from tests.cli.test_commands import run
from tests.models import TINY

NOT_ON_A_COMMAND_LINE = {
    "plan", "profile", "parameters", "devices",  # Python's objects; of devices there is each option
    "n_gpu_layers",  # short for --gpu-layers, which is shorter
    "seed",  # of sampling
    "verbose",  # where there is a log
    "backend", "base_url", "api_key",  # of another server
}  # fmt: skip


def test_all_that_python_takes_is_there() -> None:
    """By the names that it has there."""
    assert set(OPENING) == OPENING_OPTIONS - NOT_ON_A_COMMAND_LINE
    assert set(PLANNING) == {*PlanOptions.__annotations__, "target_ctx"} - NOT_ON_A_COMMAND_LINE


@pytest.mark.parametrize("name", ["serve", "chat", "ask", "plan", "export"])
def test_every_command_has_them(name: str) -> None:
    """With the same words and defaults."""
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    found = {parameter.name: parameter for parameter in command.params}
    taken = OPENING if name in ("serve", "chat", "ask") else PLANNING
    for option in (taken | DEVICES).values():
        assert found[option.name].default == option.default
        assert found[option.name].help


def test_a_plan_is_as_it_was_asked_for(tmp_path: Path) -> None:
    """All options at once reach the planner."""
    given = ["--target-ctx", "2048", "--method", "ntk", "--window", "fixed", "--overflow", "slide"]
    given += ["--n-keep", "8", "--kv-type", "q8_0", "--reserve-output", "77", "--memory", "1GiB"]
    done = CliRunner().invoke(app, ["plan", str(TINY), *given, "--json"])
    assert done.exit_code == 0, done.output
    expected = plan_context(
        TINY, 2048, method="ntk", window="fixed", overflow="slide", n_keep=8, kv_type="q8_0",
        reserve_output=77, memory_limit="1GiB",
    )  # fmt: skip
    for name in ("n_ctx", "method", "window", "overflow", "n_keep", "kv_type_k", "reserve_output"):
        assert f'"{name}": ' in done.stdout
        value = getattr(expected, name)
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        assert f'"{name}": {shown}' in done.stdout


def test_options_of_devices_reach_the_planner() -> None:
    """Each under its own name; what is left out is the planner's to choose."""
    given = ["--gpu-layers", "auto", "--no-kv-on-gpu", "--flash-attention", "on", "--mlock"]
    given += ["--batch", "256", "--experts-on-cpu", "auto"]
    done = CliRunner().invoke(app, ["plan", str(TINY), "--target-ctx", "512", *given, "--json"])
    assert done.exit_code == 0, done.output
    expected = DeviceOptions(
        kv_on_gpu=False, flash_attention="on", mlock=True, n_batch=256, n_ubatch=256
    )
    found = json.loads(done.stdout)["devices"]
    assert found == {**asdict(expected), "tensor_split": None}
    assert {option.name for option in fields(DeviceOptions)} >= set(DEVICES)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--gpu-layers", "most"], "gpu_layers is 'most'"),
        (["--main-gpu", "99"], "main_gpu is 99; this machine has"),
        (["--tensor-split", "1,1,1,1,1,1,1,1,1"], "tensor_split has 9 shares"),
        (["--experts-on-cpu", "4"], "no mixture of experts"),
        (["--flash-attention", "yes"], "flash_attention is 'yes'"),
    ],
)
def test_what_devices_cannot_do_is_said(given: list[str], said: str) -> None:
    """As Python says it."""
    done = CliRunner().invoke(app, ["plan", str(TINY), "--target-ctx", "512", *given])
    assert done.exit_code == 1
    assert said in str(done.exception)


def test_shares_are_numbers() -> None:
    """Which the command line itself says."""
    done = CliRunner().invoke(app, ["plan", str(TINY), "--tensor-split", "a,b"])
    assert (done.exit_code, "no list of shares" in done.output) == (2, True)


def test_what_another_server_decides_is_refused() -> None:
    """``--base-url`` with options of a file's model, before anything is asked of it."""
    runner = CliRunner()
    command = ["serve", "--base-url", "http://127.0.0.1:9", "--port", "0"]
    done = runner.invoke(app, [*command, "--threads", "2", "--method", "ntk"])
    assert done.exit_code == 1
    assert "--method, --threads" in str(done.exception)
    done = runner.invoke(app, [*command, "--gpu-layers", "4", "--no-kv-on-gpu"])
    assert "--gpu-layers, --kv-on-gpu: with --base-url" in str(done.exception)
    done = runner.invoke(app, [*command, "--target-ctx", "512"])
    assert "no connection" in str(done.exception)
    done = runner.invoke(app, [*command, "--cors", "nonsense"])
    assert "is no origin" in str(done.exception)


def test_the_docstring_names_every_parameter() -> None:
    """One that collects others is none of the command's own."""
    for command in app.registered_commands:
        assert command.callback is not None
        names = set(inspect.signature(command.callback).parameters)
        assert not names & {"opening", "planning", "sampling"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", ""), "RequestError: the model's name is empty; "),
        (("plan", "https://x.y/z.gguf"), "'https://x.y/z.gguf' is an address: download"),
        (("plan", "smollm"), "there is no file smollm: check the path. A model is a .gguf file, "),
        (("models", "nowhere"), "there is no folder nowhere: "),
        (("plan", str(TINY), "--memory", "1MiB"), "raise --memory, free memory, or "),
        (("plan", str(TINY), "--target-ctx", "9000000"), "PlanError: --target-ctx=9,000,000 is "),
        (("plan", str(TINY), "--kv-type", "q9"), "PlanError: --kv-type 'q9' is unknown; "),
    ],
)
def test_what_is_wrong_is_said_in_words_of_the_command_line(
    words: tuple[str, ...], said: str
) -> None:
    """With what to do about it."""
    assert said in run(*words, ok=False).stderr
