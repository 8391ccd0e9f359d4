"""Events that are followed on their way into the log, and that nothing else is different for it."""

from __future__ import annotations

from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from flux_actors import limits
from flux_actors.domain.event import tombstone
from flux_actors.log.block import decode_block
from flux_actors.tenancy.principal import ANYONE
from flux_actors.tracing.beside import read_beside
from flux_api.incoming import envelope_of
from flux_api.tracing.current import request_span
from tests.unit.api.standing import Standing, event, until
from tests.unit.domain.strategies import rows_of
from tests.unit.tracing.collector import Kept


async def stored(standing, partition):
    """Return the blocks of a partition as a shard reads them."""
    reader = standing.log.reader(partition, 0)
    return await reader.pull(0.01)


async def all_stored(standing):
    return [block for partition in range(3) for block in await stored(standing, partition)]


async def test_a_batch_is_followed_as_one_piece_of_each_partition(browser, followed, kept):
    await browser.post("/api/events/batch", json={"events": [event("n/e", {"v": n}) for n in range(5)]})
    (append,) = kept.named("append")
    assert (append.attributes["flux.offset"], append.attributes["flux.events"]) == (0, 5)
    (block,) = await all_stored(followed)
    (beside,) = read_beside(block.beside)
    assert (beside.offset, beside.events) == (0, 5)


async def test_what_is_not_sampled_leaves_nothing_beside_its_block(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    kept = Kept(ParentBased(ALWAYS_OFF))
    standing = await Standing.up(traces=kept.traces)
    await standing.publish(event("n/e", {"v": 1}))
    assert [block.beside for block in await all_stored(standing)] == [""]
    assert kept.spans == []
    await standing.down()


async def test_what_the_server_publishes_itself_is_not_followed(browser, followed, kept):
    one = event("n/e", {"v": 1})
    for path, body in (("/api/events", one), ("/api/events/batch", {"events": [one]})):
        before = len(kept.named("append"))
        await browser.post(path, json=body)
        await followed.door.publisher.publish_own(tombstone("n/e", f"own{before}", 1, "server"))
        assert len(kept.named("append")) == before + 1


async def test_the_log_and_the_state_are_the_same_as_without(browser, followed, standing, client, kept):
    events = [event("n/e", {"v": n}, eventId=f"id{n}", timestamp=n + 1) for n in range(20)]
    for one in events:
        assert (await browser.post("/api/events", json=one)).status_code == 200
        assert (await client.post("/api/events", json=one)).status_code == 200
    assert len(kept.named("append")) == 20
    with_traces, without = await all_stored(followed), await all_stored(standing)
    assert [decode_block(block.data).events for block in with_traces] == [
        decode_block(block.data).events for block in without
    ]
    assert [len(block.data) for block in with_traces] == [len(block.data) for block in without]

    def states(one):
        return [
            [(row.entity_id, row.properties, row.position) for row in rows_of(host.state)]
            for host in one.shard.hosts()
        ]

    await until(lambda: sum(host.state.events_total for host in standing.shard.hosts()) == 20)
    await until(lambda: sum(host.state.events_total for host in followed.shard.hosts()) == 20)
    assert states(followed) == states(standing)


async def test_a_log_that_is_away_shows_in_the_span(browser, followed, kept, monkeypatch):
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    followed.log.away = True
    assert (await browser.post("/api/events", json=event("n/e", {"v": 1}))).status_code == 503
    (append,), (request,) = kept.named("append"), kept.named("POST /api/events")
    assert append.status.status_code is request.status.status_code is StatusCode.ERROR
    followed.log.away = False


async def test_a_block_has_only_so_many_beside_it(followed, kept, monkeypatch):
    monkeypatch.setattr(limits, "followed_max", 2)
    request_span.set(kept.traces.begin("request", SpanKind.SERVER))
    publisher = followed.door.publisher
    done = []
    for number in range(5):  # in one turn of the loop: they go as one block
        publisher.submit(envelope_of(event("n/e", {"v": number})), ANYONE, done.append)
    await until(lambda: len(done) == 5)
    (block,) = await all_stored(followed)
    assert [beside.offset for beside in read_beside(block.beside)] == [0, 1]
    assert len(kept.named("append")) == 2
