"""What a poll found becomes events: only what changed, each change once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.connectors.writing import EntityWriter, LogParts, batches
from flux_actors.domain.event import Event
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.block import decode_block
from flux_actors.log.committer import Committer
from flux_actors.log.memory import MemoryLog

NOW_MS = 1_700_000_000_000
PARTITIONS = 3


class Held:
    """What Flux holds: the fold of what is in the log, or what a test says."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.asked: list[list[str]] = []
        self.fault: Exception | None = None

    async def properties(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        self.asked.append(list(ids))
        if self.fault is not None:
            raise self.fault
        return {entity_id: self.entities[entity_id] for entity_id in ids if entity_id in self.entities}


class Bench:
    """A writer on a log in memory."""

    def __init__(self) -> None:
        self.log = MemoryLog(PARTITIONS)
        self.held = Held()
        self.numbers = 0
        self.restart()

    def restart(self) -> None:
        """Another process: it knows nothing."""
        parts = LogParts(
            Partitioning(PARTITIONS, frozenset({"wide"})),
            lambda partition: Committer(self.log, partition, partition + 1, lambda: NOW_MS * 1000),
            self.held,
            self._new_id,
            lambda: NOW_MS,
        )
        self.parts = parts
        self.writer = EntityWriter("home/api/", "api", "connector/api", parts)

    def _new_id(self) -> str:
        self.numbers += 1
        return f"id-{self.numbers}"

    async def events(self) -> list[Event]:
        found: list[Event] = []
        for partition in range(PARTITIONS):
            for sequence in range(1, (await self.log.bounds(partition)).last + 1):
                block = decode_block(await self.log.block(partition, sequence))
                found += [event for event in block.events if isinstance(event, Event)]
        return found


@pytest.fixture
def bench(monkeypatch) -> Bench:
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    return Bench()


async def test_an_entity_becomes_an_event_below_the_prefix(bench):
    assert await bench.writer.write([("a/b", {"x": 1, "y": None})]) == 1
    (event,) = await bench.events()
    assert event.public() == {
        "eventId": "id-1",
        "stream": "api",
        "source": "connector/api",
        "timestamp": NOW_MS,
        "payload": {"entity_id": "home/api/a/b", "properties": {"x": 1, "y": None}},
    }
    assert event.named_by_client


async def test_only_what_changed_is_written(bench):
    first = [("a", {"x": 1, "y": {"z": [1, 2]}}), ("b", {"x": 1})]
    assert await bench.writer.write(first) == 2
    assert await bench.writer.write([("a", {"y": {"z": [1, 2]}, "x": 1}), ("b", {"x": 2})]) == 1
    assert [event.entity_id for event in await bench.events()].count("home/api/b") == 2


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (1, 1.0), (0, False), ("1", 1), (None, 0), ([], {})]
)
async def test_values_that_python_calls_equal_are_not_the_same(bench, before, after):
    await bench.writer.write([("a", {"x": before})])
    assert await bench.writer.write([("a", {"x": after})]) == (1 if before is not after else 0)
    bench.held.entities["home/api/a"] = {"x": before}
    bench.restart()
    assert await bench.writer.write([("a", {"x": after})]) == 1


async def test_what_changes_back_is_written_again(bench):
    for value in (1, 2, 1, 2):
        assert await bench.writer.write([("a", {"x": value})]) == 1
    assert len({event.event_id for event in await bench.events()}) == 4


async def test_a_writer_of_many_entities_forgets_what_flux_knows(bench, monkeypatch):
    monkeypatch.setattr(limits, "connector_known_max", 10)
    for number in range(40):
        await bench.writer.write([(str(number), {"n": number})])
    assert len(bench.writer._known) <= 11  # noqa: SLF001 - its memory is the point
    bench.held.entities = {"home/api/3": {"n": 3}}
    assert await bench.writer.write([("3", {"n": 3})]) == 0


class TestAfterARestart:
    async def test_what_flux_holds_is_not_written_again(self, bench):
        bench.held.entities = {"home/api/a": {"x": 1, "other": "of somebody else"}, "home/api/b": {"x": 1}}
        assert await bench.writer.write([("a", {"x": 1}), ("b", {"x": 2}), ("c", {"x": 1})]) == 2
        assert bench.held.asked == [["home/api/a", "home/api/b", "home/api/c"]]
        await bench.writer.write([("a", {"x": 1})])
        assert len(bench.held.asked) == 1

    async def test_a_shard_that_cannot_say_so_holds_the_write_up(self, bench):
        bench.held.fault = Unavailable("recovering")
        with pytest.raises(Unavailable, match="recovering"):
            await bench.writer.write([("a", {"x": 1})])
        bench.held.fault = None
        assert await bench.writer.write([("a", {"x": 1})]) == 1

    async def test_an_entity_with_no_properties_of_its_own_counts_as_there(self, bench):
        bench.held.entities = {"home/api/a": {"z": 1}}
        assert await bench.writer.write([("a", {})]) == 0


