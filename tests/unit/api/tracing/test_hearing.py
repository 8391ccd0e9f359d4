"""One event from its request to those who watch it, in one trace."""

from __future__ import annotations

from flux_actors.domain.change import FeedMessage, encode_feed
from flux_actors.domain.position import pack
from flux_actors.feed.feeds import PartitionFeed
from flux_actors.log.memory import MemoryBus
from flux_api.tracing.hearing import TracedFeeds
from tests.unit.api.standing import FakeCalls, change, event, say, until

TRACE = "ab" * 16
PARENT = {"traceparent": f"00-{TRACE}-{'cd' * 8}-01"}


async def test_a_trace_goes_from_the_request_to_the_watchers(browser, followed, kept):
    await followed.door.view.get("n/e")  # somebody looks at it
    answer = await browser.post("/api/events", json=event("n/e", {"v": 1}), headers=PARENT)
    await until(lambda: kept.named("tell"))
    (request,), (append,) = kept.named("POST /api/events"), kept.named("append")
    (apply,), (tell,) = kept.named("apply"), kept.named("tell")
    assert f"{request.parent.span_id:x}" == "cd" * 8
    chain = [request, append, apply, tell]
    assert [span.parent.span_id for span in chain[1:]] == [span.context.span_id for span in chain[:-1]]
    assert {f"{span.context.trace_id:x}" for span in chain} == {TRACE}
    assert request.attributes["http.response.status_code"] == 200
    partition, sequence, offset = map(int, answer.headers["Flux-Position"].split("."))
    for span in (append, apply):
        facts = [span.attributes[f"flux.{name}"] for name in ("partition", "sequence", "offset", "events")]
        assert facts == [partition, sequence, offset, 1]
    assert tell.attributes["flux.watchers"] == 0
    assert append.start_time <= apply.start_time <= tell.start_time <= tell.end_time


async def test_what_nobody_watches_ends_in_the_shard(browser, followed, kept):
    await browser.post("/api/events?wait=applied", json=event(None), headers=PARENT)
    await until(lambda: kept.named("apply"))
    assert kept.named("tell") == []


async def test_no_span_holds_what_the_event_says(browser, followed, kept):
    await followed.door.view.get("secret/e")
    body = event("secret/e", {"secret": "secret"})
    await browser.post("/api/events", json=body, headers=PARENT)
    await until(lambda: kept.named("tell"))
    assert not [span for span in kept.spans if "secret" in span.to_json()]


class Somebody:
    """Listens, and forgets."""

    listens = True

    def on_changes(self, changes):
        """Hear them."""

    def on_lost(self, partition, rows):
        """Hear of them."""


async def test_of_a_message_known_in_part_the_new_part_is_followed(kept):
    bus, part = MemoryBus(), PartitionFeed(0)
    feeds = TracedFeeds(kept.traces, lambda: 3, [part], bus, FakeCalls(), Somebody(), lambda _: None)
    await feeds.open()
    followed = [(pack(sequence, 0), 1, PARENT["traceparent"]) for sequence in (1, 2)]
    changes = [change("n/e", {"v": sequence}, sequence) for sequence in (1, 2)]
    for sequence in (1, 2):
        parts = changes[:sequence], [], followed[:sequence]
        await say(bus, [encode_feed(FeedMessage(0, 1, 0, sequence, 0, sequence, 1, [], *parts))])
    assert [span.attributes["flux.sequence"] for span in kept.named("tell")] == [1, 2]
    assert {span.attributes["flux.watchers"] for span in kept.spans} == {3}
