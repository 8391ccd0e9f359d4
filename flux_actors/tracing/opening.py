"""The traces of a process, if there are any; the library is loaded only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flux_actors.tracing.plan import TracePlan

if TYPE_CHECKING:
    from flux_actors.tracing.traces import Traces


def opened(plan: TracePlan | None, role: str, process: str) -> Traces | None:
    """Return the traces that a plan asks for."""
    if plan is None:
        return None
    from flux_actors.tracing.traces import open_traces  # noqa: PLC0415 - loaded only where traces are on

    return open_traces(plan, role, process)
