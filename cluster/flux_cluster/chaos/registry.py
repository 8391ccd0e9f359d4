"""Which faults there are, by the name that a scenario gives as `what`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from flux_actors.errors import Refused
from flux_cluster.chaos import (
    clock_faults,
    disk_faults,
    nats_faults,
    network_faults,
    process_faults,
    ray_faults,
)
from flux_cluster.chaos.fault import Fault
from flux_cluster.chaos.scenario import Injection

FAULTS: Final[Mapping[str, type[Fault]]] = {
    **process_faults.FAULTS,
    **ray_faults.FAULTS,
    **nats_faults.FAULTS,
    **network_faults.FAULTS,
    **disk_faults.FAULTS,
    **clock_faults.FAULTS,
}


def fault_of(injection: Injection) -> Fault:
    """Return a new fault of the kind that a scenario names, with its options.

    Raises:
        Refused: there is none of that name, or it does not take such options.
    """
    kind = FAULTS.get(injection.what)
    if kind is None:
        raise Refused(f"there is no fault `{injection.what}`; there are {', '.join(sorted(FAULTS))}")
    try:
        return msgspec.convert(injection.options, kind)
    except msgspec.ValidationError as error:
        raise Refused(f"the fault {injection.what}: {error}") from None
