"""Tickets: what may be one, and that a token is in no text."""

from __future__ import annotations

import pytest

from flux_actors.errors import Refused
from flux_actors.native.ticket import DEFAULT_SOURCE, Ticket


def test_a_token_is_in_no_text_of_it():
    ticket = Ticket.checked("flux_a_verysecret", "home", "me")
    assert ticket.token == "flux_a_verysecret"
    assert "verysecret" not in f"{ticket!r} {ticket} {[ticket]}"
    assert ticket == Ticket("flux_a_verysecret", "home", "me")


@pytest.mark.parametrize(
    ("token", "namespace", "source"),
    [
        (b"flux", None, DEFAULT_SOURCE),
        (None, "home/lamp", DEFAULT_SOURCE),
        (None, "flux-core", DEFAULT_SOURCE),
        (None, "", DEFAULT_SOURCE),
        (None, 7, DEFAULT_SOURCE),
        (None, None, ""),
        (None, None, None),
        (None, None, "x" * 1_000_000),
    ],
)
def test_what_can_be_none_is_refused(token, namespace, source):
    with pytest.raises(Refused):
        Ticket.checked(token, namespace, source)
