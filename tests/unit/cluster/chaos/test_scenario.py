"""Scenario files: what they may say, what is said of those that do not fit, and what a seed decides."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from flux_actors.errors import Refused
from flux_cluster.chaos.command import chosen, folder
from flux_cluster.chaos.process_faults import ShardKill
from flux_cluster.chaos.ray_faults import NodeKill
from flux_cluster.chaos.registry import fault_of
from flux_cluster.chaos.scenario import Injection, Moment, Workload, moments, read_scenario, read_scenarios

WHOLE = """
about = "Something is lost."
[workload]
publishers = 5
[[fault]]
what = "node-kill"
holds = "shard"
after_s = [2, 4.5]
for_s = 3
[[fault]]
what = "shard-kill"
times = 2
after_s = 1
[check]
write_outage_s = 1
read_outage_s = 5
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_file_says_load_faults_and_bounds(tmp_path):
    scenario = read_scenario(written(tmp_path, WHOLE))
    assert (scenario.name, scenario.about) == ("mine", "Something is lost.")
    assert scenario.workload == Workload(publishers=5)
    assert scenario.faults == (
        Injection("node-kill", (2, 4.5), 3, 1, {"holds": "shard"}),
        Injection("shard-kill", 1, 0.0, 2),
    )
    assert (scenario.check.read_outage_s, scenario.check.verify) == (5, True)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('about = "Something is lost."', "", "missing required field `about`"),
        ("publishers = 5", "publisher = 5", "unknown field `publisher`"),
        ("publishers = 5", 'publishers = "5"', "Expected `int`, got `str` - at `$.workload.publishers`"),
        ("[check]", "[checks]", "unknown field `checks`"),
        ("write_outage_s = 1", "", "missing required field `write_outage_s`"),
        ("after_s = 1", "after_s = [2, 1]", "`after_s` of shard-kill is not a time, or two in order"),
        ("for_s = 3", "for_s = -3", "`for_s` of node-kill is not a time"),
        ('what = "shard-kill"', "", "missing required field `what`"),
        ("times = 2", "times = ", "Invalid value"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_place(tmp_path, old, new, told):
    assert old in WHOLE
    path = written(tmp_path, WHOLE.replace(old, new))
    with pytest.raises(Refused) as refused:
        read_scenario(path)
    assert str(path) in refused.value.message
    assert told in refused.value.message


def test_a_scenario_without_a_fault_is_none(tmp_path):
    text = 'about = "x"\nfault = []\n[check]\nwrite_outage_s = 1\nread_outage_s = 1\n'
    with pytest.raises(Refused, match="needs a"):
        read_scenario(written(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refused, match="cannot be read"):
        read_scenario(tmp_path / "nowhere.toml")


def test_the_seed_decides_when_and_for_how_long(tmp_path):
    faults = read_scenario(written(tmp_path, WHOLE)).faults
    drawn = [moments(faults, random.Random(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    for planned in drawn:
        assert [moment.at_s for moment in planned] == sorted(moment.at_s for moment in planned)
        (node,) = (moment for moment in planned if moment.fault.what == "node-kill")
        assert 2 <= node.at_s <= 4.5
        assert node.for_s == 3


def test_a_fault_comes_again_as_long_after_it_was_healed():
    fault = Injection("x", after_s=2, for_s=3, times=3)
    assert moments([fault], random.Random(0)) == [Moment(at, 3, fault) for at in (2, 7, 12)]


def test_a_fault_is_made_with_the_options_of_the_file():
    fault = fault_of(Injection("node-kill", options={"holds": "router"}))
    assert isinstance(fault, NodeKill)
    assert fault.holds == "router"
    assert isinstance(fault_of(Injection("shard-kill")), ShardKill)


@pytest.mark.parametrize(
    ("injection", "told"),
    [
        (Injection("shard-kil"), "there is no fault `shard-kil`; there are .*shard-kill"),
        (Injection("shard-kill", options={"hard": True}), "the fault shard-kill: .*unknown field `hard`"),
        (Injection("node-kill", options={"holds": "gold"}), "the fault node-kill: .*gold"),
    ],
)
def test_a_fault_that_there_is_not_is_refused(injection, told):
    with pytest.raises(Refused, match=told):
        fault_of(injection)


def test_those_that_are_shipped_fit_and_name_faults_that_there_are():
    scenarios = chosen(())
    assert [one.name for one in scenarios] == [one.name for one in read_scenarios(folder())]
    assert {"shard-kill", "node-kill", "head-restart", "shard-pause"} <= {one.name for one in scenarios}


def test_scenarios_are_chosen_by_name_or_by_file(tmp_path):
    path = written(tmp_path, WHOLE)
    assert [one.called for one in chosen(("door-kill", str(path)))] == ["door-kill", str(path)]
    with pytest.raises(Refused, match=r"there is no scenario dor-kill; there are .*door-kill"):
        chosen(("dor-kill",))
