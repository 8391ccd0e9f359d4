"""What a door says when it cannot know what was decided."""

from __future__ import annotations

from flux_actors.feed.decisions import Verdicts
from tests.unit.api.standing import event


async def test_a_door_that_lost_the_feed_says_that_it_does_not_know(client, standing, monkeypatch):
    await client.post("/api/events?wait=applied", json=event("n/e", {"v": 1}))
    for part in standing.door.feeds.parts:
        part.verdicts.lose(1_000)
    body = event("n/e", {"v": 2}, eventId="mine", condition={"present": True})
    unknown = await client.post("/api/events", json=body)
    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "1")
    assert "same eventId" in unknown.json()["error"]
    for part in standing.door.feeds.parts:
        part.verdicts = Verdicts()
    again = await client.post("/api/events", json=body)
    assert (again.status_code, again.json()["eventId"]) == (200, "mine")
    assert len((await client.get("/api/events", params={"entity": "n/e"})).json()) == 2


async def test_a_decision_that_does_not_come_in_time_is_503(client, standing, monkeypatch):
    async def nothing(*_):
        """Tell nobody."""

    await client.post("/api/events?wait=applied", json=event("n/e", {"v": 1}))
    monkeypatch.setattr(standing.bus, "publish", nothing)
    monkeypatch.setattr(standing.door.publisher._deciding._decided, "_wait_s", 0.02)  # noqa: SLF001
    body = event("n/e", {"v": 2}, condition={"present": True})
    assert (await client.post("/api/events", json=body)).status_code == 503


async def test_a_fault_while_deciding_is_an_answer_too(client, standing, monkeypatch, lines):
    def broken(_):
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(Verdicts, "refused", lambda self, position: broken(position))
    body = event("n/e", {"v": 2}, condition={"absent": True})
    answer = await client.post("/api/events", json=body)
    assert answer.status_code == 503
    assert any(line["event"] == "decision.fault" for line in lines)
