"""What shards answer to doors survives the way through Ray."""

from __future__ import annotations

from flux_actors.domain.entity import EntityRow
from flux_actors.shard import reads

ROW = EntityRow("n/e", {"text": "ü", "big": 2**64 - 1, "small": -(2**63), "half": 0.5, "no": None}, 4097, 5)
GONE = EntityRow("n/gone", None, 4098, 6)


def test_readings_of_several_partitions():
    answers = {0: reads.Readings(7, [ROW]), 3: reads.Readings(0, [])}
    assert reads.decode_readings(reads.encode(answers)) == answers


def test_a_page_and_where_it_goes_on():
    for page in (reads.Page(["n/d", "n/e"], [b'{"id":"n/d"}', b"{}"], "n/e"), reads.Page([], [], None)):
        assert reads.decode_page(reads.encode(page)) == page


def test_a_repair_by_messages_and_one_by_rows():
    for repair in (reads.Repair(9, [b"\x00message"], []), reads.Repair(9, None, [ROW, GONE])):
        assert reads.decode_repair(reads.encode(repair)) == repair


def test_the_totals_of_namespaces():
    rows = [reads.NamespaceRow("n", 3, 1_000_000), reads.NamespaceRow("", 1, 0)]
    assert reads.decode_namespaces(reads.encode(rows)) == rows
