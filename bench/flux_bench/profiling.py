"""Where the time goes: a sampling profiler on the door and the shard while a case runs.

py-spy reads the stacks of a running process from outside, so that nothing has to be built in. What is
told is self time: the function that was running itself, whatever had called it. Threads that wait for
another thread, the network or the disk are left out.
"""

from __future__ import annotations

import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flux_actors.errors import Refused
from flux_bench.cases.case import Case
from flux_bench.lab import Lab
from flux_bench.outcome import Measured

_RATE: Final = 200  # samples a second: enough for a percent, and cheap
_PARTS: Final = ("door", "shard")
_TOP: Final = 25
_LONGEST_S: Final = 3600
_END_S: Final = 20.0


class Hot(NamedTuple):
    """A function and how often it was the one that ran."""

    function: str
    samples: int
    share: float


class Profiler:
    """Samples the parts of our Flux around each measurement."""

    def __init__(self, folder: Path | None) -> None:
        self.found: dict[str, Counter[str]] = {part: Counter() for part in _PARTS}
        self._binary = binary()
        self._folder = folder

    def around(self, lab: Lab, case: Case, measure: Callable[[], Measured]) -> Measured:
        """Measure while the parts are sampled."""
        flux = lab.mine
        with tempfile.TemporaryDirectory(prefix="flux-bench-") as folder:
            files = {part: Path(folder) / f"{case.name}-{part}.txt" for part in _PARTS}
            samplers = [_sample(self._binary, flux.part(part), file) for part, file in files.items()]
            try:
                measured = measure()
            finally:
                for sampler in samplers:
                    _end(sampler)
            for part, file in files.items():
                self._take(part, file)
        return measured

    def show(self, console: Console) -> None:
        """Print the functions that ran most."""
        for part, stacks in self.found.items():
            table = Table("self", "samples", "function", title=f"{part}: where its time goes", box=None)
            for hot in hottest(stacks):
                table.add_row(f"{hot.share:.1%}", f"{hot.samples:,}", Text(hot.function))
            console.print(table)

    def _take(self, part: str, file: Path) -> None:
        if not file.exists():
            raise Refused(
                f"py-spy could not read the {part}: it needs the right to trace processes "
                "(root, or sysctl kernel.yama.ptrace_scope=0, or --cap-add SYS_PTRACE in a container)"
            )
        text = file.read_text()
        self.found[part].update(stacks_of(text))
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / file.name).open("a") as kept:
                kept.write(text)


def binary() -> str:
    """Return py-spy's program.

    Raises:
        Refused: it is not installed.
    """
    path = Path(sysconfig.get_path("scripts")) / "py-spy"
    if not path.exists():
        raise Refused("--profile needs py-spy; install it with: pip install 'flux-actors[bench]'")
    return str(path)


def stacks_of(text: str) -> Counter[str]:
    """Return how often each stack was seen, from lines of `frame;frame;frame count`."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if stack and count.isdigit():
            found[stack] += int(count)
    return found


def hottest(stacks: Counter[str], top: int = _TOP) -> list[Hot]:
    """Return the functions that ran themselves most often, lines of one function together."""
    own: Counter[str] = Counter()
    for stack, count in stacks.items():
        own[_function(stack.rpartition(";")[2])] += count
    total = own.total() or 1
    return [Hot(function, count, count / total) for function, count in own.most_common(top)]


def _function(frame: str) -> str:
    """Return a frame `name (file:line)` without its line."""
    name, _, place = frame.partition(" (")
    return f"{name} ({place.rpartition(':')[0]})" if ":" in place else frame


def _sample(program: str, process: psutil.Process, file: Path) -> subprocess.Popen[bytes]:
    command = [program, "record", "--pid", str(process.pid), "--rate", str(_RATE)]
    command += ["--format", "raw", "--duration", str(_LONGEST_S), "--output", str(file)]
    command += ["--nonblocking", "--gil"]  # never stop what is measured; who waits does not run
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _end(sampler: subprocess.Popen[bytes]) -> None:
    """Have py-spy write what it has: it does so when it is interrupted."""
    sampler.send_signal(2)
    try:
        sampler.wait(_END_S)
    except subprocess.TimeoutExpired:
        sampler.kill()
        sampler.wait()
