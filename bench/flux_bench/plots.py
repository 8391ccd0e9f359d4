"""Growth series as curves: SVG files that are the same, byte for byte, when the figures are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flux_actors.errors import Refused
from flux_bench.outcome import Series

if TYPE_CHECKING:
    from types import ModuleType

_SIZE_INCHES: Final = (6.4, 3.6)
_FIXED: Final = {"svg.hashsalt": "flux-bench", "svg.fonttype": "none", "font.family": "sans-serif"}


def draw_all(series: Iterable[Series], folder: Path) -> list[Path]:
    """Write one file for each series that has points; return them.

    Raises:
        Refused: matplotlib is not installed, or the folder cannot be written.
    """
    matplotlib = _matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_draw(matplotlib, one, folder / f"{one.key}.svg") for one in series if one.points]
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


def _draw(matplotlib: ModuleType, series: Series, path: Path) -> Path:
    with matplotlib.rc_context(_FIXED):
        figure: Any = matplotlib.figure.Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        xs, ys = zip(*series.points, strict=True)
        axes.plot(xs, ys, marker="o")
        axes.set(title=series.title, xlabel=series.x_name, ylabel=series.y_name, xscale="log")
        axes.set_ylim(bottom=0)
        axes.set_xticks(xs, [f"{x:,.0f}" for x in xs], fontsize="small")
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.10g}")
        axes.grid(alpha=0.3)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path
