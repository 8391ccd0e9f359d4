"""The stream of a client: cut into what the library would read, wherever the network cuts it."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from flux_api.socket_stream import Kind, Part, SocketStream

MAX = 70_000
KINDS = {Opcode.TEXT: Kind.TEXT, Opcode.BINARY: Kind.BINARY}


def parts_of(*chunks, fragmented=False):
    stream, parts = SocketStream(MAX), []
    for chunk in chunks:
        stream.add(chunk)
        while (part := stream.take(fragmented=fragmented)) is not None:
            parts.append(part)
    return parts


def masked(opcode, data, *, fin=True):
    return Frame(opcode, data, fin).serialize(mask=True)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, MAX])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_a_message_of_any_length_is_unmasked(opcode, size):
    data = bytes(range(256)) * (size // 256 + 1)
    assert parts_of(masked(opcode, data[:size])) == [Part(KINDS[opcode], data[:size])]


def test_it_is_the_same_wherever_it_is_cut():
    frames = [masked(Opcode.TEXT, b"x" * size) for size in (0, 5, 126)] + [masked(Opcode.PING, b"hello")]
    stream = b"".join(frames)
    whole = parts_of(stream)
    assert [part.kind for part in whole] == [Kind.TEXT] * 3 + [Kind.FRAME]
    for place in range(len(stream)):
        assert parts_of(stream[:place], stream[place:]) == whole
    assert parts_of(*(bytes([byte]) for byte in stream)) == whole


@pytest.mark.parametrize(
    "frame",
    [
        masked(Opcode.PING, b""),
        masked(Opcode.PONG, b"1234"),
        masked(Opcode.CLOSE, b"\x03\xe8"),
        masked(Opcode.TEXT, b"begun", fin=False),
        masked(Opcode.CONT, b"ended"),
        b"\xc1" + masked(Opcode.TEXT, b"reserved")[1:],
        b"\x83" + masked(Opcode.TEXT, b"unknown")[1:],
    ],
    ids=lambda frame: frame[:1].hex(),
)
def test_every_other_frame_is_handed_on_whole(frame):
    assert parts_of(frame[:3], frame[3:]) == [Part(Kind.FRAME, frame)]


def test_within_fragments_all_frames_are_handed_on():
    frame = masked(Opcode.TEXT, b"x")
    assert parts_of(frame, fragmented=True) == [Part(Kind.FRAME, frame)]


@pytest.mark.parametrize(
    "head",
    [
        Frame(Opcode.TEXT, b"").serialize(mask=False),
        Frame(Opcode.CLOSE, b"").serialize(mask=False),
        struct.pack("!BBQ", 0x81, 0xFF, MAX + 1),
        struct.pack("!BBQ", 0x81, 0xFF, 2**63),
        struct.pack("!BBQ", 0x89, 0xFF, MAX + 1),
    ],
    ids=bytes.hex,
)
def test_what_is_not_masked_or_too_long_is_a_breach_as_soon_as_it_is_seen(head):
    good = masked(Opcode.TEXT, b"before")
    assert parts_of(good + head) == [Part(Kind.TEXT, b"before"), Part(Kind.BREACH, head)]


@given(
    st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PONG]), st.binary(max_size=140))),
    st.lists(st.integers(0, 2_000), max_size=8),
)
@settings(deadline=None, derandomize=True)
def test_any_frames_in_any_chunks_come_out_in_order(frames, cuts):
    encoded = [masked(opcode, data) for opcode, data in frames]
    stream = b"".join(encoded)
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    chunks = [stream[begin:end] for begin, end in pairwise(places)]
    assert parts_of(*chunks) == [
        Part(KINDS[opcode], data) if opcode in KINDS else Part(Kind.FRAME, frame)
        for (opcode, data), frame in zip(frames, encoded, strict=True)
    ]
