"""What earlier versions of Flux wrote is read for ever: blocks and snapshots of versions 1 and 2.

The bytes were written by the last Flux that knew nothing of leases, and by the last that knew nothing of
behaviours.
"""

from __future__ import annotations

from flux_actors.domain.acting.catalogue import Catalogue
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.terms import Terms
from flux_actors.log.block import Block, decode_block_heads
from flux_actors.snapshot.codec import read_header, read_snapshot
from flux_actors.snapshot.cut import Cut
from tests.unit.domain.acting.small_acting import REDUCING, Functions, note
from tests.unit.domain.small_log import event
from tests.unit.domain.strategies import whole

BLOCKS = [
    bytes.fromhex(
        "465801000000000000000007000000000000000100000000000003e800000002b05b40addd000000029aa3612f3181a1"
        "7601a56e616d6564c3a173a17401c0c0c09aa3612f3281a177c0a46d616465c2a173a17401c0c0c0"
    ),
    bytes.fromhex(
        "465802000000000000000007000000000000000200000000000007d0000000022a09a2d4dd000000029ba3612f3381a1"
        "7801a46d616465c2a173a17401c0c0c097c0000581a17803c0c0c09ba3612f3180a46d616465c2a173a17401c0c0c097"
        "c000c0c0c094a761637175697265a26d653cc0c0"
    ),
    bytes.fromhex(
        "46580100000000000000000700000000000000030000000000000bb8000000019bf29bebdd000000019aa3612f3281ab"
        "5f5f64656c657465645f5fc3a46d616465c2a173a17401c0c0c0"
    ),
]
SNAPSHOT = bytes.fromhex(
    "464c5558534e4150000228b52ffd0048950700f20e3734506bd4011091895987f80ea232e24245b4a6ac93c5a27c3d66"
    "f1c10b234f65b8ff0872c48c5b72e43751e870032ea2679d2273a7d199ae7aadfc1f5a08f4e6710c046d9fd1c8feecb8"
    "79dc01446f173e20ff913833e0d3e70e2710bd5dc8216d51b4a27c5c682f359ff1cee691cf8c46769ccd2c311730f304"
    "810d9825668979216249c4124e5088264885366835a322b6ca11675f1502ab7cd5c2c8ea54610f1a1516452bca17253c"
    "8a08a2b7b3da049665603efe4fd5a2d7e9c6a5439ba86b03fe5b3cb489ba56fedf387d8b23311700f069e70e58752f06"
    "fe070800606030d02b0a8273a00d2003dce0b4400a0eff056a01b9ecda035ad223e00db4e9b57cef7c3f7e46840b5913"
    "d47659fdbc"
)

SNAPSHOT_1 = bytes.fromhex(
    "464c5558534e4150000128b52ffd0048d5030032871b2590398d01ffb9e687141f72c89d9213f15021b56c4886e6f333"
    "333b62a56b554e659ade6da74c914fa394fb59c3dbf5c2e0c47a3b5cc880895a3db9dabe2c4b341602266a354d058470"
    "4c845f3687f81c1f52644a4729c01f49a6749472ffd5f6a8b9496ad65be502645046e00f041000342e9e192f33f1af4d"
    "2b2168c1ed19f967de2e97eda8fd56e666be9172b5854423677448eb84"
)
BLOCKS_OF_SNAPSHOT_1 = [BLOCKS[0], BLOCKS[2]]


def folded() -> PartitionState:
    state = PartitionState(0)
    state.apply([(number, decode_block_heads(data)) for number, data in enumerate(BLOCKS, 1)])
    return state


def test_blocks_of_earlier_versions_fold_to_what_they_did() -> None:
    state = folded()
    found = {name: actor.properties for name, actor in state.entities.items()}
    holds = {name: (held or {}).pop("claim", {}).get("holder") for name, held in found.items()}
    assert holds == {"a/1": "me", "a/2": None, "a/3": None}
    assert found == {"a/1": {"v": 1}, "a/2": None, "a/3": {"x": 1}}
    leases = state.entities["a/3"].leases
    assert leases is not None
    assert (leases.entity_us, leases.properties) == (7_000, {"x": 5_000})
    assert not state.acting.binds


def test_a_snapshot_of_version_2_is_the_same_state() -> None:
    header, state = read_snapshot([SNAPSHOT])
    assert header == read_header([SNAPSHOT])
    assert header.behaviours is None
    assert whole(state) == whole(folded())
    assert state.acting.catalogue == Catalogue()
    assert not len(state.acting.outbox)


def test_a_snapshot_of_version_1_is_the_same_state() -> None:
    expected = PartitionState(0)
    expected.apply(
        [(number, decode_block_heads(data)) for number, data in enumerate(BLOCKS_OF_SNAPSHOT_1, 1)]
    )
    header, state = read_snapshot([SNAPSHOT_1])
    assert (header.sequence, header.behaviours) == (2, None)
    assert whole(state) == whole(expected)
    assert {name: actor.properties for name, actor in state.entities.items()} == {
        "a/1": {"v": 1},
        "a/2": None,
    }
    assert all(actor.leases is None for actor in state.entities.values())


def test_snapshots_of_earlier_versions_go_on_as_the_newest_do() -> None:
    for data in (SNAPSHOT_1, SNAPSHOT):
        state = read_snapshot([data])[1]
        cut = Cut(state, "log")
        again = read_snapshot([b"".join(iter(cut.next_slice, None))])[1]
        block = Block(8, 1, 4_000, [event({"n": 4}, Terms(ttl_ms=5), key="a/2")], has_terms=True)
        for one in (state, again):
            one.apply([(one.sequence + 1, block)])
        assert whole(again) == whole(state)
        assert again.entities["a/2"].leases is not None


def test_behaviours_go_on_from_there() -> None:
    states = [folded(), read_snapshot([SNAPSHOT])[1]]
    for state in states:
        state.acting.reducers = Functions()
        events = [note(Terms(control=REDUCING)), event({"n": 4}, key="a/3")]
        state.apply([(4, Block(8, 1, 4_000, events, has_terms=True))])
        assert state.entities["a/3"].properties == {"x": None, "events": 1, "sum": 4}
        assert "a/3" in state.acting.ever_reduced
    assert whole(states[0]) == whole(states[1])
