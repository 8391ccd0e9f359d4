from __future__ import annotations

from hypothesis import given

from flux_actors.domain.effect import effect_of
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.position import pack
from flux_actors.log.block import Block
from tests.unit.domain.strategies import many, numbered, termed_logs


@given(termed_logs)
@many
def test_what_an_applied_event_did_is_told_by_its_effect(log: list[Block]) -> None:
    state = PartitionState(0)
    by_position = {
        pack(sequence, offset): (one, block)
        for sequence, block in numbered(log)
        for offset, one in enumerate(block.events)
    }
    for position, _, properties, clock_us in state.apply(numbered(log)).changes:
        assert effect_of(by_position[position][0], position, clock_us) == properties
