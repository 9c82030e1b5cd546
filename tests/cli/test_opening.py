"""How a model is opened is the same on every command, and as in Python."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from longctx.cli.app import app
from longctx.cli.opening import OPENING, PLANNING
from longctx.planner import PlanOptions, plan_context
from longctx.shared_models import OPENING_OPTIONS
from tests.models import TINY

NOT_ON_A_COMMAND_LINE = {
    "plan", "profile", "parameters",  # Python's objects
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
    for option in (OPENING if name in ("serve", "chat", "ask") else PLANNING).values():
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


def test_what_another_server_decides_is_refused() -> None:
    """``--base-url`` with options of a file's model, before anything is asked of it."""
    runner = CliRunner()
    command = ["serve", "--base-url", "http://127.0.0.1:9", "--port", "0"]
    done = runner.invoke(app, [*command, "--threads", "2", "--method", "ntk"])
    assert done.exit_code == 1
    assert "--method, --threads" in str(done.exception)
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
