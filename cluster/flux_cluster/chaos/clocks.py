"""Clocks that differ: a node whose Python processes have another time than this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_SITE: Final = Path(__file__).with_name("skew")
_FILE: Final = "CLOCK_SKEW_FILE"  # no FLUX_* variable: those are settings
SEEN_S: Final = 0.1  # by then every process has looked


class SkewedClock:
    """The clock of one node; all that is started with its `environment` goes by it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def environment(self, of: Mapping[str, str]) -> dict[str, str]:
        """Return an environment whose Python processes go by this clock."""
        paths = [str(_SITE), *filter(None, [of.get("PYTHONPATH")])]
        return dict(of) | {"PYTHONPATH": os.pathsep.join(paths), _FILE: str(self._file)}

    def put(self, by_s: float) -> None:
        """Put the clock so many seconds forward of this machine's, or back of it; it is a step."""
        aside = self._file.with_suffix(".aside")
        aside.write_text(str(by_s))
        aside.replace(self._file)
