from __future__ import annotations

from collections.abc import Callable

from flux_actors.behaviour.faults import fault_of, places_of, said_by
from flux_actors.behaviour.watchdog import Overran
from flux_actors.behaviour.wire import RAISED, TOO_LARGE, TOO_LONG


def raised(work: Callable[[], object]) -> BaseException:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - that is what is wanted
        return error
    raise AssertionError("nothing was raised")


def inner(secret: str) -> None:
    raise ValueError("no good")


def outer() -> None:
    inner("hunter2")


def test_fault_tells_type_message_and_places() -> None:
    fault = fault_of(raised(outer), "on_change", 1.0)
    assert fault.kind == RAISED
    assert fault.text.startswith("ValueError: no good (")
    assert [place.rpartition(" ")[2] for place in fault.text[:-1].split(", ")] == ["raised", "outer", "inner"]


def test_values_of_variables_are_not_told() -> None:
    assert "hunter2" not in fault_of(raised(outer), "on_change", 1.0).text


def test_addresses_are_not_told() -> None:
    assert said_by(ValueError(f"{object()!r} is odd")) == "ValueError: <object object> is odd"


def test_error_without_a_message_is_its_type() -> None:
    assert said_by(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_fault_is_bounded_and_can_be_read_by_anyone() -> None:
    text = fault_of(ValueError("\ud800" + "x" * 100_000), "on_change", 1.0).text
    assert len(text) <= 2_000
    assert text.encode().decode() == text


def test_only_the_last_places_are_told() -> None:
    def down(levels: int) -> None:
        if not levels:
            raise ValueError
        down(levels - 1)

    assert places_of(raised(lambda: down(50)).__traceback__).count(" in down") == 5


def test_overrun_and_lack_of_memory_have_kinds_of_their_own() -> None:
    fault = fault_of(Overran(), "on_ask", 1.5)
    assert (fault.kind, fault.text) == (TOO_LONG, "on_ask ran for more than 1.5 s")
    assert fault_of(MemoryError(), "on_ask", 1.5).kind == TOO_LARGE
