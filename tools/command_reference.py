"""Makes docs/commands.md: every command and every option, in the words of ``--help``.

python -m tools.command_reference
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command

from longctx.cli.app import app

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
SHARED = 3
"""An option that so many commands have, in the same words, is listed once."""
INTRODUCTION = """\
# The command line

Every command and option, as `longctx COMMAND --help` prints them; `python -m
tools.command_reference` writes this page. Options that several commands share are listed once:
[sampling](#options-sampling), [model](#options-model), [others](#options-others). Also:
`longctx --version`, and `longctx --install-completion` for your shell.

Results go to stdout; the plan, progress, warnings and errors go to stderr. The exit status is 0,
1 for an error, 2 for wrong usage, and 130 after Ctrl-C.
"""


class Option(NamedTuple):
    """As a row of a table has it, and the panel of the help that it stands in."""

    flags: str
    said: str
    panel: str | None


def page() -> str:
    """The whole page."""
    commands = dict(_commands(get_command(app), ("longctx",)))
    counts = Counter(option for command in commands.values() for option in _options(command))
    panels: dict[str, list[Option]] = defaultdict(list)
    for option, n in counts.items():
        if n >= SHARED:
            panels[option.panel or "Others"].append(option)
    parts = [INTRODUCTION]
    for name, command in commands.items():
        own = _options(command)
        parts.append(f"\n## {name}\n\n{_help(command)}\n")
        parts += _table([option for option in own if counts[option] < SHARED])
        also = [part for panel, shared in panels.items() for part in _also(panel, shared, own)]
        if also:
            parts.append(f"\nAlso: {', '.join(also)}.\n")
    for panel, shared in panels.items():
        parts.append(f"\n## Options: {panel.lower()}\n")
        parts += _table(shared)
    return "".join(parts)


def _also(panel: str, shared: list[Option], own: list[Option]) -> list[str]:
    """A panel as a whole, or those of its options that a command has."""
    here = [option for option in shared if option in own]
    if here == shared:
        return [f"[{panel.lower()}](#options-{panel.lower()})"]
    return [option.flags.partition(",")[0] for option in here]


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def _help(command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    lines = [_plain(command.help or "")]
    lines += [
        f"- `{p.metavar or p.name}`: {_plain(p.help)}" for p in arguments if getattr(p, "help", "")
    ]
    return "\n\n".join([lines[0], "\n".join(lines[1:])]).strip()


def _options(command: Any) -> list[Option]:
    return [
        Option(
            ", ".join(f"`{flag}`" for flag in (*p.opts, *p.secondary_opts)),
            " ".join(filter(None, [_plain(p.help or ""), _default(p)])),
            p.rich_help_panel,
        )
        for p in command.params
        if p.param_type_name == "option" and p.name != "help"
    ]


def _default(option: Any) -> str:
    value = option.default
    if value is None or isinstance(value, bool) or callable(value) or not option.show_default:
        return f"Default: {option.opts[0]}." if value is True else ""
    return f"Default: {', '.join(map(str, value)) if isinstance(value, list) else value}."


def _plain(text: str) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text.strip())


def _table(options: list[Option]) -> list[str]:
    if not options:
        return []
    rows = [f"| {flags} | {said.replace('|', chr(92) + '|')} |\n" for flags, said, _ in options]
    return ["\n| option | |\n| --- | --- |\n", *rows]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
