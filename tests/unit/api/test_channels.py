"""Channels: each socket in one at most, those with the same interest in the same, and none left behind."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flux_api.channels import Channels
from flux_api.conflation import Lag
from flux_api.watcher import Watcher, prefixes
from tests.unit.api.sockets import FakeLink

IDS = ["a/1", "a/b/1", "b/1", "x"]
PATTERNS = ["*", "a/*", "a/b/*", "a/1", "x", "/*"]


@pytest.mark.parametrize(
    ("entity_id", "expected"),
    [("x", []), ("a/b", ["a/"]), ("a/b/c", ["a/", "a/b/"]), ("/x", ["/"]), ("a//", ["a/", "a//"])],
)
def test_the_prefixes_of_an_id_end_in_a_slash(entity_id, expected):
    assert list(prefixes(entity_id)) == expected


def seated():
    channels = Channels()
    watchers = [Watcher(FakeLink()) for _ in range(2)]
    for watcher in watchers:
        channels.join(watcher)
    return channels, watchers


def test_sockets_with_the_same_one_pattern_share_a_channel():
    channels, watchers = seated()
    for watcher in watchers:
        channels.subscribe(watcher, "a/*")
    (channel,) = channels.of("a/1")
    assert channel.watchers == set(watchers)


def test_a_socket_with_several_patterns_has_a_channel_of_its_own():
    channels, watchers = seated()
    for watcher in watchers:
        channels.subscribe(watcher, "a/*")
        channels.subscribe(watcher, "x")
    assert len(channels.of("a/1")) == len(channels.of("x")) == 2


class Seating(RuleBasedStateMachine):
    """Any sequence of what sockets may do, against a list of their patterns."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = Channels()
        self.watchers: list[Watcher] = []

    def one(self, number: int) -> Watcher | None:
        return self.watchers[number % len(self.watchers)] if self.watchers else None

    @rule()
    def join(self) -> None:
        if len(self.watchers) < 3:
            self.watchers.append(Watcher(FakeLink()))
            self.channels.join(self.watchers[-1])

    @rule(number=st.integers(0, 2))
    def leave(self, number: int) -> None:
        if watcher := self.one(number):
            self.watchers.remove(watcher)
            self.channels.leave(watcher)

    @rule(number=st.integers(0, 2), pattern=st.sampled_from(PATTERNS), comes=st.booleans())
    def change(self, number: int, pattern: str, *, comes: bool) -> None:
        if watcher := self.one(number):
            (self.channels.subscribe if comes else self.channels.unsubscribe)(watcher, pattern)

    @rule(number=st.integers(0, 2))
    def turn(self, number: int) -> None:
        watcher = self.one(number)
        if watcher and watcher.lag is None:
            self.channels.fall_behind(watcher, Lag(0))
        elif watcher:
            self.channels.catch_up(watcher)

    @invariant()
    def each_is_found_once_where_it_belongs(self) -> None:
        for entity_id in IDS:
            found = [watcher for channel in self.channels.of(entity_id) for watcher in channel.watchers]
            assert len(found) == len(set(found))
            assert set(found) == {watcher for watcher in self.watchers if watcher.wants(entity_id)}

    @invariant()
    def the_slow_are_counted_and_no_channel_is_empty(self) -> None:
        for channel in {channel for entity_id in IDS for channel in self.channels.of(entity_id)}:
            assert channel.watchers
            assert channel.behind == sum(watcher.lag is not None for watcher in channel.watchers)

    @invariant()
    def nothing_is_watched_when_nobody_watches(self) -> None:
        assert bool(self.channels) == any(watcher.interest for watcher in self.watchers)


TestSeating = Seating.TestCase
TestSeating.settings = settings(max_examples=30, stateful_step_count=20, deadline=None, derandomize=True)
