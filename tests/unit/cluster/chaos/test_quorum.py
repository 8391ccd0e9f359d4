"""Who leads, as servers tell that do not all know the same."""

from __future__ import annotations

import pytest

from flux_cluster.chaos import quorum
from flux_cluster.chaos.quorum import is_current, leader, stored_bytes

LOG = "FLUX_EVENTS_0"


def told(meta=None, stream=None, replicas=()):
    """What a server tells."""
    cluster = {"leader": stream, "replicas": list(replicas)}
    streams = [{"name": LOG, "cluster": cluster}]
    return {"meta_cluster": {"leader": meta}, "account_details": [{"stream_detail": streams}]}


@pytest.fixture
def servers(monkeypatch):
    """What each of some servers tells, `None` if nothing."""
    answers = {}
    monkeypatch.setattr(quorum, "_jetstream", answers.get)
    return answers


def test_the_leader_is_whom_most_of_those_that_answer_name(servers):
    servers |= {1: told("nats-0", "nats-1"), 2: told("nats-0", "nats-1"), 3: told("nats-2", "nats-2")}
    assert (leader([1, 2, 3]), leader([1, 2, 3], LOG)) == ("nats-0", "nats-1")
    servers[3] = None
    assert leader([1, 2, 3], LOG) == "nats-1"
    servers[2] = told("nats-2", "nats-2")
    assert leader([1, 2, 3], LOG) is None


def test_there_is_none_while_nobody_knows_of_one(servers):
    assert leader([1, 2, 3]) is None
    servers |= {1: told(), 2: told(), 3: told("nats-0")}
    assert leader([1, 2, 3]) is None
    assert leader([1, 2, 3], "OTHER") is None


def test_all_is_current_when_the_leader_has_all_copies_with_it(servers):
    good, late = {"current": True}, {"current": False}
    servers |= dict.fromkeys((1, 2, 3), told("n", "n", (good, late)))
    assert not is_current([1, 2, 3], [LOG])
    servers[2] = told("n", "n", (good, good))
    assert is_current([1, 2, 3], [LOG])
    assert not is_current([1, 2, 3], [LOG, "OTHER"])
    servers[2] = told("n", "n", (good, {"current": True, "offline": True}))
    assert not is_current([1, 2, 3], [LOG])
    servers |= {2: told("n", "n", (good, good)), 3: None}
    assert not is_current([1, 2, 3], [LOG])


def test_how_much_is_stored_is_what_a_server_says_of_itself(servers):
    servers |= {1: {"storage": 4096}, 2: None}
    assert (stored_bytes(1), stored_bytes(2)) == (4096, None)
