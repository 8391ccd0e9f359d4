"""The same state machine on real processes: few examples, each with real kills and real restarts."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import machine_of
from tests.model.real import RealDriver

pytestmark = [pytest.mark.real, pytest.mark.chaos, pytest.mark.timeout(300)]


def test_any_interleaving_leaves_the_world_that_was_acknowledged(restartable_flux):
    run_state_machine_as_test(
        machine_of(lambda: RealDriver(restartable_flux)),
        settings=settings(
            max_examples=3,
            stateful_step_count=8,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