class TestDeleting:
    async def test_none_deletes_what_is_there_once(self, bench):
        await bench.writer.write([("a", {"x": 1})])
        assert await bench.writer.write([("a", None)]) == 1
        assert await bench.writer.write([("a", None)]) == 0
        assert [event.deletes for event in await bench.events()] == [False, True]
        assert await bench.writer.write([("a", {"x": 1})]) == 1

    async def test_what_is_not_there_is_not_deleted(self, bench):
        assert await bench.writer.write([("a", None)]) == 0
        bench.held.entities = {"home/api/b": {"x": 1}}
        assert await bench.writer.write([("b", None)]) == 1


class TestFaults:
    async def test_a_write_without_an_answer_comes_again_under_the_same_id(self, bench):
        bench.log.lose_acks = 1
        with pytest.raises(Unavailable):
            await bench.writer.write([("a", {"x": 1})])
        assert await bench.writer.write([("a", {"x": 1})]) == 1
        assert {event.event_id for event in await bench.events()} == {"id-1"}

    async def test_another_value_meanwhile_is_another_change(self, bench):
        bench.log.lose_acks = 1
        with pytest.raises(Unavailable):
            await bench.writer.write([("a", {"x": 1})])
        assert await bench.writer.write([("a", {"x": 2})]) == 1
        assert [event.event_id for event in await bench.events()] == ["id-1", "id-2"]

    async def test_a_lost_answer_whose_write_is_seen_is_not_written_again(self, bench):
        bench.log.lose_acks = 1
        with pytest.raises(Unavailable):
            await bench.writer.write([("a", {"x": 1})])
        bench.held.entities["home/api/a"] = {"x": 1}
        assert await bench.writer.write([("a", {"x": 1})]) == 0

    async def test_a_log_that_is_away_loses_nothing(self, bench):
        bench.log.away = True
        with pytest.raises(Unavailable):
            await bench.writer.write([("a", {"x": 1})])
        bench.log.away = False
        assert await bench.writer.write([("a", {"x": 1})]) == 1

    @pytest.mark.parametrize(
        ("name", "properties"),
        [
            ("", {}),
            ("x" * 600, {}),
            ("a\nb", {}),
            ("\udc00", {}),
            (7, {}),
            ("a", "text"),
            ("a", {"x": 1 << 64}),
            ("a", {"x": object()}),
            ("a", {1: {2: {3: b"\xff"}, "y": {4: (object(),)}}}),
            ("a", {"\udc00": 1}),
        ],
    )
    async def test_what_no_event_can_hold_is_a_bad_answer_and_nothing_of_it_is_written(
        self, bench, name, properties
    ):
        bench.writer = EntityWriter("" if name == "" else "home/", "api", "api", bench.parts)
        with pytest.raises(Corrupt):
            await bench.writer.write([("good", {"x": 1}), (name, properties)])
        assert await bench.events() == []

    async def test_what_nests_too_deep_is_a_bad_answer(self, bench):
        deep: Any = {}
        for _ in range(200):
            deep = {"x": deep}
        with pytest.raises(Corrupt, match="levels deep"):
            await bench.writer.write([("a", deep)])

    async def test_what_is_too_large_for_the_log_is_a_bad_answer(self, bench):
        with pytest.raises(Corrupt, match="at most"):
            await bench.writer.write([("a", {"x": "y" * limits.nats_payload_bytes_max})])

    async def test_the_servers_own_names_are_not_written(self, bench):
        writer = EntityWriter("flux-core/", "api", "api", bench.parts)
        with pytest.raises(Corrupt, match="flux-core"):
            await writer.write([("directory", {"x": 1})])


async def test_values_of_python_become_json(bench):
    await bench.writer.write([("a", {"at": datetime(2026, 1, 2, tzinfo=UTC), "t": (1,), "nan": math.nan})])
    (event,) = await bench.events()
    assert event.properties == {"at": "2026-01-02T00:00:00Z", "t": [1], "nan": None}


async def test_entities_of_a_spread_namespace_go_to_their_own_partitions(bench):
    writer = EntityWriter("wide/", "api", "api", bench.parts)
    assert await writer.write([(str(number), {"n": number}) for number in range(30)]) == 30
    lasts = [(await bench.log.bounds(partition)).last for partition in range(PARTITIONS)]
    assert all(lasts)
    await bench.parts.close()


def test_batches_hold_all_in_order():
    found: Any = [(str(number), {}) for number in range(12)]
    assert [len(batch) for batch in batches(found, 5)] == [5, 5, 2]
    assert [pair for batch in batches(found, 5) for pair in batch] == found
