from __future__ import annotations

from flux_actors.log.generations import event_subject, stream_name
from flux_actors.log.ports import DOORS_SUBJECT, feed_subject


def test_names_of_a_log_that_exists_never_change() -> None:
    assert (stream_name(3), event_subject(3)) == ("FLUX_EVENTS_3", "flux.events.3")


def test_feeds_and_events_have_subjects_of_their_own() -> None:
    subjects = [named(p) for named in (feed_subject, event_subject) for p in range(3)]
    assert len({*subjects, DOORS_SUBJECT}) == 7
    assert feed_subject(2) == "flux.feed.2"
