from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.dedupe import DedupeWindow, Generation, dedupe_key
from flux_actors.domain.entity_id import namespace_of
from tests.unit.domain.strategies import many, texts

SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US
EVENTS_MIN = 4
WINDOW_S = 3

arrivals = st.lists(st.integers(0, 2 * WINDOW_S * SECOND_US), max_size=40)


def test_window_is_two_minutes_and_a_hundred_thousand_events() -> None:
    assert limits.dedupe_window_s >= 120
    assert limits.dedupe_events_min >= 100_000


def test_id_is_seen_once_it_was_remembered() -> None:
    window = DedupeWindow()
    assert not window.seen("a\0x")
    window.remember("a\0x", 5)
    assert window.seen("a\0x")
    assert not window.seen("b\0x")


@given(texts, texts, texts, texts)
@many
def test_same_id_in_another_namespace_is_another_key(a: str, one: str, b: str, other: str) -> None:
    a, b = a.replace("\0", ""), b.replace("\0", "")
    same = (namespace_of(a), one) == (namespace_of(b), other)
    assert (dedupe_key(a, one) == dedupe_key(b, other)) == same


@given(texts | st.sampled_from(["a/b", "a/b/c", "/b", "/", "plain", ""]), texts)
@many
def test_key_names_the_namespace_and_the_id(entity_id: str, event_id: str) -> None:
    assert dedupe_key(entity_id, event_id) == f"{namespace_of(entity_id)}\0{event_id}"


@given(st.lists(st.tuples(st.integers(0, WINDOW_S * SECOND_US), st.lists(st.integers(0, 12), max_size=6))))
@many
def test_a_block_of_keys_is_admitted_as_its_keys_one_by_one(blocks: list[tuple[int, list[int]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "dedupe_events_min", EVENTS_MIN)
        patch.setattr(limits, "dedupe_window_s", WINDOW_S)
        at_once, one_by_one = DedupeWindow(), DedupeWindow()
        clock_us = START_US
        for step_us, numbers in blocks:
            clock_us += step_us
            keys = [str(number) for number in numbers]
            expected = []
            for index, key in enumerate(keys):
                if one_by_one.seen(key):
                    expected.append(index)
                else:
                    one_by_one.remember(key, clock_us)
            assert list(at_once.admit(keys, clock_us)) == expected
            assert (at_once.elder, at_once.younger) == (one_by_one.elder, one_by_one.younger)


@given(arrivals)
@many
def test_no_id_is_forgotten_within_the_window_and_not_many_behind_it(steps_us: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "dedupe_events_min", EVENTS_MIN)
        patch.setattr(limits, "dedupe_window_s", WINDOW_S)
        window = DedupeWindow()
        clock_us = 0
        clocks: list[int] = []
        for number, step_us in enumerate(steps_us):
            clock_us += step_us
            window.remember(str(number), clock_us)
            clocks.append(clock_us)
            for earlier, remembered_us in enumerate(clocks):
                young = clock_us - remembered_us < WINDOW_S * SECOND_US
                if young or number - earlier < EVENTS_MIN:
                    assert window.seen(str(earlier))
        kept = len(window.elder.ids) + len(window.younger.ids)
        assert kept <= len(steps_us)
        assert len(window.elder.ids) <= len(window.elder.known)


def filled(window: DedupeWindow, names: str, clock_us: int) -> None:
    for name in names:
        window.remember(name, clock_us)


def test_elder_generation_is_forgotten_once_the_younger_is_old_and_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "dedupe_events_min", 2)
    window = DedupeWindow()
    filled(window, "ab", START_US)
    filled(window, "c", START_US + 119 * SECOND_US)
    assert window.elder.ids == []
    filled(window, "d", START_US + 120 * SECOND_US)
    assert (window.elder.ids, window.younger.ids) == (["a", "b", "c"], ["d"])
    filled(window, "e", START_US + 300 * SECOND_US)
    assert window.seen("a")
    filled(window, "f", START_US + 301 * SECOND_US)
    assert not window.seen("a")
    assert (window.elder.ids, window.younger.ids) == (["d", "e"], ["f"])


def test_time_alone_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "dedupe_events_min", 100)
    window = DedupeWindow()
    for hour in range(50):
        window.remember(str(hour), hour * 3_600 * SECOND_US)
    assert all(window.seen(str(hour)) for hour in range(50))


@given(arrivals, st.integers(0, 40))
@many
def test_window_that_was_rebuilt_goes_on_as_the_one_before(steps_us: list[int], at: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "dedupe_events_min", EVENTS_MIN)
        patch.setattr(limits, "dedupe_window_s", WINDOW_S)
        window, other = DedupeWindow(), DedupeWindow()
        clock_us = 0
        for number, step_us in enumerate(steps_us):
            if number == at:
                other = DedupeWindow(
                    Generation.of(other.elder.start_us, iter(other.elder.ids)),
                    Generation.of(other.younger.start_us, iter(other.younger.ids)),
                )
            clock_us += step_us
            window.remember(str(number), clock_us)
            other.remember(str(number), clock_us)
        assert (other.elder, other.younger) == (window.elder, window.younger)
