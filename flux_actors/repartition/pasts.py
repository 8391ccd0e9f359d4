"""Where the past of namespaces' earlier owners ends in a copy.

What was written under a name before its present owner had it is nobody's to read. Where that ends is noted
in sequences of the log. A namespace's events keep their order, so it ends in the copy where that has come to
when the log's block of that sequence is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flux_actors.domain.fold import PartitionState
from flux_actors.router.topology import EVERYBODY

Pasts = Mapping[str, Mapping[int, int]]  # by namespace and partition: the last sequence of earlier owners


class PastEnds:
    """Notes ends while blocks are copied."""

    def __init__(self, pasts: Pasts, copy: Sequence[PartitionState]) -> None:
        self._pasts = {name: dict(past) for name, past in pasts.items() if past}
        self._copy = copy
        self._found: dict[str, dict[int, int]] = {}
        self._names: dict[tuple[int, int], list[str]] = {}
        for name, past in self._pasts.items():
            for place in past.items():
                self._names.setdefault(place, []).append(name)

    def passed(self, partition: int, sequence: int) -> None:
        """Note that a block of the log was copied."""
        if (partition, sequence) in self._names:
            here = {state.partition: state.sequence for state in self._copy}
            for name in self._names[partition, sequence]:
                self._found[name] = here  # the last of its partitions counts

    def ends(self, pasts: Pasts) -> dict[str, dict[int, int]]:
        """Return the ends in the copy, which is whole; `pasts` is what is noted by now.

        For a name that had another end when the copy was begun, all of the copy is the past.
        """
        known = {name: dict(past) for name, past in pasts.items() if past}
        found = {name: here for name, here in self._found.items() if self._pasts[name] == known.get(name)}
        return found | {EVERYBODY: {state.partition: state.sequence for state in self._copy}}
