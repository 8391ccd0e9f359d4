"""Quantities as operators write them."""

from __future__ import annotations

import pytest

from flux_actors.quantities import bytes_of, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45", 45),
        ("45s", 45),
        ("90m", 5_400),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("1.5H", 5_400),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("7", 7),
        ("7B", 7),
        ("10GB", 10_000_000_000),
        ("512MiB", 512 << 20),
        (" 1 kib ", 1_024),
        ("1.5kb", 1_500),
        ("2TiB", 2 << 40),
        ("3tb", 3 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "d", "-1", "1x", "1 d d", "1e9", "٣d", "1,5h", "1.h", "9" * 16])
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write a time such as 30d"):
        seconds_of(text)
    with pytest.raises(ValueError, match="write a size such as 10GB"):
        bytes_of(text)
