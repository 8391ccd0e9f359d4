"""What must hold after a scenario: pure comparisons of what clients know with what Flux says.

Each returns sentences, one for each thing that is not as it must be.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flux_actors.domain.pattern import names
from flux_cluster.chaos.onlooker import Onlooker
from flux_cluster.chaos.publisher import State
from flux_cluster.chaos.scenario import Check


def history_faults(entity_id: str, acked: Sequence[str], history: Sequence[str]) -> Iterator[str]:
    """Compare the events of an entity that were acknowledged, in order, with its history.

    Only one client writes the entity, so the history must be exactly that.
    """
    times = Tally(history)
    missing = [one for one in acked if one not in times]
    twice = [one for one, count in times.items() if count > 1]
    unknown = sorted(times.keys() - set(acked))
    if missing:
        yield f"{entity_id}: {len(missing)} acknowledged events are lost, such as {missing[0]}"
    if twice:
        yield f"{entity_id}: {len(twice)} events were applied twice, such as {twice[0]}"
    if unknown:
        yield f"{entity_id}: {len(unknown)} events were applied but never acknowledged, such as {unknown[0]}"
    kept = [one for one in acked if one in times]
    if list(dict.fromkeys(one for one in history if one not in unknown)) != kept:
        yield f"{entity_id}: its events were applied in another order than they were written in"


def count_faults(entity_id: str, counted: Iterable[Sequence[int]], found: int) -> Iterator[str]:
    """Compare the numbers that each counter made of a shared entity with the one that it has come to."""
    made = Tally(number for numbers in counted for number in numbers)
    twice = sorted(number for number, count in made.items() if count > 1)
    missing = sorted(set(range(1, found + 1)) - made.keys())
    if twice:
        yield f"{entity_id}: {twice[0]} was acknowledged to two counters"
    if missing:
        yield f"{entity_id}: {missing[0]} was counted but acknowledged to nobody"
    if made and max(made) > found:
        yield f"{entity_id}: {max(made)} was acknowledged, and it is at {found}"
    for numbers in counted:
        if list(numbers) != sorted(numbers):
            yield f"{entity_id}: a counter was acknowledged {list(numbers)}, which does not grow"


def state_faults(who: str, expected: State, found: State) -> Iterator[str]:
    """Compare what must be with what somebody says."""
    different = [one for one in sorted(expected.keys() | found.keys()) if expected.get(one) != found.get(one)]
    if different:
        one = different[0]
        yield (
            f"{who} has {len(different)} entities otherwise, such as {one}: "
            f"{found.get(one)} instead of {expected.get(one)}"
        )


def watch_faults(onlooker: Onlooker, state: State, written: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Compare what a watcher has folded with the state, and what it was told with what was written."""
    expected = {i: p for i, p in state.items() if any(names(one, i) for one in onlooker.patterns)}
    who = f"the watcher of {onlooker.name}"
    yield from state_faults(who, expected, onlooker.state)
    for entity_id, told in onlooker.told.items():
        numbers = list(written.get(entity_id, told))
        if told != numbers[len(numbers) - len(told) :]:
            yield f"{who} was told {told} of {entity_id}, which was written {numbers}"
    yield from (f"{who}: {trouble}" for trouble in onlooker.trouble)


def outage_faults(check: Check, write_s: float, read_s: float, rest_s: float) -> Iterator[str]:
    """Compare the longest outages with their bounds."""
    measured = (
        ("publishes were taken again only after", write_s, check.write_outage_s),
        ("lists were answered again only after", read_s, check.read_outage_s),
        ("all was as before only after", rest_s, check.rest_s),
    )
    for words, seconds, bound_s in measured:
        if seconds > bound_s:
            yield f"{words} {seconds:.1f} s, instead of {bound_s:g} s"
