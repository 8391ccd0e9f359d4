"""An event loop whose clock jumps to the next timer: hours of waiting take no time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for code that waits for timers and for itself, never for the world."""

    def __init__(self) -> None:
        self._virtual_s = 0.0
        super().__init__()

    def time(self) -> float:
        return self._virtual_s

    def _run_once(self) -> None:
        if not self._ready:
            timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]
            assert timers, "everything waits, and nothing will ever happen"
            self._virtual_s = max(self._virtual_s, min(timers))
        super()._run_once()


def on_virtual_clock(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on a `VirtualLoop`; the test begins at second 0."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def settled() -> None:
    """Let everything happen that needs no time."""
    for _ in range(50):
        await asyncio.sleep(0)
