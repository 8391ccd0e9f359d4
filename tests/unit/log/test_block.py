from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.event import Event, EventHead, with_terms
from flux_actors.domain.terms import ABSENT, Claim, Terms
from flux_actors.errors import Corrupt
from flux_actors.log.block import (
    CONTROL,
    HEADER,
    PLAIN,
    VERSION,
    Block,
    Poison,
    block_clock_and_count,
    decode_block,
    decode_block_heads,
    encode_block,
    encode_event,
    event_at,
    events_at,
    has_control,
    is_newer_version,
)
from tests.unit.domain.strategies import events, few, many, texts

words = st.integers(0, (1 << 64) - 1)
event_lists = st.lists(events, min_size=1, max_size=4)
terms = st.builds(
    Terms,
    condition=st.none() | st.just(ABSENT) | st.tuples(st.integers(0, 9), st.integers(0, 1 << 50)),
    together=st.integers(0, 4_000),
    ttl_ms=st.none() | st.integers(0, limits.ttl_ms_max),
    property_ttl_ms=st.none() | st.dictionaries(texts, st.integers(0, 9), max_size=2),
    owner=st.none() | texts,
    claim=st.none() | st.builds(Claim, texts, texts, st.integers(0, 9), st.none() | st.integers(0, 1 << 50)),
    expires_us=st.none() | st.integers(0, 1 << 60),
)
termed_lists = st.lists(st.builds(with_terms, events, terms), min_size=1, max_size=4)
plain_blocks = st.builds(Block, words, words, words, event_lists, st.just(False))
blocks = plain_blocks | st.builds(Block, words, words, words, termed_lists, st.just(True))
EVENT = Event("a/b", {"n": 1}, "id", True, "source", "stream", 1)
HEAD_FIELDS = EventHead.__struct_fields__
ENCODED = encode_event(EVENT)


def encoded(block: Block) -> bytes:
    return encode_block(
        block.committer,
        block.number,
        block.clock_us,
        [encode_event(event) for event in block.events],
        termed=block.has_terms,
    )


