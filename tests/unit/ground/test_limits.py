from __future__ import annotations

from pathlib import Path

import pytest

from flux_actors import limits


def test_limits_are_those_of_the_contract() -> None:
    assert (limits.stream_chars_max, limits.source_chars_max) == (255, 255)
    assert (limits.event_id_chars_max, limits.entity_id_bytes_max) == (128, 512)
    assert limits.json_depth_max == 128
    assert (limits.body_single_bytes, limits.body_batch_bytes) == (1 << 20, 10 << 20)
    assert limits.body_single_bytes_range == (1 << 10, 8 << 20)
    assert limits.body_batch_bytes_range == (1 << 10, 64 << 20)
    assert (limits.rate_per_minute, limits.rate_per_minute_range) == (10_000, (1, 10_000_000))
    assert limits.header_block_bytes_max == 64 << 10
    assert (limits.history_default, limits.history_positions_max) == (100, 500)
    assert limits.delete_matches_max == 10_000


def test_block_is_at_most_512_kib_or_4000_events() -> None:
    assert (limits.block_bytes_max, limits.block_events_max) == (512 << 10, 4_000)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("block_events_max: Final = 4_000", "block_events_max: Final = 5_000"),
        ("dedupe_window_s: Final = 120", "dedupe_window_s: Final = 60"),
        ("append_timeout_s: Final = 2.0", "append_timeout_s: Final = 20.0"),
        ("nats_payload_bytes_max: Final = 16 * MIB", "nats_payload_bytes_max: Final = 8 * MIB"),
        ("socket_pressed_bytes: Final = 64 * KIB", "socket_pressed_bytes: Final = 1 * MIB"),
        ("config_poll_s: Final = 0.4", "config_poll_s: Final = 1.5"),
    ],
)
def test_limit_that_breaks_a_relation_cannot_be_imported(name: str, wrong: str) -> None:
    source = Path(limits.__file__).read_text()
    assert source.count(name) == 1
    with pytest.raises(AssertionError):
        exec(compile(source.replace(name, wrong), "limits.py", "exec"), {})  # noqa: S102 - our own source
