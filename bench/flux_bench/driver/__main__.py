"""Doing one job."""

from __future__ import annotations

import sys
from typing import Final

import msgspec

from flux_actors.errors import FluxError
from flux_bench.driver.messages import Messages

_JOBS: Final = {"messages": Messages}


def main(name: str, job: str) -> None:
    """Print what was measured."""
    try:
        found = msgspec.json.decode(job, type=_JOBS[name]).run()
    except FluxError as error:
        raise SystemExit(f"{type(error).__name__}: {error.message}") from error
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
