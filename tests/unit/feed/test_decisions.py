"""What a door knows of refusals, and what it says when it cannot know."""

from __future__ import annotations

import pytest

from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ABSENT, ACQUIRE, PRESENT, Claim, Terms
from flux_actors.feed.decisions import Verdicts, refusal_of


def test_what_was_refused_is_known_and_all_else_was_not():
    verdicts = Verdicts()
    verdicts.hear([pack(3, 1)])
    verdicts.hear([pack(3, 1), pack(4, 0)])
    assert [verdicts.refused(pack(3, offset)) for offset in range(3)] == [False, True, False]
    assert verdicts.refused(pack(4, 0)) is True


def test_what_was_decided_while_nobody_heard_is_unknown():
    verdicts = Verdicts()
    verdicts.lose(7)
    assert verdicts.refused(pack(7, 4_095)) is None
    assert verdicts.refused(pack(8, 0)) is False
    verdicts.hear([pack(7, 3), pack(8, 0)])
    assert verdicts.refused(pack(7, 3)) is None
    assert verdicts.refused(pack(8, 0)) is True
    verdicts.lose(5)
    assert verdicts.refused(pack(8, 1)) is False


def test_only_so_many_are_remembered_and_those_before_are_unknown():
    verdicts = Verdicts(kept_max=2)
    verdicts.hear([pack(1, 0), pack(2, 0), pack(3, 0)])
    assert verdicts.refused(pack(1, 0)) is None
    assert [verdicts.refused(pack(sequence, 0)) for sequence in (2, 3, 4)] == [True, True, False]


@pytest.mark.parametrize(
    ("terms", "entity", "status", "word"),
    [
        (Terms(condition=ABSENT), {"id": "n/e"}, 412, "one already"),
        (Terms(condition=PRESENT), None, 412, "there is none"),
        (Terms(condition=(0, 5)), {"id": "n/e"}, 412, "changed since"),
        (Terms(condition=(0, 5)), None, 412, "there is none"),
        (Terms(together=2), None, 412, "atomic"),
        (Terms(claim=Claim(ACQUIRE, "me", 1)), None, 409, "claimed"),
    ],
)
def test_a_refusal_says_why(terms, entity, status, word):
    refused = with_terms(Event("n/e", {"v": 1}, "id", False, "s", "t", 1), terms)
    refusal = refusal_of(refused, terms, entity)
    assert refusal.status == status
    assert word in refusal.message
