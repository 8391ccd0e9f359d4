"""Having a driver do a job: a process of its own, as agents' code would be."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Final

import msgspec

from flux_actors.errors import Unavailable
from flux_bench.own_flux import OwnFlux

_TIMEOUT_S: Final = 300.0


def drive(flux: OwnFlux, job: Any) -> dict[str, Any]:
    """Return what a driver in the cluster of a Flux has measured.

    Raises:
        Unavailable: it failed, or its result was not what it must be; the text is what it said.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
    command = [sys.executable, "-m", "flux_bench.driver", type(job).__name__]
    try:
        done = subprocess.run(
            [*command, msgspec.json.encode(job).decode()],
            env=variables | {"FLUX_DATA": str(flux.data)},
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the driver has not ended within {_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(said[-1] if said else f"the driver ended with {done.returncode}")
    found: dict[str, Any] = msgspec.json.decode(done.stdout.strip().splitlines()[-1])
    return found
