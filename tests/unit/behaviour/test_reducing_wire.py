from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.behaviour.reducing_wire import MARK_BYTES, FrameReader, MarkMemory, Place, send
from tests.unit.domain.strategies import few


@few
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_frames_come_as_they_were_sent(frames: list[bytes]) -> None:
    here, there = socket.socketpair()
    with here, there:
        for frame in frames:
            send(here, frame)
        reader = FrameReader(there)
        assert [reader.read() for _ in frames] == frames


def test_large_frame_comes_whole() -> None:
    here, there = socket.socketpair()
    with here, there:
        frame = bytes(range(256)) * 40_000
        sender = threading.Thread(target=send, args=(here, frame))
        sender.start()
        assert FrameReader(there).read() == frame
        sender.join()


def test_timeout_in_the_middle_of_a_frame_loses_nothing() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.settimeout(0.001)
        reader = FrameReader(there)
        here.sendall(b"\x04\x00\x00\x00ab")
        with pytest.raises(TimeoutError):
            reader.read()
        here.sendall(b"cd\x00")
        assert reader.read() == b"abcd"


def test_frame_that_ends_too_early_is_the_end() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"\x04\x00\x00\x00ab")
        here.close()
        with pytest.raises(EOFError):
            FrameReader(there).read()


def test_mark_says_where_its_writer_is() -> None:
    memory = bytearray(MARK_BYTES)
    mark, seen = MarkMemory(memory), MarkMemory(memory)
    assert seen.place.run == -1
    mark.loads(0)
    assert seen.place == Place(0, 0, loads=True)
    mark.reduces(2, 7)
    assert seen.place == Place(2, 7, loads=False)
    mark.clear()
    assert seen.place.run == -1
