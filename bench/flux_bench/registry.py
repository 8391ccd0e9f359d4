"""All cases, in the order of the table."""

from __future__ import annotations

from typing import Final

from flux_actors.errors import Refused
from flux_bench.cases import (
    acting,
    fairness,
    filtering,
    listing,
    live,
    memory,
    publishing,
    reading,
    restarting,
    scaling,
    tokens,
)
from flux_bench.cases.case import Case

ALL: Final[tuple[Case, ...]] = (
    *publishing.CASES,
    *reading.CASES,
    *listing.CASES,
    *filtering.CASES,
    *live.CASES,
    *restarting.CASES,
    *memory.CASES,
    *scaling.CASES,
    *fairness.CASES,
    *tokens.CASES,
    *acting.CASES,
)


def chosen(names: str | None) -> list[Case]:
    """Return the cases whose names are listed, with commas between; all of them for `None`.

    Raises:
        Refused: there is no such case.
    """
    if names is None:
        return list(ALL)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {case.name: case for case in ALL}
    for name in wanted:
        if name not in known:
            raise Refused(f"there is no case {name}; the cases are {', '.join(known)}")
    if not wanted:
        raise Refused(f"name a case: {', '.join(known)}")
    return [case for case in ALL if case.name in wanted]
