"""Log lines name code and fields, never what a function was holding."""

from __future__ import annotations

import pytest
import structlog

from flux_actors.logs import RequestName, request_name, set_up_logs


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]):
    before = structlog.get_config()
    set_up_logs()
    yield lambda: capsys.readouterr().out
    structlog.configure(**before)


def test_a_traceback_holds_no_local_variable(lines) -> None:
    def fails(token: str) -> None:
        raise ValueError(f"of {len(token)} characters")

    try:
        fails("se" + "kret")
    except ValueError as error:
        structlog.get_logger("test").error("request.fault", error=repr(error), exc_info=error)
    written = lines()
    assert "request.fault" in written
    assert "of 6 characters" in written
    assert "in fails" in written
    assert "sekret" not in written


def test_a_line_is_plain_text_with_time_level_event_and_fields(lines) -> None:
    structlog.get_logger("test").info("partition.recovered", entities=5)
    line = lines()
    assert "\x1b" not in line
    assert "[info" in line
    assert "partition.recovered" in line
    assert "entities=5" in line
    assert line[:2] == "20"


def test_the_lines_of_a_request_bear_its_id_and_others_none(lines) -> None:
    logger = structlog.get_logger("test")
    logger.info("before")
    token = request_name.set(RequestName("mine"))
    logger.info("within")
    request_name.reset(token)
    before, within = lines().splitlines()
    assert "request_id" not in before
    assert "request_id=mine" in within


def test_an_id_that_was_not_given_is_made_once() -> None:
    name, other = RequestName(None), RequestName(None)
    made = str(name)
    assert (str(name), len(made)) == (made, 16)
    assert str(other) != made
