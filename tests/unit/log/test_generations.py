"""Generations: ranges of sequences that no two share, and names that tell them apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.position import pack
from flux_actors.log.generations import (
    closed_subject,
    event_subject,
    generation_behind,
    generation_of,
    origin_of,
    stream_name,
)
from tests.unit.domain.strategies import many

GENERATIONS = st.integers(1, 512)


def test_the_first_is_called_as_ever():
    assert (stream_name(3), event_subject(3)) == ("FLUX_EVENTS_3", "flux.events.3")
    assert (stream_name(3, 2), event_subject(3, 2)) == ("FLUX_EVENTS_G2_3", "flux.events.g2.3")
    assert closed_subject(3, 1) == "flux.closed.3"
    assert origin_of(1) == 1


@many
@given(GENERATIONS, GENERATIONS, st.integers(0, 1_023), st.integers(0, 1_023))
def test_no_two_have_a_stream_or_a_sequence_in_common(one, other, partition, elsewhere):
    assert generation_of(stream_name(partition, one)) == one
    same = (one, partition) == (other, elsewhere)
    assert (stream_name(partition, one) == stream_name(elsewhere, other)) == same
    if one != other:
        assert abs(origin_of(one) - origin_of(other)) >= 1 << 32


@many
@given(st.integers(1, 400), st.integers(0, 1 << 36))
def test_the_next_one_begins_behind_the_log_with_room_for_it_to_go_on(generation, blocks):
    last = origin_of(generation) + blocks
    following = generation_behind(generation, last)
    assert following > generation
    assert origin_of(following) - last > 1 << 31


@pytest.mark.parametrize("name", ["KV_flux_registry", "FLUX_EVENTS_", "FLUX_EVENTS_G2", "FLUX_EVENTS_3_OLD"])
def test_other_streams_are_of_none(name):
    assert generation_of(name) is None


def test_the_token_of_a_claim_is_exact_in_every_json():
    assert pack(origin_of(512) + (1 << 32) - 2, 4_095) < 1 << 53
