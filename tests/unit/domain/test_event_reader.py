"""Reading many events finds what reading each alone finds, whatever was read before."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from flux_actors.domain.event import Envelope, parse_event
from flux_actors.domain.event_reader import EventReader
from flux_actors.errors import Refused
from tests.unit.domain.strategies import json_objects, json_values, many

IDS = st.sampled_from(
    ["a/b", "x", "", "é/ü", "a\nb", "a\x7fb", "flux-core/x", "flux-cor/x", "y" * 512, "y" * 513]
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={"entity_id": IDS | json_values, "properties": json_objects | json_values, "note": json_values},
)
ENVELOPES = st.builds(
    Envelope,
    stream=st.sampled_from(["good", "good.too", "Bad", "", "a..b"]) | json_values,
    source=st.sampled_from(["s", "t", "", "x" * 255, "x" * 256]) | json_values,
    payload=PAYLOADS | PAYLOADS | json_values,
    timestamp=st.none() | st.none() | json_values,
    event_id=st.none() | st.none() | json_values,
    key=st.none() | st.none() | json_values,
    schema=st.none() | st.none() | json_values,
    condition=st.none() | st.none() | json_values,
)


def alone(envelope: Envelope, new_id: str) -> Any:
    try:
        return parse_event(envelope, 7, new_id)
    except Refused as refusal:
        return (refusal.message, refusal.status)


def plain(stream: str = "good", source: str = "s", **payload: Any) -> Envelope:
    return Envelope(stream, source, {"entity_id": "a/b", "properties": {}} | payload)


@given(st.lists(ENVELOPES, max_size=8))
@many
@example([plain(), plain(), plain(stream="Bad"), plain(source=""), plain(entity_id="flux-core")])
@example([plain(), msgspec.structs.replace(plain(), condition={"absent": True})])
def test_many_are_read_as_each_alone(envelopes: list[Envelope]) -> None:
    reader = EventReader()
    ids = [f"id-{number}" for number in range(len(envelopes))]
    expected = list(map(alone, envelopes, ids))
    for _ in range(2):  # the second time streams and sources are known
        found = reader.read_all(envelopes, 7, ids)
        assert [(r.message, r.status) if isinstance(r, Refused) else r for r in found] == expected
        for envelope, new_id, outcome in zip(envelopes, ids, expected, strict=True):
            try:
                one: Any = reader.read(envelope, 7, new_id)
            except Refused as refusal:
                one = (refusal.message, refusal.status)
            assert one == outcome


def test_what_it_remembers_is_bounded() -> None:
    reader = EventReader()
    for number in range(5_000):
        reader.read(plain(stream=f"s{number}", source=f"s{number}"), 7, "id")
    assert len(reader._streams) <= 1_024  # noqa: SLF001 - the bound is the point
    assert len(reader._sources) <= 1_024  # noqa: SLF001