def decoded_unchecked(body: bytes, count: int) -> Block:
    """What becomes of a body that no checksum keeps from being decoded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zlib, "crc32", lambda *args: 0)
        return decode_block(HEADER.pack(b"FX", PLAIN, 0, 1, 1, 1, count, 0) + body)


@given(blocks)
@few
def test_block_reads_back(block: Block) -> None:
    data = encoded(block)
    assert decode_block(data) == block
    heads = [EventHead(*(getattr(event, name) for name in HEAD_FIELDS)) for event in block.events]
    assert decode_block_heads(data) == (block if block.has_terms else block._replace(events=heads))
    assert block_clock_and_count(data) == (block.clock_us, len(block.events))
    assert [event_at(data, offset) for offset in range(len(block.events))] == block.events
    assert not is_newer_version(data)


@given(blocks, st.data())
@few
def test_block_that_was_cut_short_is_corrupt(block: Block, data: st.DataObject) -> None:
    whole = encoded(block)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Corrupt):
        decode_block(whole[:length])


@given(blocks, st.binary(min_size=1, max_size=8))
@few
def test_block_that_grew_is_corrupt(block: Block, more: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_block(encoded(block) + more)


@given(blocks, st.data())
@few
def test_any_bit_flipped_in_the_body_is_corrupt(block: Block, data: st.DataObject) -> None:
    damaged = bytearray(encoded(block))
    bit = data.draw(st.integers(HEADER.size * 8, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Corrupt):
        decode_block(bytes(damaged))


@pytest.mark.parametrize(
    ("field", "first", "end"),
    [
        ("magic", 0, 2),
        ("version", 2, 3),
        ("flags", 3, 4),
        ("committer", 4, 12),
        ("number", 12, 20),
        ("clock", 20, 28),
        ("count", 28, 32),
        ("checksum", 32, 36),
    ],
)
def test_any_bit_flipped_in_the_header_is_corrupt(field: str, first: int, end: int) -> None:
    whole = encode_block(3, 5, 1_700_000_000_000_000, [ENCODED])
    for bit in range(first * 8, end * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            decode_block(bytes(damaged))


@given(st.binary(max_size=120))
@many
def test_random_bytes_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_block(data)
    assert isinstance(is_newer_version(data), bool)


@given(st.binary(max_size=60), st.integers(0, 3))
@many
def test_random_body_under_a_true_checksum_is_a_block_or_corrupt(body: bytes, count: int) -> None:
    try:
        block = decoded_unchecked(body, count)
    except Corrupt:
        return
    assert len(block.events) == count > 0


@given(st.integers(0, len(ENCODED) - 1), st.binary(max_size=3), st.integers(0, 3))
@many
def test_damaged_event_under_a_true_checksum_takes_no_neighbour_down(
    at: int, patch: bytes, removed: int
) -> None:
    damaged = ENCODED[:at] + patch + ENCODED[at + removed :]
    try:
        block = decode_block(encode_block(1, 1, 1, [ENCODED, damaged]))
    except Corrupt:
        return
    assert block.events[0] == EVENT
    assert isinstance(block.events[1], Event | Poison)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"\x01", id="no event"),
        pytest.param(b"\x92\xc0\xc0", id="too few fields"),
        pytest.param(ENCODED.replace(b"\xa6source", b"\x07"), id="a field of another type"),
        pytest.param(ENCODED.replace(b"\xa6source", b"\xa6sour\xff\xfe"), id="a text that is no UTF-8"),
        pytest.param(ENCODED.replace(b"\xa1n\x01", b"\xa1\xff\x01"), id="a name that is no UTF-8"),
        pytest.param(ENCODED.replace(b"\xa1n\x01", b"\x01\x01"), id="a name that is no text"),
    ],
)
def test_event_that_cannot_be_read_is_poison_between_its_neighbours(bad: bytes) -> None:
    assert bad != ENCODED
    block = decode_block(encode_block(1, 2, 3, [ENCODED, bad, ENCODED]))
    poison = block.events[1]
    assert isinstance(poison, Poison)
    assert poison.reason
    assert block.events == [EVENT, poison, EVENT]
    heads = decode_block_heads(encode_block(1, 2, 3, [ENCODED, bad, ENCODED])).events
    assert [isinstance(head, Poison) for head in heads] == [False, True, False]


def test_event_that_nests_without_end_is_poison_or_corrupt() -> None:
    bad = ENCODED.replace(b"\xa1n\x01", b"\xa1n" + b"\x91" * 5_000 + b"\xc0")
    try:
        block = decode_block(encode_block(1, 2, 3, [ENCODED, bad]))
    except Corrupt:
        return
    assert block.events[0] == EVENT
    assert isinstance(block.events[1], Poison)


def test_block_of_another_version_is_corrupt_and_known_as_newer() -> None:
    data = bytearray(encode_block(1, 1, 1, [ENCODED]))
    data[2] = VERSION + 1
    with pytest.raises(Corrupt, match=f"version {VERSION + 1}.*upgrade"):
        decode_block(bytes(data))
    assert is_newer_version(bytes(data))
    data[2] = 0
    assert not is_newer_version(bytes(data))
    with pytest.raises(Corrupt):
        decode_block(bytes(data))


@pytest.mark.parametrize("data", [b"", b"F", b"FX", b"\x02\x03\x04", b"no block at all"])
def test_bytes_that_are_no_block_are_no_newer_version(data: bytes) -> None:
    assert not is_newer_version(data)
    with pytest.raises(Corrupt):
        decode_block(data)


@pytest.mark.parametrize(("count", "held"), [(0, 0), (1, 2), (2, 1), (0, 1)])
def test_count_that_is_not_that_of_the_body_is_corrupt(count: int, held: int) -> None:
    body = encode_block(1, 1, 1, [ENCODED] * held)[HEADER.size :]
    with pytest.raises(Corrupt, match=f"announces {count} events and holds {held}"):
        decoded_unchecked(body, count)


def test_block_holds_as_many_events_as_an_offset_can_name() -> None:
    most = encode_block(1, 1, 1, [ENCODED] * limits.block_events_max)
    assert len(decode_block(most).events) == limits.block_events_max
    with pytest.raises(Corrupt):
        decode_block(encode_block(1, 1, 1, [ENCODED] * (limits.block_events_max + 1)))


def test_event_beside_poison_can_be_read_alone() -> None:
    data = encode_block(1, 1, 1, [b"\x01", ENCODED])
    assert event_at(data, 1) == EVENT
    for offset in (0, 2):
        with pytest.raises(Corrupt):
            event_at(data, offset)


def test_some_events_are_read_in_the_order_asked() -> None:
    encoded = [encode_event(msgspec.structs.replace(EVENT, event_id=str(number))) for number in range(9)]
    found = events_at(encode_block(1, 1, 1, encoded), [7, 0, 3])
    assert [event.event_id for event in found] == ["7", "0", "3"]


@pytest.mark.parametrize("data", [b"", b"FX\x01 torn", HEADER.pack(b"FX", PLAIN, 0, 1, 1, 1, 1, 0) + b"\x81"])
def test_events_of_what_is_no_block_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        events_at(data, [0])


def test_bytes_of_version_1_never_change() -> None:
    data = encode_block(1, 2, 3, [ENCODED])
    header, body = data[: HEADER.size - 4].hex(" ", 4), data[HEADER.size :]
    assert header == "46580100 00000000 00000001 00000000 00000002 00000000 00000003 00000001"
    assert body == (
        b"\xdd\x00\x00\x00\x01" + b"\x9a\xa3a/b\x81\xa1n\x01\xa2id\xc3\xa6source\xa6stream\x01\xc0\xc0\xc0"
    )


TERMED_EVENT = with_terms(
    EVENT, Terms((0, 4096), 2, 5_000, {"n": 7}, "door.1", Claim("renew", "me", 9, 8), 6)
)
BYTES_OF_VERSION_2 = bytes.fromhex(
    "46580200 00000000 00000001 00000000 00000002 00000000 00000003 00000001"
) + (
    b"\x00\x00\x00\x00"  # its checksum
    b"\xdd\x00\x00\x00\x01"
    b"\x9b\xa3a/b\x81\xa1n\x01\xa2id\xc3\xa6source\xa6stream\x01\xc0\xc0\xc0"
    b"\x97\x92\x00\xcd\x10\x00\x02\xcd\x13\x88\x81\xa1n\x07\xa6door.1\x94\xa5renew\xa2me\x09\x08\x06"
)


def test_blocks_of_version_2_are_read_for_ever() -> None:
    head, body = BYTES_OF_VERSION_2[: HEADER.size - 4], BYTES_OF_VERSION_2[HEADER.size :]
    data = head + zlib.crc32(head + body).to_bytes(4) + body
    assert decode_block(data) == Block(1, 2, 3, [TERMED_EVENT], has_terms=True)
    assert decode_block_heads(data) == decode_block(data)
    assert event_at(data, 0) == TERMED_EVENT
    assert not has_control(data)


def test_block_with_terms_is_of_version_3_which_never_changes() -> None:
    data = encode_block(1, 2, 3, [encode_event(TERMED_EVENT)], termed=True)
    assert data[:4] == b"FX\x03\x00"
    assert data[HEADER.size :] == (
        b"\xdd\x00\x00\x00\x01"
        b"\x9b\xa3a/b\x81\xa1n\x01\xa2id\xc3\xa6source\xa6stream\x01\xc0\xc0\xc0"
        b"\x9e\x92\x00\xcd\x10\x00\x02\xcd\x13\x88\x81\xa1n\x07\xa6door.1\x94\xa5renew\xa2me\x09\x08\x06"
        b"\xc0\xc0\xc0\xc0\xc0\xc0\xc0"
    )
    assert decode_block(data).events == [TERMED_EVENT]
    assert event_at(data, 0) == TERMED_EVENT


def test_block_says_whether_it_holds_a_control_event() -> None:
    control = encode_block(1, 2, 3, [encode_event(TERMED_EVENT)], termed=True, flags=CONTROL)
    assert has_control(control)
    assert decode_block(control).events == [TERMED_EVENT]
    assert not has_control(encode_block(1, 2, 3, [ENCODED]))
    assert not has_control(encode_block(1, 2, 3, [encode_event(TERMED_EVENT)], termed=True))


@pytest.mark.parametrize("data", [b"", b"FX", b"FX\x03", b"no block at all"])
def test_what_is_no_block_holds_no_control_event(data: bytes) -> None:
    assert not has_control(data)
