"""How errors of fsspec's stores are told; what a place promises is asked of S3 in tests/contract."""

from __future__ import annotations

from typing import Any

import pytest

from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.places.place import keep
from flux_actors.places.remote import RemotePlace


class Fault(Exception):
    """What some store raises."""


@pytest.fixture
def place() -> RemotePlace:
    return RemotePlace(f"memory://test-{id(object())}")


def failing(place: RemotePlace, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise fault

    for name in ("open", "ls", "rm_file", "put_file"):
        monkeypatch.setattr(place._files, name, fail)  # noqa: SLF001 - the store that a test breaks


def test_errors_of_any_kind_are_unavailable_and_tell_what_happened(
    place: RemotePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(place, monkeypatch, Fault("no login\nand a long story"))
    for attempt in (
        lambda: list(place.read("a")),
        lambda: place.names("a"),
        lambda: place.delete("a"),
        lambda: keep(place, "a", b"x"),
    ):
        with pytest.raises(Unavailable, match=r"\(memory: Fault: no login\)$"):
            attempt()


def test_what_is_not_there_is_no_fault(place: RemotePlace) -> None:
    assert place.names("a") == []
    place.delete("a")
    with pytest.raises(Corrupt, match="a is not there"):
        list(place.read("a"))


def test_folders_are_made_in_a_store_that_has_them(
    place: RemotePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    put_file = place._files.put_file  # noqa: SLF001

    def refuse_once(*args: Any, **kwargs: Any) -> Any:
        if not made:
            raise FileNotFoundError
        return put_file(*args, **kwargs)

    monkeypatch.setattr(place._files, "put_file", refuse_once)  # noqa: SLF001
    monkeypatch.setattr(place._files, "makedirs", lambda path, exist_ok: made.append(path))  # noqa: SLF001
    keep(place, "a/b/c", b"x")
    assert made[0].endswith("/a/b")
    assert b"".join(place.read("a/b/c")) == b"x"


def test_scheme_whose_package_is_missing_says_what_to_install() -> None:
    with pytest.raises(Refused, match=r"gs:// needs a package .* for S3 install s3fs, or flux-actors\[s3\]"):
        RemotePlace("gs://bucket")
