"""The state machine of entities that act: publishes, reminders, crashes, lost workers, shards that are twice.

Its laws: the state is a pure fold of the log; and once nothing waits, every message has had its effects once
and in order, and every reminder has rung once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.model.acting_twin import ActingTwin, turns
from tests.unit.behaviour.acting_world import PARTITIONS
from tests.unit.domain.strategies import whole

WHO = ("ann", "bob", "cid")
partitions = st.integers(0, PARTITIONS - 1)


class ActingMachine(RuleBasedStateMachine):
    """Drives the twin, and knows what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.twin = self.wait(_made())
        self.published: Counter[str] = Counter()
        self.rings: set[str] = set()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @rule(who=st.lists(st.sampled_from(WHO), min_size=1, max_size=8), rings=st.booleans())
    def publish(self, who: list[str], rings: bool) -> None:  # noqa: FBT001 - drawn by name
        for one in who:
            self.published[one] += 1
            n = self.published[one]
            if rings:
                self.rings.add(f"{one}-{n}")
            self.wait(self.twin.publish(f"near/in/{one}", {"n": n, "rings": rings}))

    @rule(partition=partitions, snapshot=st.booleans())
    def crash(self, partition: int, snapshot: bool) -> None:  # noqa: FBT001 - drawn by name
        self.wait(self.twin.crash(partition, snapshot=snapshot))

    @rule(partition=partitions)
    def another_dispatcher_beside_a_zombie(self, partition: int) -> None:
        self.wait(self.twin.overtake(partition))

    @rule(calls=st.integers(1, 3), blamed=st.booleans())
    def lose_a_worker(self, calls: int, blamed: bool) -> None:  # noqa: FBT001 - drawn by name
        self.twin.lose(calls, blamed=blamed)

    @rule(count=st.integers(1, 40))
    def go_on(self, count: int) -> None:
        self.wait(turns(count))

    @rule(count=st.integers(0, 8))
    def log_takes_its_time(self, count: int) -> None:
        self.twin.slow.turns = count

    @rule()
    def settle(self) -> None:
        self.wait(self.twin.settled())
        for who, count in self.published.items():
            assert self.twin.state_of(f"near/in/{who}") is not None
            assert self.twin.state_of(f"near/ledger/{who}") == {"last": count, "wrong": 0}
        told = {f"{who}-{n}" for who, count in self.published.items() for n in range(1, count + 1)}
        assert self.counted("faraway/each/") == dict.fromkeys(told, 1)
        assert self.counted("faraway/rung/") == dict.fromkeys(self.rings, 1)
        for state in self.twin.states:
            again = self.twin.empty(state.partition)
            self.wait(self.twin.replay(again))
            assert whole(again) == whole(state)

    def teardown(self) -> None:
        try:
            self.settle()
            for partition in range(PARTITIONS):
                self.crash(partition, snapshot=False)
            self.settle()
        finally:
            self.wait(self.twin.close())
            self.loop.close()

    def counted(self, prefix: str) -> dict[str, int]:
        return {
            name.removeprefix(prefix): actor.properties["times"]
            for state in self.twin.states
            for name, actor in state.entities.items()
            if name.startswith(prefix) and actor.properties is not None
        }


async def _made() -> ActingTwin:
    twin = ActingTwin()
    await twin.begin()
    return twin


def test_every_message_has_its_effects_once_whatever_crashes() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        ActingMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # what crashes when goes by the clock as well: nothing to shrink
        ),
    )
