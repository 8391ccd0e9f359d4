"""Doing one job."""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from flux_actors.errors import FluxError
from flux_bench.driver.asks import Asks
from flux_bench.driver.filling import Filling
from flux_bench.driver.messages import Messages
from flux_bench.driver.plain_actors import PlainActors
from flux_bench.driver.publishing import Publishing
from flux_bench.driver.waking import Waking

_JOBS: Final[tuple[type[Any], ...]] = (Messages, Asks, Publishing, Filling, Waking, PlainActors)


def main(name: str, job: str) -> None:
    """Print what was measured."""
    (wanted,) = (one for one in _JOBS if one.__name__ == name)
    try:
        found = msgspec.json.decode(job, type=wanted).run()
    except FluxError as error:
        raise SystemExit(f"{type(error).__name__}: {error.message}") from error
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
