from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.change import Change, FeedMessage, decode_feed, encode_feed
from flux_actors.domain.position import pack, unpack
from tests.unit.domain.strategies import json_objects, many, texts

numbers = st.integers(0, (1 << 63) - 1)
changes = st.builds(Change, numbers, texts, st.none() | json_objects, numbers)
messages = st.builds(
    FeedMessage, *([numbers] * 7), st.lists(texts, max_size=3), st.lists(changes, max_size=4)
)


@given(messages)
@many
def test_feed_message_reads_back(message: FeedMessage) -> None:
    heard = decode_feed(encode_feed(message))
    names = [name for name in message.__struct_fields__ if name != "changes"]
    assert [getattr(heard, name) for name in names] == [getattr(message, name) for name in names]
    assert [change.read() for change in heard.changes] == message.changes


def test_what_is_read_of_a_change_is_decoded_once_and_not_before() -> None:
    message = FeedMessage(0, 1, 2, 3, 0, 1, 1, [], [Change(pack(3, 4), "a/b", {"n": 1}, 5)])
    (heard,) = decode_feed(encode_feed(message)).changes
    assert (heard.position, heard.entity_id, heard.clock_us, heard.known) == (pack(3, 4), "a/b", 5, None)
    assert heard.read() is heard.read() is heard.known
    assert heard.read().read() == message.changes[0]


@pytest.mark.parametrize("properties", [None, {}, {"n": None}])
def test_deletion_and_empty_properties_stay_apart(properties: dict[str, Any] | None) -> None:
    change = Change(pack(3, 4), "a/b", properties, 5)
    (kept,) = decode_feed(encode_feed(FeedMessage(0, 1, 2, 3, 0, 1, 1, [], [change]))).changes
    assert kept.properties == properties
    assert unpack(kept.read().packed) == (3, 4)


@given(messages, st.data())
@many
def test_feed_message_that_was_cut_is_an_error(message: FeedMessage, data: st.DataObject) -> None:
    encoded = encode_feed(message)
    length = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(msgspec.DecodeError):
        decode_feed(encoded[:length])
