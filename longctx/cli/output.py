"""What the commands share on a terminal: consoles, a prefill bar, plan tables, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from longctx.cli.streams import inert, writes_unicode

# The commands import what they run inside themselves: `longctx --help` loads no llama.cpp.
if TYPE_CHECKING:
    from pydantic import BaseModel

    from longctx.planner import ContextPlan
    from longctx.types import Chunk, Completion, ProgressCallback
    from longctx.types import Progress as PrefillProgress

MaxTokensOption = Annotated[
    int | None,
    typer.Option(help="Most tokens of an answer. Default: to its end, or to that of the window."),
]
ThinkingOption = Annotated[
    bool | None,
    typer.Option(
        "--thinking/--no-thinking",
        help="Whether the model thinks first. Default: as its chat template has it.",
    ),
]
ThinkingBudgetOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Most tokens of reasoning; then the answer begins. Default: no limit.",
    ),
]
T = TypeVar("T")


class Terminal(Console):
    """A console that nothing that is shown on it has a say in."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As of any console; texts quote documents, models, servers and names of files."""
        super().print(
            *(shown_on(self, one) if isinstance(one, str) else one for one in objects), **options
        )


# What is said quotes paths and texts of the user's: :abc: in them is no emoji.
out = Terminal(highlight=False, emoji=False)
# Sentences with paths in them go there, which are to be copied whole: the terminal breaks lines.
errors = Terminal(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not writes_unicode()) + "\n")


def print_json_line(value: BaseModel) -> None:
    """Print a JSON document on one line of stdout, at once: for what comes one after another."""
    line = value.model_dump_json()
    if not writes_unicode():
        line = json.dumps(json.loads(line))
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def prefill_bar(label: str) -> Iterator[ProgressCallback]:
    """A bar of tokens, tokens/s and ETA on stderr, shown once a prefill passes half a second."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} tokens"),
        TextColumn("{task.fields[speed]:,.0f} tokens/s"),
        TextColumn("ETA {task.fields[eta]:.0f} s"),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    task = bar.add_task(label, total=1, speed=0.0, eta=0.0)

    def update(progress: PrefillProgress) -> None:
        if progress.elapsed_s > 0.5:
            bar.start()
        bar.update(
            task,
            completed=progress.done_tokens,
            total=progress.total_tokens,
            speed=progress.tokens_per_s,
            eta=progress.eta_s,
        )
        if progress.done_tokens >= progress.total_tokens:
            bar.stop()

    try:
        yield update
    finally:
        bar.stop()


def show_plan(plan: ContextPlan, *, reasons: bool = True) -> None:
    """Print a plan as a table, and its reasons and warnings where they are wanted."""
    memory = plan.memory
    table = Table(
        "what", "chosen", title=f"Plan for {escape(plan.info.name)}", title_justify="left"
    )
    table.add_row("window", f"{plan.n_ctx:,} tokens (trained for {plan.n_ctx_train:,})")
    table.add_row("method", f"{plan.method}, s = {plan.scale:.4g}")
    table.add_row(
        "RoPE",
        f"rope_freq_base {plan.rope.freq_base:,.0f}, rope_freq_scale {plan.rope.freq_scale:.4g}",
    )
    table.add_row("KV cache", f"keys {plan.kv_type_k}, values {plan.kv_type_v}")
    for adapter in plan.adapters:
        table.add_row("adapter", str(adapter))
    table.add_row("memory", str(memory))
    table.add_row(
        "kept for the answer", f"{plan.reserve_output:,} token{'s' * (plan.reserve_output != 1)}"
    )
    if plan.info.sampling:
        table.add_row("sampling", plan.info.sampling_line)
    out.print(table)
    if not reasons:
        return
    for reason in plan.reasons:
        out.print(f"  because  {reason}", markup=False)
    for warning in plan.warnings:
        out.print(f"  [yellow]warning[/yellow]  {escape(warning)}")


@contextmanager
def closed_after(stream: Iterable[T]) -> Iterator[Iterable[T]]:
    """End a stream also where showing it fails: its model could not be closed before."""
    try:
        yield stream
    finally:
        if isinstance(stream, Generator):
            stream.close()


def shown_on(console: Console, text: str) -> str:
    """Words as a console shows them: a pipe has them as they are, a terminal inert."""
    return inert(text) if console.is_terminal else text


def show_words(text: str) -> None:
    """Print some of a model's words, at once. A pipe has them as they are: a console would make
    spaces of tabs."""
    if out.is_terminal:
        out.print(text, end="", markup=False, soft_wrap=True)
    else:
        out.file.write(text)
    out.file.flush()


def say(chunks: Iterable[Chunk], *, aloud: bool = True) -> Completion:
    """Print an answer as it comes (unless it is not to be heard), and return its result."""
    with closed_after(chunks):
        for chunk in chunks:
            if aloud:
                show_words(chunk.text + ("\n" if chunk.result else ""))
            if chunk.result is not None:
                return chunk.result
    raise AssertionError("a stream ends with its result")


class Thoughts:
    """Shows what a model thinks, dim and on stderr: an answer that is piped on goes without."""

    def __init__(self) -> None:
        self._is_open = False

    def show(self, text: str) -> None:
        """Some more of it."""
        if text:
            if not self._is_open and errors.is_dumb_terminal:
                errors.print("(thinking) ", end="")  # which has no dim letters
            errors.print(text, end="", markup=False, style="dim", soft_wrap=True)
            errors.file.flush()
            self._is_open = True

    def end(self) -> None:
        """Something else follows."""
        if self._is_open:
            errors.print()
            self._is_open = False


def show_cost(result: Completion) -> None:
    """Print one dim line: window, scale, cached and prefilled tokens, speed."""
    usage, timings, window = result.usage, result.timings, result.window
    speed = usage.completion_tokens / timings.decode_s if timings.decode_s else 0.0
    scale = f", {window.method} s = {window.scale:.3g}" if window.scale > 1 else ""
    grew = f", grew from {window.grew_from:,}" if window.grew_from else ""
    out.print(
        f"[dim]window {window.n_ctx:,}{scale}{grew} · {usage.cached_tokens:,} tokens cached, "
        f"{usage.prefilled_tokens:,} prefilled in {timings.prefill_s:.1f} s · "
        f"{usage.completion_tokens} generated at {speed:.1f}/s · {_ending(result)}[/dim]"
    )


def _ending(result: Completion) -> str:
    return "cut: it repeats itself" if result.finish_detail else result.finish_reason
