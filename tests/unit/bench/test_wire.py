"""Messages on the pipe come over whole, also through a stream that takes only a part of each write."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from flux_bench.generator.wire import read_message, write_message


class Reluctant(io.BytesIO):
    """A raw stream, as standard output is with PYTHONUNBUFFERED: it takes some bytes of a write."""

    def write(self, data, /) -> int:
        return super().write(data[:7])


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_messages_come_out_as_they_went_in(messages: list[bytes]):
    stream = Reluctant()
    for message in messages:
        write_message(stream, message)
    stream.seek(0)
    assert [read_message(stream) for _ in messages] == messages
    assert read_message(stream) is None
