"""``longctx doctor``: versions, threads, memory, caches, and a self-test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from longctx.cli.output import errors, out, print_json

if TYPE_CHECKING:
    from longctx.doctor import Check, DoctorReport

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


def doctor(
    run_self_test: Annotated[
        bool, typer.Option("--self-test/--no-self-test", help="Run the packaged model, too.")
    ] = True,
    cache_dir: Annotated[
        Path | None, typer.Option(help="The folder that you keep sessions in, to look at.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is installed and whether it works; the exit status is 1 if something fails.

    The self-test loads the packaged model, prefills, re-rotates cached keys, grows the window and
    answers. Put what this prints into a bug report. Example: `longctx doctor --no-self-test`
    """
    from longctx.doctor import examine, self_test

    report = examine(cache_dir)
    if not as_json:
        _show(report)
    if run_self_test and report.llama_cpp is not None:
        if not as_json:
            errors.print("self-test of the packaged model …")
        found = []
        for check in self_test():
            found.append(check)
            if not as_json:
                _show_check(check)
        report = report.model_copy(update={"checks": (*report.checks, *found)})
    if as_json:
        print_json(report)
    if not report.ok:
        raise typer.Exit(1)


def _show(report: DoctorReport) -> None:
    from longctx.model_info import format_bytes

    table = Table.grid(padding=(0, 2))
    row = table.add_row
    row("longctx", f"{report.longctx}, Python {report.python}, {escape(report.platform)}")
    native = report.llama_cpp
    row("llama.cpp", escape(native.build) if native else "[red]does not load[/red]")
    if native:
        row("backends", escape(", ".join(native.backends)))
        row("", escape(", ".join(native.cpu_features)))
        row("GPU", "supported" if native.gpu_offload else "not supported by this build")
        for device in native.devices:
            # The processor has a row of its own, with what this process may use of it.
            if device.kind != "processor":
                row(device.name, escape(f"{device.description}, {device.memory}"))
    row("processor", f"{report.n_cores} cores of {report.n_logical} threads")
    policy, turns = map(escape, (report.omp_wait_policy, report.gomp_spincount))
    row("", f"OMP_WAIT_POLICY {policy}, GOMP_SPINCOUNT {turns}")
    free, total = map(format_bytes, (report.memory_available_bytes, report.memory_total_bytes))
    row("memory", f"{free} free of {total}")
    for extra in report.extras:
        state = "installed"
        if extra.missing:
            state = f"without {', '.join(extra.missing)}: {extra.install}"
        row(f"extra {extra.name}", escape(state))
    for cache in report.caches:
        files = f"{cache.n_files} file{'s' * (cache.n_files != 1)}"
        row(cache.holds, f"{format_bytes(cache.n_bytes)} in {files}, {cache.path}")
    out.print(table, soft_wrap=True)
    for check in report.checks:
        _show_check(check)


def _show_check(check: Check) -> None:
    colour = _COLOURS[check.status]
    took = "" if check.seconds is None else f" ({check.seconds:.1f} s)"
    out.print(
        f"[{colour}]{check.status:>7}[/{colour}]  {escape(check.name)}{took}: "
        f"{escape(check.detail)}",
        soft_wrap=True,
    )
