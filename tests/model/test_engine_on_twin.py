"""The state machine on the in-memory twin, where every step may be interleaved and every byte compared."""

from __future__ import annotations

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from flux_actors import limits
from flux_actors.shard.cold import MemoryColdStore
from flux_actors.shard.memory import Memory
from tests.model.machine import COUNTS, DRAFTS, IDS, EngineMachine, machine_of
from tests.model.twin import DOORS, PARTITIONS, TwinDriver, bytes_of
from tests.model.world import Draft

SECOND_US = 1_000_000


class TwinMachine(EngineMachine):
    """The rules that only a twin can play, and the laws that only it can look into."""

    driver: TwinDriver

    @rule(door=st.integers(0, DOORS - 1), step_us=st.integers(-10 * SECOND_US, 10 * SECOND_US))
    def a_doors_clock_jumps(self, door: int, step_us: int) -> None:
        self.driver.clocks_us[door] = max(0, self.driver.clocks_us[door] + step_us)

    @rule(messages=st.integers(1, 3))
    def the_feed_loses_messages(self, messages: int) -> None:
        self.driver.bus.drop = messages

    @precondition(lambda self: self.up)
    @rule()
    def the_door_restarts(self) -> None:
        self.driver.open_door()

    @precondition(lambda self: self.up)
    @rule(draft=DRAFTS, begun=st.integers(1, 5))
    def a_change_lands_inside_a_cut(self, draft: Draft, begun: int) -> None:
        partition = self.driver.rule.of_entity(draft.entity_id)
        self.driver.snapshot(partition, begun)
        self.publish(draft, answer_lost=False)
        self.driver.deliver(partition, limits.pull_blocks)
        self.driver.snapshot(partition, 12)

    @rule(turn=COUNTS)
    def a_block_is_damaged(self, turn: int) -> None:
        self.driver.damage_block(turn % PARTITIONS)

    @precondition(lambda self: self.up)
    @rule(turn=COUNTS)
    def the_newest_snapshot_rots_and_all_crashes(self, turn: int) -> None:
        self.driver.damage_snapshot(turn % PARTITIONS)
        self.driver.crash()
        self.driver.restart()
        for sequence in self.driver.store.sequences(turn % PARTITIONS)[:1]:
            self.driver.store.damage(turn % PARTITIONS, sequence)  # a second time: as it was

    @invariant()
    def replay_and_snapshots_make_the_same_bytes(self) -> None:
        for partition, host in self.driver.hosts.items():
            live = bytes_of(host.state)
            assert bytes_of(self.driver.replayed(partition, host.state.sequence)) == live
            for state in self.driver.from_snapshots(partition, host.state.sequence):
                assert bytes_of(state) == live

    @invariant()
    def nothing_is_applied_twice(self) -> None:
        if not self.up:
            return
        reached = {partition: host.state.sequence for partition, host in self.driver.hosts.items()}
        applied = sum(host.state.events_total for host in self.driver.hosts.values())
        assert applied == len(self.world.upto(reached))

    @invariant()
    def no_more_snapshots_are_kept_than_needed(self) -> None:
        for partition in range(PARTITIONS):
            assert len(self.driver.store.sequences(partition)) <= limits.snapshots_kept


class CoolingDriver(TwinDriver):
    """A twin whose entities leave memory when a test says so, and none stays when a snapshot is read."""

    def memory(self) -> Memory:
        return Memory(1 << 40, MemoryColdStore)

    def cool(self, partition: int, count: int) -> None:
        passivator = self.hosts[partition].state.cold
        for _ in range(count):
            passivator.evict()

    def relieve(self, partition: int) -> None:
        self.run(self.hosts[partition].relieve())


class CoolingMachine(TwinMachine):
    """Passivation as a rule: no other rule and no law may notice it."""

    driver: CoolingDriver

    @precondition(lambda self: self.up)
    @rule(turn=COUNTS, count=st.integers(1, 6))
    def entities_leave_memory(self, turn: int, count: int) -> None:
        self.driver.cool(turn % PARTITIONS, count)

    @precondition(lambda self: self.up)
    @rule(draft=DRAFTS, begun=st.integers(1, 6), count=st.integers(0, 3))
    def entities_leave_and_return_inside_a_cut(self, draft: Draft, begun: int, count: int) -> None:
        partition = self.driver.rule.of_entity(draft.entity_id)
        self.driver.snapshot(partition, begun)
        self.driver.cool(partition, count)
        self.publish(draft, answer_lost=False)
        self.driver.deliver(partition, limits.pull_blocks)
        self.driver.snapshot(partition, 1)
        self.driver.cool(partition, count)
        self.driver.snapshot(partition, 12)

    @precondition(lambda self: self.up)
    @rule(turn=COUNTS)
    def memory_is_within_its_budget(self, turn: int) -> None:
        self.driver.relieve(turn % PARTITIONS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("driver", "machine"),
    [(TwinDriver, TwinMachine), (CoolingDriver, CoolingMachine)],
    ids=["hot", "cooling"],
)
def test_any_interleaving_leaves_the_world_that_was_acknowledged(monkeypatch, driver, machine):
    monkeypatch.setattr(limits, "append_retry_s", 0.0)
    monkeypatch.setattr(limits, "snapshot_slice_entities", 1)
    monkeypatch.setattr(limits, "snapshot_every_events", 1)
    monkeypatch.setattr(limits, "passivation_batch", 1)
    with structlog.testing.capture_logs():
        run_state_machine_as_test(
            machine_of(driver, machine),
            settings=settings(
                max_examples=200,
                stateful_step_count=40,
                derandomize=True,
                database=None,
                report_multiple_bugs=False,
                phases=[Phase.generate, Phase.shrink],
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_the_ids_of_the_machine_are_spread_over_all_partitions():
    driver = TwinDriver()
    assert {driver.rule.of_entity(name) for name in IDS} == set(range(PARTITIONS))
    driver.close()
