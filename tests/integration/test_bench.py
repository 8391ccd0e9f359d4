"""The benchmarks run, check what they measure, and a restart keeps within its figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["commit", "pull"])
def test_a_small_run_of_a_benchmark_prints_its_table(name):
    assert "× one by one" in run(name, "--quick")


def test_a_restart_with_200_000_entities_keeps_them_all_and_its_bounds():
    printed = run("restart")
    assert "start with 200,000 entities" in printed
    assert printed.count("reached") == 3
