"""The hub: who watches what, and that each change goes once to each who watches it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_api.hub import Hub, Watcher
from flux_api.outbox import Outbox
from tests.unit.api.standing import change

IDS = ["home/hall", "home/attic/lamp", "homework/1", "lonely", "home"]


async def received(watcher):
    """Return the entities of the frames that wait for `watcher`, in their order."""
    watcher.outbox.put('{"type":"end"}')
    frames = [json.loads(frame) for frame in await watcher.outbox.take()]
    return [frame.get("entity_id") for frame in frames[:-1]]


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def watcher(hub):
    watcher = Watcher()
    hub.join(watcher)
    return watcher


def dispatch_all(hub):
    hub.dispatch([change(entity_id, {"v": 1}) for entity_id in IDS])


async def test_one_that_never_subscribed_gets_everything(hub, watcher):
    dispatch_all(hub)
    assert await received(watcher) == IDS


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", IDS),
        ("home/*", ["home/hall", "home/attic/lamp"]),
        ("home/attic/*", ["home/attic/lamp"]),
        ("home/hall", ["home/hall"]),
        ("lonely", ["lonely"]),
        ("home", ["home"]),
        ("lonely/*", []),
        ("hom*", []),
        ("never/there", []),
    ],
)
async def test_one_that_subscribed_gets_what_its_pattern_names(hub, watcher, pattern, expected):
    hub.subscribe(watcher, pattern)
    dispatch_all(hub)
    assert await received(watcher) == expected


async def test_patterns_that_overlap_send_each_change_once(hub, watcher):
    for pattern in ("*", "home/*", "home/hall", "home/hall"):
        hub.subscribe(watcher, pattern)
    dispatch_all(hub)
    assert await received(watcher) == IDS


async def test_one_that_unsubscribed_its_last_id_gets_nothing_but_metrics(hub, watcher):
    hub.subscribe(watcher, "home/hall")
    hub.unsubscribe(watcher, "home/hall")
    dispatch_all(hub)
    hub.announce('{"type":"metrics_update","entity_id":"metrics"}')
    assert await received(watcher) == ["metrics"]


async def test_unsubscribing_one_pattern_leaves_the_others(hub, watcher):
    for pattern in ("*", "home/*", "lonely"):
        hub.subscribe(watcher, pattern)
    hub.unsubscribe(watcher, "*")
    dispatch_all(hub)
    assert await received(watcher) == ["home/hall", "home/attic/lamp", "lonely"]


async def test_unsubscribing_what_was_never_subscribed_changes_nothing(hub, watcher):
    hub.unsubscribe(watcher, "home/hall")
    dispatch_all(hub)
    assert await received(watcher) == IDS


async def test_deletions_follow_subscriptions(hub, watcher):
    hub.subscribe(watcher, "home/*")
    hub.dispatch([change("home/hall", None), change("lonely", None)])
    assert await received(watcher) == ["home/hall"]


async def test_one_that_left_gets_nothing(hub, watcher):
    other = Watcher()
    hub.join(other)
    for pattern in ("*", "home/*", "lonely"):
        hub.subscribe(watcher, pattern)
    hub.leave(watcher)
    dispatch_all(hub)
    assert (await received(watcher), await received(other)) == ([], IDS)
    assert hub.watchers == {other}


async def test_metrics_pass_by_one_whose_queue_is_full(hub):
    slow, quick = Watcher(Outbox(1)), Watcher()
    hub.join(slow)
    hub.join(quick)
    hub.dispatch([change("n/e", {"v": 1})])
    hub.announce('{"entity_id":"metrics"}')
    assert (await received(slow), await received(quick)) == (["n/e"], ["n/e", "metrics"])


PATTERNS = st.sampled_from(["*", "home/*", "home/attic/*", "home/hall", "lonely"])


@given(st.lists(st.tuples(st.booleans(), PATTERNS), max_size=10))
async def test_after_any_subscribes_and_unsubscribes_it_gets_the_union(requests):
    hub, watcher = Hub(), Watcher()
    hub.join(watcher)
    patterns, chose = set(), False
    for subscribes, pattern in requests:
        chose = chose or subscribes
        (hub.subscribe if subscribes else hub.unsubscribe)(watcher, pattern)
        (patterns.add if subscribes else patterns.discard)(pattern)
    dispatch_all(hub)

    def named(entity_id):
        return any(
            pattern in {"*", entity_id} or (pattern.endswith("/*") and entity_id.startswith(pattern[:-1]))
            for pattern in patterns
        )

    assert await received(watcher) == [name for name in IDS if not chose or named(name)]
