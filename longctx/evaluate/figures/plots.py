"""Curves and heat maps, with matplotlib and without its global state.

The colours are Okabe and Ito's (2008), which colour-blind people can tell apart; every curve
has a marker and a dash of its own besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longctx.errors import MissingExtraError, RequestError
from longctx.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = {
    "ink": ("#000000", "#e8e8e8"),
    "grey": ("#666666", "#a0a0a0"),
    "rule": ("#dddddd", "#3a3d42"),
    "blue": ("#0072b2", "#3f97d8"),
    "orange": ("#e69f00", "#e69f00"),
    "green": ("#009e73", "#14b387"),
    "red": ("#d55e00", "#e5702a"),
    "pink": ("#cc79a7", "#d48cb4"),
    "sky": ("#56b4e9", "#8fd0f5"),
}
"""Each colour of a figure: as drawn, on white, and on a dark page."""

_INK, _GREY, _RULE, *_COLOURS = (light for light, _dark in PALETTE.values())
_COLOURS.append(_INK)
_MARKERS = "osD^vPX"
_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Curve:
    """One line of a figure."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class HeatMap:
    """One grid: ``values[row][column]`` between 0 and 1, rows from the top."""

    label: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]


def curves_figure(
    *,
    title: str,
    x_label: str,
    y_label: str,
    curves: Sequence[Curve],
    levels: Mapping[str, float] | None = None,
    marks: Mapping[str, float] | None = None,
    log_y: bool = False,
) -> Figure:
    """Draw curves over one pair of axes.

    Args:
        title: above the axes.
        x_label: with its unit.
        y_label: with its unit.
        curves: in the order of the legend.
        levels: horizontal lines, by label.
        marks: vertical lines, by label.
        log_y: logarithmic, for figures that explode.

    Raises:
        MissingExtraError: the extra ``eval`` is not installed.
    """
    figure = _new_figure(7.5, 4.6)
    axes = figure.subplots()
    for i, curve in enumerate(curves):
        axes.plot(
            curve.x,
            curve.y,
            label=curve.label,
            color=_COLOURS[i % len(_COLOURS)],
            marker=_MARKERS[i % len(_MARKERS)],
            linestyle=_DASHES[i % len(_DASHES)],
            markersize=5,
        )
    for label, y in (levels or {}).items():
        axes.axhline(y, color=_GREY, linestyle=":", label=label)
    for label, x in (marks or {}).items():
        axes.axvline(x, color=_GREY, linestyle="--", linewidth=1, label=label)
    if log_y:
        _plain_log_scale(axes)
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(_thousands)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_title(title, loc="left")
    axes.grid(True, color=_RULE, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


def heat_maps_figure(
    *,
    title: str,
    x_label: str,
    y_label: str,
    value_label: str,
    maps: Sequence[HeatMap],
) -> Figure:
    """Draw grids of shares side by side, each cell with its number.

    Raises:
        MissingExtraError: the extra ``eval`` is not installed.
    """
    names = max(len(row) for row in maps[0].rows)
    width = 1.2 + 0.07 * names + max(3.4, 0.75 * len(maps[0].columns))
    figure = _new_figure(1.0 + width * len(maps), 2.0 + 0.42 * len(maps[0].rows))
    all_axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, grid in zip(all_axes, maps, strict=True):
        # Cividis: dark to light without a change of hue that anybody could miss.
        image = axes.imshow(grid.values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(grid.columns)), grid.columns)
        axes.set_yticks(range(len(grid.rows)), grid.rows)
        axes.set(xlabel=x_label, ylabel=y_label if axes is all_axes[0] else "")
        axes.set_title(grid.label, loc="left", fontsize=9)
        for row, values in enumerate(grid.values):
            for column, value in enumerate(values):
                # A cell is as bright on a dark page, so this black is not the page's ink.
                colour = "#010101" if value > 0.55 else "#fefefe"
                axes.text(column, row, f"{value:.0%}", ha="center", va="center", color=colour)
    figure.colorbar(image, ax=list(all_axes), format=_percent, label=value_label)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def check_plot(path: str | Path) -> None:
    """Refuse a plot that could not be written, before the measurement that it would show.

    Raises:
        MissingExtraError: the extra ``eval`` is not installed.
        RequestError: the folder is missing, or matplotlib does not know the suffix.
    """
    figure = _new_figure(1, 1)
    known = figure.canvas.get_supported_filetypes()
    suffix = Path(path).suffix.lstrip(".").lower()
    if suffix not in known:
        raise RequestError(
            f"a plot cannot be written to {Path(path).name!r}: its suffix must be one of "
            f"{', '.join(sorted(known))}; use .png, .svg or .pdf"
        )
    check_folder("plot", path)


def check_folder(what: str, path: str | Path) -> None:
    """Refuse a file in a folder that is not there; ``what`` names it.

    Raises:
        RequestError: the folder is missing.
    """
    if not Path(path).parent.is_dir():
        raise RequestError(
            f"a {what} cannot be written to {path}: there is no such folder; make it"
        )


def _new_figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            'plots need matplotlib: run `pip install "longctx-sdk[eval]"`'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def write_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure; the file's suffix says the format.

    Raises:
        RequestError: such a file cannot be written.
    """
    check_plot(path)
    try:
        with replacing(path) as part:
            figure.savefig(part, dpi=150, format=Path(path).suffix.lstrip(".").lower())
    except OSError as error:
        raise RequestError(f"the plot cannot be written to {path}: {error}") from error


def _plain_log_scale(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(_thousands)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _thousands(value: float, _position: Any = None) -> str:
    return f"{value:,.10g}"


def _percent(value: float, _position: Any = None) -> str:
    return f"{value:.0%}"
