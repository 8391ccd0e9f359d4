"""The hub: each change goes once to each who watches it, in order, in as few writes as may be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.change import FeedMessage, decode_feed, encode_feed
from flux_actors.errors import Refused
from flux_api.hub import Hub
from flux_api.watcher import Watcher
from tests.unit.api.sockets import FakeLink
from tests.unit.api.standing import change

IDS = ["home/hall", "home/attic/lamp", "homework/1", "lonely", "home"]


def received(watcher):
    """Return the entities of what was written to `watcher`, in their order."""
    return [message.get("entity_id") for message in watcher.link.take()]


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def watcher(hub):
    return joined(hub)


def joined(hub):
    watcher = Watcher(FakeLink())
    hub.join(watcher)
    return watcher


def dispatch_all(hub):
    hub.dispatch([change(entity_id, {"v": 1}) for entity_id in IDS])


def test_one_that_never_subscribed_gets_everything(hub, watcher):
    dispatch_all(hub)
    assert received(watcher) == IDS


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
        ("/*", []),
        ("never/there", []),
    ],
)
def test_one_that_subscribed_gets_what_its_pattern_names(hub, watcher, pattern, expected):
    hub.subscribe(watcher, pattern)
    dispatch_all(hub)
    assert received(watcher) == expected


def test_patterns_that_overlap_send_each_change_once(hub, watcher):
    for pattern in ("home/hall", "home/*", "home/attic/*", "home/hall", "*"):
        hub.subscribe(watcher, pattern)
    dispatch_all(hub)
    assert received(watcher) == IDS
    hub.unsubscribe(watcher, "*")
    dispatch_all(hub)
    assert received(watcher) == ["home/hall", "home/attic/lamp"]


def test_one_that_unsubscribed_its_last_id_gets_nothing_but_metrics(hub, watcher):
    hub.subscribe(watcher, "home/hall")
    hub.unsubscribe(watcher, "home/hall")
    assert not hub.watched
    dispatch_all(hub)
    hub.announce('{"type":"metrics_update","entity_id":"metrics"}')
    assert received(watcher) == ["metrics"]


def test_unsubscribing_one_pattern_leaves_the_others(hub, watcher):
    for pattern in ("*", "home/*", "lonely"):
        hub.subscribe(watcher, pattern)
    hub.unsubscribe(watcher, "*")
    dispatch_all(hub)
    assert received(watcher) == ["home/hall", "home/attic/lamp", "lonely"]


def test_unsubscribing_what_was_never_subscribed_changes_nothing(hub, watcher):
    hub.unsubscribe(watcher, "home/hall")
    dispatch_all(hub)
    assert received(watcher) == IDS


def test_deletions_follow_subscriptions(hub, watcher):
    hub.subscribe(watcher, "home/*")
    hub.dispatch([change("home/hall", None), change("lonely", None)])
    assert received(watcher) == ["home/hall"]


def test_one_that_left_gets_nothing(hub, watcher):
    other = joined(hub)
    for pattern in ("*", "home/*", "lonely"):
        hub.subscribe(watcher, pattern)
    hub.leave(watcher)
    dispatch_all(hub)
    assert (received(watcher), received(other)) == ([], IDS)
    assert hub.watchers == {other}


def test_one_socket_may_have_so_many_patterns_and_no_more(hub, watcher, monkeypatch):
    monkeypatch.setattr(limits, "socket_patterns_max", 2)
    for pattern in ("a", "b", "a"):
        hub.subscribe(watcher, pattern)
    with pytest.raises(Refused, match="at most 2"):
        hub.subscribe(watcher, "c")
    assert watcher.patterns == {"a", "b"}


@pytest.mark.parametrize("pattern", ["*", "home/*", "home/hall"])
def test_those_who_watch_alike_are_written_the_same_bytes_once(hub, pattern):
    watchers = [joined(hub) for _ in range(3)]
    for watcher in watchers:
        hub.subscribe(watcher, pattern)
    dispatch_all(hub)
    hub.dispatch([change("home/hall", {"v": 1}), change("home/hall", {"v": 2})])
    first, *others = [watcher.link.written for watcher in watchers]
    assert len(first) == 2
    for other in others:
        assert all(mine is its for mine, its in zip(first, other, strict=True))


def test_what_is_large_is_written_in_slices(hub, watcher, monkeypatch):
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 250)
    hub.dispatch([change("n/e", {"v": number}) for number in range(10)])
    assert len(watcher.link.written) == 4
    assert [message["value"] for message in watcher.link.take()] == list(range(10))


def test_properties_that_nobody_watches_are_not_even_decoded(hub, watcher):
    hub.subscribe(watcher, "home/hall")
    changes = [change(entity_id, {"v": 1}) for entity_id in IDS]
    heard = decode_feed(encode_feed(FeedMessage(0, 1, 0, 1, 0, 1, 1, [], changes))).changes
    hub.dispatch(heard)
    assert [item.entity_id for item in heard if item.known] == ["home/hall"]
    assert received(watcher) == ["home/hall"]


PATTERNS = st.sampled_from(["*", "home/*", "home/attic/*", "home/hall", "lonely", "home/attic/lamp"])
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["subscribe", "unsubscribe", "leave"]), PATTERNS),
    max_size=20,
)


@given(STEPS)
@settings(deadline=None, derandomize=True)
def test_after_any_subscribes_and_unsubscribes_each_gets_the_union(steps):
    hub = Hub()
    watchers = [joined(hub) for _ in range(3)]
    interests: list[set[str] | None] = [None] * 3  # None until the first subscribe
    for number, step, pattern in steps:
        watcher = watchers[number]
        if step == "leave":
            hub.leave(watcher)
            watchers[number], interests[number] = joined(hub), None
        elif step == "subscribe":
            hub.subscribe(watcher, pattern)
            interests[number] = (interests[number] or set()) | {pattern}
        else:
            hub.unsubscribe(watcher, pattern)
            if interests[number] is not None:
                interests[number] -= {pattern}
        dispatch_all(hub)
        for each, interest in zip(watchers, interests, strict=True):
            expected = [name for name in IDS if interest is None or named(interest, name)]
            assert received(each) == expected
            assert [name for name in IDS if each.wants(name)] == expected
    for watcher in watchers:
        hub.leave(watcher)
    assert not hub.watched


def named(patterns, entity_id):
    return any(
        pattern in {"*", entity_id} or (pattern.endswith("/*") and entity_id.startswith(pattern[:-1]))
        for pattern in patterns
    )
