"""Frames: whatever a stream is cut into, the same messages and the same counts come out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flux_bench.generator.frames import Counter, FrameReader, frame, frame_head
from tests.unit.bench.fake_flux import unmasked

MESSAGES = st.lists(st.binary(max_size=300), max_size=8)
CUTS = st.lists(st.integers(1, 40), max_size=60)


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """Return the stream in pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    return [piece for piece in [*pieces, stream] if piece]


@given(MESSAGES, CUTS)
def test_messages_come_out_however_the_stream_is_cut(messages: list[bytes], sizes: list[int]):
    stream, rest = unmasked(b"".join(map(frame, messages)))
    assert rest == b""
    reader = FrameReader()
    assert [one for piece in cut(stream, sizes) for one in reader.messages(piece)] == messages


@given(st.lists(st.sampled_from([b"mark/", b"mar", b"k/", b"m", b"x"]), max_size=80), CUTS)
def test_a_counter_counts_the_same_however_the_stream_is_cut(parts: list[bytes], sizes: list[int]):
    stream = b"".join(parts)
    counter, buffer = Counter(b"mark/"), bytearray(1 << 16)
    for piece in cut(stream, sizes):
        buffer[: len(piece)] = piece
        counter.take(buffer, len(piece))
    assert counter.count == stream.count(b"mark/")


def test_lengths_are_written_in_all_three_forms():
    assert frame_head(125) == b"\x81\xfd" + bytes(4)
    assert frame_head(126) == b"\x81\xfe\x00\x7e" + bytes(4)
    assert frame_head(65_536) == b"\x81\xff" + (65_536).to_bytes(8, "big") + bytes(4)


def test_pings_are_answered_parts_are_joined_and_a_close_is_noticed():
    reader = FrameReader()
    assert reader.messages(b"\x01\x02ab" + b"\x89\x01p" + b"\x80\x01c") == [b"abc"]
    assert reader.pongs == [frame(b"p", 0x8A)]
    assert reader.messages(b"\x88\x00") == []
    assert reader.closed
