"""Curves and heat maps, with matplotlib and without its global state.

The colours are Okabe and Ito's (2008), which colour-blind people can tell apart; every curve
has a marker and a dash of its own besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longctx.errors import MissingExtraError, PlanError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_DASHES = ("-", "--", "-.", ":")
_GREY = "#666666"


@dataclass(frozen=True)
class Curve:
    """One line of a figure; ``low`` and ``high`` bound it where the figure shows how sure it is."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class HeatMap:
    """One grid: ``values[row][column]`` between 0 and 1, rows from the top."""

    label: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]


def draw_curves(
    path: str | Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    curves: Sequence[Curve],
    levels: Mapping[str, float] | None = None,
    marks: Mapping[str, float] | None = None,
    log_y: bool = False,
    share_y: bool = False,
) -> None:
    """Draw curves over one pair of axes.

    Args:
        path: the file to write; its suffix says the format.
        title: above the axes.
        x_label: with its unit.
        y_label: with its unit.
        curves: in the order of the legend.
        levels: horizontal lines, by label.
        marks: vertical lines, by label.
        log_y: logarithmic, for figures that explode.
        share_y: y is a share; the axis shows all of 0 to 1, as percent.

    Raises:
        MissingExtraError: the extra ``eval`` is not installed.
        PlanError: such a file cannot be written.
    """
    figure = _new_figure(7.5, 4.6)
    axes = figure.subplots()
    for i, curve in enumerate(curves):
        colour = _COLOURS[i % len(_COLOURS)]
        axes.plot(
            curve.x,
            curve.y,
            label=curve.label,
            color=colour,
            marker=_MARKERS[i % len(_MARKERS)],
            linestyle=_DASHES[i % len(_DASHES)],
            markersize=5,
        )
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, lw=0)
    for label, y in (levels or {}).items():
        axes.axhline(y, color=_GREY, linestyle=":", label=label)
    for label, x in (marks or {}).items():
        axes.axvline(x, color=_GREY, linestyle="--", linewidth=1, label=label)
    if log_y:
        _plain_log_scale(axes)
    elif share_y:
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(_percent)
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(_thousands)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_title(title, loc="left")
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    _write(figure, path)


def draw_heat_maps(
    path: str | Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    value_label: str,
    maps: Sequence[HeatMap],
) -> None:
    """Draw grids of shares side by side, each cell with its number.

    Raises:
        MissingExtraError: the extra ``eval`` is not installed.
        PlanError: such a file cannot be written.
    """
    width = 1.6 + max(3.4, 0.75 * len(maps[0].columns))
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
                colour = "black" if value > 0.55 else "white"
                axes.text(column, row, f"{value:.0%}", ha="center", va="center", color=colour)
    figure.colorbar(image, ax=list(all_axes), format=_percent, label=value_label)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    _write(figure, path)


def check_plot(path: str | Path) -> None:
    """Refuse a plot that could not be written, before the measurement that it would show.

    Raises:
        MissingExtraError: the extra ``eval`` is not installed.
        PlanError: the folder is missing, or matplotlib does not know the suffix.
    """
    figure = _new_figure(1, 1)
    known = figure.canvas.get_supported_filetypes()
    suffix = Path(path).suffix.lstrip(".").lower()
    if suffix not in known:
        raise PlanError(
            f"a plot cannot be written to {Path(path).name!r}: its suffix must be one of "
            f"{', '.join(sorted(known))}; use .png, .svg or .pdf"
        )
    if not Path(path).parent.is_dir():
        raise PlanError(f"a plot cannot be written to {path}: there is no such folder; make it")


def _new_figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            'plots need matplotlib: run `pip install "longctx-sdk[eval]"`'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _write(figure: Figure, path: str | Path) -> None:
    check_plot(path)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise PlanError(f"the plot cannot be written to {path}: {error}") from error


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
