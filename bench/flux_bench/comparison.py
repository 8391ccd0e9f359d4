"""Two saved runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flux_actors.errors import Refused
from flux_bench.outcome import Line, Run
from flux_bench.report import number_text

_NOISE: Final = 0.05  # what repetitions of the same code differ by on a quiet machine


class Change(NamedTuple):
    """What became of one figure: `factor` is new through old, of the ratios where both have a baseline."""

    case: str
    title: str
    old: str
    new: str
    factor: float | None
    better: bool | None


def load_run(path: Path) -> Run:
    """Return a saved run.

    Raises:
        Refused: the file cannot be read, or is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror})") from None
    except msgspec.DecodeError as error:
        raise Refused(f"{path} is no saved run of `flux bench --json` ({error})") from None


def changes_of(old: Run, new: Run) -> list[Change]:
    """Return what changed, in the order of the new run; what only one of them has is left open."""
    before = {(line.case, line.row.key): line for line in old.lines}
    after = {(line.case, line.row.key): line for line in new.lines}
    gone = [line for key, line in before.items() if key not in after]
    return [
        *(_change(line, before.get(key), line) for key, line in after.items()),
        *(_change(line, line, None) for line in gone),
    ]


def show(old: Run, new: Run, console: Console) -> None:
    """Print a comparison."""
    console.print(f"old: {_text(old)}\nnew: {_text(new)}", highlight=False)
    table = Table("case", "what", "old", "new", "new / old", "", box=None, pad_edge=False)
    for change in changes_of(old, new):
        factor = f"{change.factor:.2f}" if change.factor is not None else ""
        word, style = {True: ("better", "green"), False: ("worse", "red"), None: ("", "")}[change.better]
        cells = (change.case, change.title, change.old, change.new, factor)
        table.add_row(*map(Text, cells), Text(word, style=style))
    console.print(table)
    console.print("Where a case has a baseline, ratios are compared: the machine's own pace drops out.")


def _change(line: Line, old: Line | None, new: Line | None) -> Change:
    factor = _factor(old, new)
    better = None
    if factor is not None and abs(factor - 1) > _NOISE:
        target = line.row.target
        less = line.row.less_is_better if target is None else not target.least
        better = (factor < 1) is less
    return Change(line.case, line.row.title, _figure(old), _figure(new), factor, better)


def _factor(old: Line | None, new: Line | None) -> float | None:
    if old is None or new is None or not old.value or new.value is None:
        return None
    if old.ratio and new.ratio:
        return new.ratio / old.ratio
    return new.value / old.value


def _figure(line: Line | None) -> str:
    if line is None or line.value is None:
        return "–"
    return f"{number_text(line.value)} {line.row.unit}"


def _text(run: Run) -> str:
    return f"Flux {run.flux}, {run.when}, {run.machine.cores} cores, {run.machine.processor}"
