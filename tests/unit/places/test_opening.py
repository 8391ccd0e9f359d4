from __future__ import annotations

from pathlib import Path

import pytest

from flux_actors.errors import Refused
from flux_actors.places.files import FilePlace
from flux_actors.places.opening import absolute, is_url, open_place
from flux_actors.places.remote import RemotePlace


@pytest.mark.parametrize("text", ["s3://bucket/prefix", "memory://x", "gs://b"])
def test_url_is_one_and_stays_as_it_is(text: str) -> None:
    assert is_url(text)
    assert absolute(text) == text


@pytest.mark.parametrize("text", ["folder", "/folder", "file:///folder", "a:b", "C:/x"])
def test_folder_is_no_url(text: str) -> None:
    assert not is_url(text)


def test_folder_is_the_same_whatever_folder_a_process_works_in() -> None:
    assert absolute("a/b") == str(Path("a/b").absolute())
    assert absolute("file:///a/b") == "/a/b"


def test_place_is_of_the_kind_that_its_text_says(tmp_path: Path) -> None:
    assert isinstance(open_place(str(tmp_path)), FilePlace)
    assert isinstance(open_place("memory://x"), RemotePlace)


def test_scheme_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Refused, match="nonsense"):
        open_place("nonsense://x")
