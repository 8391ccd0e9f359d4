"""One event: durable or told why not; and reading many entities in requests of a bounded size."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.domain.position import pack
from flux_actors.errors import Unavailable
from flux_actors.native import publishing
from flux_actors.native.ticket import Ticket
from tests.unit.native.twin import RULE


def test_a_log_that_is_away_is_told_of(twin, fx, monkeypatch):
    monkeypatch.setattr(limits, "append_deadline_s", 0.01)
    monkeypatch.setattr(limits, "append_timeout_s", 0.01)
    monkeypatch.setattr(limits, "append_retry_s", 0.001)
    twin.log.away = True
    with pytest.raises(Unavailable):
        fx.publish("home/x", {"n": 1})
    assert fx.position == ""
    twin.log.away = False
    fx.publish("home/x", {"n": 1})


def test_what_was_decided_while_the_feed_was_lost_is_unknown(twin, fx):
    fx.publish("home/x", {"n": 1}, if_absent=True)
    (link,) = twin.links.values()
    for part in link.following.parts:
        part.verdicts.lose(1_000)
    with pytest.raises(Unavailable, match="same eventId"):
        fx.publish("home/x", {"n": 2}, if_present=True)


def test_a_decision_that_does_not_come_is_unavailable(twin, fx, monkeypatch):
    async def nothing(*_):
        """Tell nobody."""

    fx.publish("home/x", {"n": 1}, if_absent=True)
    monkeypatch.setattr(twin.bus, "publish", nothing)
    monkeypatch.setattr(publishing, "READ_S", 0.02)
    with pytest.raises(Unavailable):
        fx.publish("home/x", {"n": 2}, if_present=True)


def test_reads_are_cut_into_requests(twin, fx, monkeypatch):
    monkeypatch.setattr(limits, "native_read_ids", 10)
    fx.publish_many([(f"home/{n}", {"n": n}) for n in range(25)])
    asked = []
    link = twin.thread.run(twin.link(Ticket()))
    read = link.asking.read

    async def counted(partition, ids, after, deadline_s):
        asked.append((partition, len(ids), after))
        return await read(partition, ids, after, deadline_s)

    monkeypatch.setattr(link.asking, "read", counted)
    assert len(fx.states([f"home/{n}" for n in range(25)])) == 25
    partition = RULE.of_entity("home/0")
    assert asked == [(partition, size, pack(1, 24)) for size in (10, 10, 5)]
