"""How busy the machine is: bounds of time are those of a quiet one, and others may be using it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

_MOST: Final = 8.0  # what takes longer than that is wrong on any machine
_MOST_IN_A_BURST: Final = 3.0  # that something waits says less of how long than the load does
_PRESSURE: Final = Path("/proc/pressure/cpu")


def busy() -> float:
    """Return how many times longer what needs a core may take now: 1 where cores are free, and 8 at most.

    The load average is that of a minute, so a burst is seen in it late; what the kernel says of the last ten
    seconds, where it does, counts as well.
    """
    by_load = 2 * os.getloadavg()[0] / (os.cpu_count() or 1)
    by_pressure = min(_MOST_IN_A_BURST, 1 / max(0.01, 1 - _waiting()))
    return min(_MOST, max(1.0, by_load, by_pressure))


def _waiting() -> float:
    """In what share of the last ten seconds something waited for a core."""
    with suppress(OSError):
        if told := re.search(r"^some avg10=([\d.]+)", _PRESSURE.read_text(), re.MULTILINE):
            return float(told[1]) / 100
    return 0.0
