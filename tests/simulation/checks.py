"""What must hold at the end of each history, whatever happened in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from flux_actors import limits
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt
from flux_actors.log.block import decode_block
from flux_actors.log.generations import stream_name
from flux_actors.router.topology import TOPOLOGY_BUCKET, TOPOLOGY_KEY, decode_topology
from flux_actors.shard.partition import Phase
from flux_actors.snapshot.codec import read_snapshot
from tests.simulation.acting import reducers
from tests.simulation.ledger import ACKED, REFUSED, Deed
from tests.simulation.settling import hosts_of
from tests.simulation.truth import Truth, canonical
from tests.simulation.watched import wrong_in_watching
from tests.simulation.watching import Watching
from tests.simulation.world import World

_MUST_NOT_BE_LOGGED = frozenset(
    {
        "commit.fault",
        "commit.listener_failed",
        "decision.fault",
        "dispatcher.fault",
        "dispatcher.call_failed",
        "dispatcher.replaced",
        "effects.refused",
        "partition.died",
        "partition.stopped",
        "watch.base_failed",
        "event.set_aside",
    }
)


def wrong(world: World, watchings: list[Watching]) -> list[str]:
    """Return all that is wrong with a history that has come to rest."""
    truths = _truths(world)
    return [
        *_faults(world),
        *_deeds(world, truths),
        *_orders(world, truths),
        *_states(world, truths),
        *_snapshots(world, truths),
        *_readings(world, truths),
        *_claims(world),
        *_acts(world, truths),
        *_epochs(world),
        *_counters(truths),
        *_views(world, truths),
        *wrong_in_watching(watchings, truths),
    ]


def _truths(world: World) -> list[Truth]:
    hosts = [host for shard in world.all_shards for host in hosts_of(shard).values()]
    found = []
    for partition in world.rule.all():
        wanted = {host.state.sequence for host in hosts if host.partition == partition}
        found.append(Truth(partition, world.server.streams[stream_name(partition)].ever, wanted))
    return found


def _faults(world: World) -> Iterator[str]:
    for text in world.loop.uncaught():
        yield f"nobody caught: {text}"
    for noted in world.notes:
        if noted.what in _MUST_NOT_BE_LOGGED:
            yield f"logged at {noted.at_s:.3f} s: {noted.what} {noted.facts}"


def _deeds(world: World, truths: list[Truth]) -> Iterator[str]:
    """Nothing acknowledged is missing, nothing counts twice, nothing refused counts."""
    for deed in world.ledger.deeds:
        truth = truths[world.rule.of_entity(deed.entity_id)]
        if deed.event_id is None:
            yield from _unnamed(deed, truth)
            continue
        applied = truth.applied.get(deed.event_id, [])
        if len(applied) > 1:
            yield f"{deed.event_id} counts {len(applied)} times: {applied}"
        if deed.outcome == ACKED and not applied:
            yield f"{deed.event_id} was acknowledged at {deed.place} and does not count"
        if deed.outcome == REFUSED and applied:
            yield f"{deed.event_id} was refused and counts: {applied}"
        if deed.outcome == ACKED and deed.place is not None and not _stands_there(deed, truth):
            yield f"{deed.event_id} was acknowledged at {deed.place}, where the log has something else"
        yield from _misplaced(deed, truth)


def _unnamed(deed: Deed, truth: Truth) -> Iterator[str]:
    if deed.outcome == ACKED and deed.place is not None and not _stands_there(deed, truth):
        yield f"an event of {deed.client} was acknowledged at {deed.place}, where the log has something else"
    if deed.outcome == ACKED and deed.place is not None:
        event_id = truth.events.get(deed.place.position, "")
        if len(truth.applied.get(event_id, [])) != 1:
            yield f"an event of {deed.client} at {deed.place} counts {truth.applied.get(event_id)}"


def _misplaced(deed: Deed, truth: Truth) -> Iterator[str]:
    for where in truth.applied.get(deed.event_id or "", []):
        if where.entity_id != deed.entity_id:
            yield f"{deed.event_id} of {deed.entity_id} counts for {where.entity_id}"


def _stands_there(deed: Deed, truth: Truth) -> bool:
    """Whether the log has the event where its sender was told: properties tell, for an id may be made up."""
    assert deed.place is not None
    sequence = deed.place.position >> limits.offset_bits
    offset = deed.place.position - (sequence << limits.offset_bits)
    if deed.event_id is not None:
        return truth.events.get(deed.place.position) == deed.event_id
    data = truth.blocks[sequence - 1] if 0 < sequence <= len(truth.blocks) else None
    if data is None:
        return False
    events = decode_block(data).events
    return offset < len(events) and events[offset].properties == deed.properties


def _orders(world: World, truths: list[Truth]) -> Iterator[str]:
    """What a client sends after it was told of what came before stands behind that."""
    last: dict[tuple[str, int], tuple[float, int, Deed]] = {}
    for deed in sorted(world.ledger.deeds, key=lambda one: one.began_s):
        if deed.event_id is None:
            continue
        partition = world.rule.of_entity(deed.entity_id)
        applied = truths[partition].applied.get(deed.event_id, [])
        if not applied:
            continue
        key = deed.client, partition
        before = last.get(key)
        if before is not None and before[0] <= deed.began_s and applied[0].position <= before[1]:
            yield f"{deed.event_id} overtook {before[2].event_id}: {applied[0].position} <= {before[1]}"
        if deed.outcome == ACKED:
            last[key] = (deed.ended_s, applied[0].position, deed)


def _states(world: World, truths: list[Truth]) -> Iterator[str]:
    """Each shard that ever was, dead ones and zombies too, has what the fold of the log has."""
    for shard in world.all_shards:
        for host in hosts_of(shard).values():
            if host.phase is Phase.RECOVERING:
                continue  # half of a state, for nobody to read
            truth = truths[host.partition]
            expected = truth.at.get(host.state.sequence)
            if expected != canonical(host.state):
                yield f"{shard.name} has another partition {host.partition} at {host.state.sequence}"


def _snapshots(world: World, truths: list[Truth]) -> Iterator[str]:
    """Each snapshot that verifies, with the log behind it, gives the same."""
    for partition, sequence in sorted(world.disk.kept):
        store = world.disk.store()
        state = PartitionState(partition)
        state.acting.reducers = reducers().of_partition(partition)
        try:
            read_snapshot(store.read(partition, sequence), state)
        except Corrupt:
            continue  # recovery passes over it
        truth = truths[partition]
        for number, data in enumerate(truth.blocks[sequence:], sequence + 1):
            state.apply([(number, decode_block(data))], feed=False)
        if canonical(state) != truth.at[truth.state.sequence]:
            yield f"snapshot {sequence} of partition {partition} and its tail give another state"


def _readings(world: World, truths: list[Truth]) -> Iterator[str]:
    """What was read was so, and all was in it that its reader knew of."""
    for reading in world.ledger.readings:
        truth = truths[world.rule.of_entity(reading.entity_id)]
        seen = reading.seen
        if seen.as_of < reading.at_least:
            yield f"{reading.client} read {reading.entity_id} as of {seen.as_of}, not {reading.at_least}"
        stands = [one for one in truth.stands.get(reading.entity_id, ()) if one.position <= seen.as_of]
        expected = stands[-1].properties if stands else None
        if seen.properties != expected:
            yield (
                f"{reading.client} read {seen.properties} of {reading.entity_id} as of {seen.as_of} "
                f"at {reading.at_s:.3f} s, and it was {expected}"
            )


def _claims(world: World) -> Iterator[str]:
    """A claim that is taken after another one was has a greater token."""
    by_entity: dict[str, list[Any]] = defaultdict(list)
    for grant in world.ledger.grants:
        by_entity[grant.entity_id].append(grant)
    for grants in by_entity.values():
        for later in grants:
            for earlier in grants:
                if earlier.ended_s < later.began_s and later.token < earlier.token:
                    yield f"token {later.token} of {later.holder} after {earlier.token} of {earlier.holder}"
                if earlier.token == later.token and earlier.holder != later.holder:
                    yield f"{earlier.holder} and {later.holder} have the same token {later.token}"


def _acts(world: World, truths: list[Truth]) -> Iterator[str]:
    """Each effect counts once, in order; each reminder rings once."""
    if not world.plan.acts:
        return
    entities: dict[str, dict[str, Any]] = {}
    for truth in truths:
        entities |= truth.entities()
        if truth.state.acting.outbox.messages:
            yield f"messages of partition {truth.partition} are not handled"
        if truth.state.acting.stopped:
            yield f"behaviours are stopped: {truth.state.acting.stopped}"
    yield from _effects(world, truths, entities)


def _effects(world: World, truths: list[Truth], entities: dict[str, dict[str, Any]]) -> Iterator[str]:
    told: dict[str, int] = {}
    for deed in world.ledger.deeds:
        if not deed.entity_id.startswith("near/in/"):
            continue
        who, n = deed.entity_id.rpartition("/")[2], deed.properties["n"]
        truth = truths[world.rule.of_entity(deed.entity_id)]
        counted = int(bool(truth.applied.get(deed.event_id or "")))
        told[who] = max(told.get(who, 0), n * counted)
        for kind, expected in (("each", counted), ("rung", counted * deed.properties["rings"])):
            times = entities.get(f"faraway/{kind}/{who}-{n}", {}).get("times", 0)
            if times != expected:
                yield f"faraway/{kind}/{who}-{n} came {times} times instead of {expected}"
    for who, n in told.items():
        ledger = entities.get(f"near/ledger/{who}", {})
        if n and ledger != {"last": n, "wrong": 0}:
            yield f"the ledger of {who} says {ledger} after {n}"


def _counters(truths: list[Truth]) -> Iterator[str]:
    """What is written only if nobody else did goes up one by one."""
    for truth in truths:
        numbers = [stand.properties["n"] for stand in truth.stands.get("b/cas", ()) if stand.properties]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"b/cas was counted {numbers}"


def _views(world: World, truths: list[Truth]) -> Iterator[str]:
    """The copies of doors are what is there."""
    for door in world.living_doors():
        for truth in truths:
            entities = truth.entities()
            for entity_id in truth.stands:
                kept = door.view.kept(entity_id)
                if kept is not None and kept.properties != entities.get(entity_id):
                    yield f"{door.process.name} has {kept.properties} of {entity_id}"


def _epochs(world: World) -> Iterator[str]:
    """An epoch of a partition never goes back, and is of one shard."""
    epochs: dict[int, int] = {}
    owners: dict[tuple[int, int], str] = {}
    for data in world.server.bucket(TOPOLOGY_BUCKET).versions(TOPOLOGY_KEY):
        for partition, owner in enumerate(decode_topology(data).owners):
            if owner is None:
                continue
            if owner.epoch < epochs.get(partition, 0):
                yield f"the epoch of partition {partition} went back to {owner.epoch}"
            epochs[partition] = owner.epoch
            known = owners.setdefault((partition, owner.epoch), owner.shard)
            if known != owner.shard:
                yield f"epoch {owner.epoch} of partition {partition} is of {known} and {owner.shard}"
