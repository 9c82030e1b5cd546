"""``--help``: typer's tables where a terminal is wide enough for them, else a list."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.console import Console
from rich.padding import Padding
from typer.core import TyperCommand

TABLE_NEEDS = 100
"""Columns: in fewer the words stand in a narrow strip, and long ones are cut."""


class HelpfulCommand(TyperCommand):
    """A command of typer whose help is not cut, however narrow the terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for option in self.params:
            if option.param_type_name == "option" and option.metavar is None:
                option.metavar = _taken(option)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Names in a line of their own, what they mean below them; panels become headings."""
        from rich.markdown import Markdown  # and a parser with it, which no other command needs

        console = Console(highlight=False)
        if console.width >= TABLE_NEEDS:
            super().format_help(ctx, formatter)
            return
        console.print(self.get_usage(ctx), markup=False)
        console.print()
        console.print(Markdown(self.help or ""))
        shown = sorted(self.get_params(ctx), key=_panel_first)
        for panel, options in groupby(shown, key=_panel):
            console.print(f"\n{panel}", style="bold underline")
            for option in options:
                names, text = option.get_help_record(ctx) or ("", "")
                if option.param_type_name == "argument":
                    names = _named(option)
                console.print(names, markup=False, style="bold")
                console.print(Padding(Markdown(text), (0, 0, 0, 4)))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002  # typer gives it
        """Arguments as manuals write them: MODEL, [MODEL], FILE..."""
        arguments = (each for each in self.params if each.param_type_name == "argument")
        return ["[OPTIONS]", *map(_named, arguments)]


def _named(argument: Any) -> str:
    """As it is declared to be written, or its name, in brackets where it may be left out."""
    if argument.metavar:
        return str(argument.metavar)
    name = argument.name.upper() + ("" if argument.nargs == 1 else "...")
    return name if argument.required else f"[{name}]"


def _taken(option: Any) -> str | None:
    """A flag takes nothing, and what can be repeated takes one value at a time."""
    if option.is_flag:
        return ""
    return "<str>" if option.multiple else None


def _panel(option: Any) -> str:
    kind = "Arguments" if option.param_type_name == "argument" else "Options"
    return option.rich_help_panel or kind


def _panel_first(option: Any) -> tuple[bool, bool, str]:
    """Arguments, options, then the panels, as typer has them."""
    panel = _panel(option)
    return panel != "Arguments", panel != "Options", panel
