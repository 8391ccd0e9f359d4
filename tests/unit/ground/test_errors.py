from __future__ import annotations

import copy
import pickle

import pytest

from flux_actors.errors import (
    AlreadyClaimed,
    AskFailed,
    AskTimedOut,
    Corrupt,
    FluxError,
    HandlerFailed,
    NotAllDurable,
    NotAskable,
    Refused,
    Unavailable,
)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(FluxError("something"), id="root"),
        pytest.param(Refused("no"), id="refused"),
        pytest.param(Refused("no", 429, {"Retry-After": "7"}), id="refused with headers"),
        pytest.param(Unavailable("later", 30), id="unavailable"),
        pytest.param(Corrupt("damaged"), id="corrupt"),
        pytest.param(NotAskable("nobody", 404), id="not askable"),
        pytest.param(HandlerFailed("it raised", 500), id="handler failed"),
        pytest.param(AskTimedOut("late", 2), id="ask timed out"),
        pytest.param(AlreadyClaimed("taken", 409, more={"holder": "me"}), id="already claimed"),
        pytest.param(NotAllDurable("some", [1, 2], ["a", "b"], "0.1.0", 3), id="not all durable"),
    ],
)
def test_error_travels_between_processes_whole(error: FluxError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert type(again) is type(error)
        assert str(again) == again.message == error.message
        assert vars(again) == vars(error)


def test_every_error_is_a_flux_error_and_none_is_another() -> None:
    kinds = (Refused, Unavailable, Corrupt)
    for kind in kinds:
        assert issubclass(kind, FluxError)
        assert not any(issubclass(kind, other) for other in kinds if other is not kind)


def test_every_named_error_is_one_of_the_three() -> None:
    assert issubclass(AskFailed, FluxError)
    for refused in (NotAskable, HandlerFailed, AlreadyClaimed):
        assert issubclass(refused, Refused)
    for unavailable in (AskTimedOut, NotAllDurable):
        assert issubclass(unavailable, Unavailable)
    for asked in (NotAskable, HandlerFailed, AskTimedOut):
        assert issubclass(asked, AskFailed)


def test_a_claim_says_who_holds_it_if_that_is_known() -> None:
    assert AlreadyClaimed("taken", more={"holder": "me"}).holder == "me"
    assert AlreadyClaimed("over").holder is None


def test_defaults_are_a_400_and_a_second() -> None:
    assert (Refused("no").status, Refused("no").headers) == (400, {})
    assert Unavailable("later").retry_after_s == 1


def test_headers_of_two_errors_are_not_shared() -> None:
    Refused("one").headers["Retry-After"] = "1"
    assert Refused("other").headers == {}
