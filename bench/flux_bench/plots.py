"""Series as curves: SVG files that are the same, byte for byte, when the figures are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flux_actors.errors import Refused
from flux_bench.outcome import Series

if TYPE_CHECKING:
    from types import ModuleType

_SIZE_INCHES: Final = (6.4, 3.6)
_FIXED: Final = {"svg.hashsalt": "flux-bench", "svg.fonttype": "none", "font.family": "sans-serif"}


Points = Sequence[tuple[float, float]]


class Figure(NamedTuple):
    """Lines in one picture, each with what it is; one alone needs no name."""

    key: str
    title: str
    x_name: str
    y_name: str
    lines: Sequence[tuple[str, Points]]
    x_scale: str = "log"


def figure_of(series: Series) -> Figure:
    """Return the picture of a growth series."""
    return Figure(series.key, series.title, series.x_name, series.y_name, [("", series.points)])


def draw_all(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Write one file for each figure that has points; return them.

    Raises:
        Refused: matplotlib is not installed, or the folder cannot be written.
    """
    matplotlib = _matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            _draw(matplotlib, one, folder / f"{one.key}.svg")
            for one in figures
            if any(points for _, points in one.lines)
        ]
    except OSError as error:
        raise Refused(f"{folder} cannot be written ({error.strerror})") from None


def check() -> None:
    """Fail at once, and not after an hour of measuring, when plots cannot be drawn."""
    _matplotlib()


def _matplotlib() -> ModuleType:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an optional package
        import matplotlib.figure  # noqa: PLC0415
    except ImportError:
        raise Refused("plots need matplotlib; install it with: pip install 'flux-actors[bench]'") from None
    return mpl


def _draw(matplotlib: ModuleType, wanted: Figure, path: Path) -> Path:
    with matplotlib.rc_context(_FIXED):
        figure: Any = matplotlib.figure.Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        for name, points in wanted.lines:
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        xs = sorted({x for _, points in wanted.lines for x, _ in points})
        axes.set(title=wanted.title, xlabel=wanted.x_name, ylabel=wanted.y_name, xscale=wanted.x_scale)
        if len(wanted.lines) > 1:
            axes.legend()
        axes.set_ylim(bottom=0)
        axes.set_xticks(xs, [f"{x:,.0f}" for x in xs], fontsize="small")
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.10g}")
        axes.grid(alpha=0.3)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path
