"""The code of reducers is at hand before blocks are folded that need it, each once."""

from __future__ import annotations

import pytest

from flux_actors.behaviour.reducer_code import ReducerCode, catalogues_in
from flux_actors.domain.acting.catalogue import Catalogue, Deployed
from flux_actors.domain.event import Event
from flux_actors.domain.terms import Terms
from flux_actors.errors import Unavailable
from flux_actors.log.block import CONTROL, encode_block, encode_event
from flux_actors.log.ports import StoredBlock
from tests.unit.domain.acting.small_acting import COUNTING, ECHO, LAST, note, version
from tests.unit.past.folding import Digests, LoadedFunctions

BOTH = Catalogue(
    1,
    [
        Deployed("One", version(COUNTING, "a/*", ["reduce"]), version(LAST, "a/*", ["reduce"]), "a/1"),
        Deployed("Two", version(ECHO, "b/*")),
    ],
)


def stored(*events: Event, flags: int = CONTROL) -> StoredBlock:
    encoded = [encode_event(event) for event in events]
    return StoredBlock(1, encode_block(1, 1, 1, encoded, termed=True, flags=flags), 0)


async def test_code_of_all_reducers_is_loaded_once_and_of_nothing_else() -> None:
    reducers, source = LoadedFunctions(), Digests()
    code = ReducerCode(reducers, source)
    await code.prepare(BOTH)
    await code.prepare(BOTH)
    assert reducers.loaded == {COUNTING, LAST}
    assert source.asked == sorted(reducers.loaded)


async def test_what_is_not_wanted_is_not_loaded() -> None:
    reducers, source = LoadedFunctions(), Digests()
    await ReducerCode(reducers, source).prepare(BOTH, lambda pattern: pattern.startswith("b/"))
    assert source.asked == []


async def test_code_that_is_away_is_asked_for_again() -> None:
    reducers, source = LoadedFunctions(), Digests()
    code = ReducerCode(reducers, source)
    source.away = True
    with pytest.raises(Unavailable):
        await code.prepare_for([stored(note(Terms(control=BOTH)))])
    source.away = False
    await code.prepare_for([stored(note(Terms(control=BOTH)))])
    assert reducers.loaded == {COUNTING, LAST}


def test_catalogues_are_found_by_the_flag_of_their_block() -> None:
    control = note(Terms(control=BOTH))
    assert list(catalogues_in([stored(note(Terms(handled=[1])), control)])) == [BOTH]
    assert list(catalogues_in([stored(control, flags=0)])) == []


def test_a_damaged_block_puts_no_catalogue_in_force() -> None:
    data = stored(note(Terms(control=BOTH))).data
    torn = StoredBlock(1, data[:-1] + bytes([data[-1] ^ 1]), 0)
    assert list(catalogues_in([torn, StoredBlock(2, b"", 0)])) == []
