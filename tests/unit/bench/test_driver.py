"""What a driver of the benchmark sees of behaviours, and refuses to call a figure."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.terms import Terms
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.block import encode_block, encode_event
from flux_actors.log.memory import MemoryLog
from flux_bench.acting_cost import Emitting, Silent
from flux_bench.acting_cost import measure as cost
from flux_bench.driver.behaviours import entity_of
from flux_bench.driver.handled import Handled


async def noted(*notes: list[int]) -> MemoryLog:
    """Return a log of one partition with a plain event and notes of what was handled."""
    log = MemoryLog(1)
    plain = Event("a/b", {"x": 1}, "e", False, "s", "t", 1)
    await log.append(0, encode_block(1, 1, 1, [encode_event(plain)]), "plain", 1.0)
    for number, positions in enumerate(notes, 2):
        note = with_terms(Event(None, None, "h", False, "s", "t", 1), Terms(handled=positions))
        await log.append(0, encode_block(1, number, 1, [encode_event(note)], termed=True), f"n{number}", 1.0)
    return log


async def test_messages_are_counted_by_the_notes_of_the_log():
    handled = Handled(await noted([1, 2], [3]), {0: 0})
    await handled.wait(3, 5.0)
    assert handled.count == 3
    assert handled.last_at > 0


async def test_what_was_noted_before_is_not_counted():
    handled = Handled(await noted([1, 2], [3]), {0: 2})
    await handled.wait(1, 5.0)
    assert handled.count == 1


async def test_a_message_that_was_handled_twice_is_found_out():
    with pytest.raises(Corrupt, match="1 of them twice"):
        await Handled(await noted([1, 2], [2]), {0: 0}).wait(3, 5.0)


async def test_messages_that_nobody_handles_have_no_figure():
    with pytest.raises(Unavailable, match="1 of 2 messages"):
        await Handled(await noted([1]), {0: 0}).wait(2, 0.05)


def test_the_entities_of_a_kind_lie_in_all_partitions():
    partitioning = Partitioning(4)
    ids = [entity_of("silent", number) for number in range(64)]
    assert {partitioning.of_entity(one) for one in ids} == set(range(4))
    assert len({namespace_of(one) for one in ids}) == 16


@pytest.mark.parametrize("made", [Silent, Emitting])
def test_each_step_of_a_message_has_its_cost(made):
    steps = cost(made, 1_000, 10)
    assert {step.where for step in steps} == {"–", "shard", "worker"}
    assert all(step.seconds >= 0 for step in steps)


def test_reminders_take_memory():
    measured = subprocess.run(
        [sys.executable, "-m", "flux_bench.reminder_memory", "20000"], capture_output=True, check=True
    )
    found = json.loads(measured.stdout)
    assert found["all_mb"] > found["mb"] > 0
