from __future__ import annotations

import pytest

from flux_actors.behaviour.code import digest_of
from flux_actors.behaviour.code_store import MemoryCodeStore
from flux_actors.errors import Unavailable


def test_digest_is_that_of_the_content_alone() -> None:
    assert digest_of(b"code") == digest_of(b"code") != digest_of(b"c0de")
    assert digest_of(b"") == "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"


async def test_twin_that_is_away_is_unavailable() -> None:
    store = MemoryCodeStore()
    await store.put(digest_of(b"code"), b"code")
    store.away = True
    with pytest.raises(Unavailable):
        await store.get(digest_of(b"code"))
    with pytest.raises(Unavailable):
        await store.put(digest_of(b"code"), b"code")
    store.away = False
    assert await store.get(digest_of(b"code")) == b"code"
