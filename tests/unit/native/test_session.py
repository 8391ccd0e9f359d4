"""Sessions: the newest position of each partition, and no older one."""

from __future__ import annotations

from flux_actors.domain.position import pack
from flux_actors.native.session import Session


def test_the_newest_position_of_each_partition_counts():
    session = Session()
    assert (session.after(1), session.text) == (0, "")
    session.note(1, pack(5, 2))
    session.note(1, pack(4, 9))
    session.note(0, pack(1, 0))
    assert session.after(1) == pack(5, 2)
    assert session.text == "0.1.0~1.5.2"


def test_it_goes_on_elsewhere_without_touching_the_first():
    session = Session({2: pack(3, 0)})
    other = Session(session.positions())
    other.note(2, pack(7, 0))
    assert (session.after(2), other.after(2)) == (pack(3, 0), pack(7, 0))
