"""What goes over the wire: paths that name any id, and lines wherever their chunks end."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.client.wire import _lines, entity_path
from flux_actors.errors import Refused


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_path_of_an_id_unquotes_to_the_id_and_holds_no_step(entity_id: str) -> None:
    path = entity_path(entity_id).removeprefix("/api/state/entities/")
    assert unquote(path, errors="strict") == entity_id
    assert path.isascii()
    assert path.isprintable()
    assert not {".", ".."} & set(path.split("/"))
    assert not set(path) & set("?# \"'")


@pytest.mark.parametrize("entity_id", ["", "home/\udcff"])
def test_id_that_no_path_can_name_is_refused(entity_id: str) -> None:
    with pytest.raises(Refused, match="entity_id must"):
        entity_path(entity_id)


@given(st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line)), st.integers(1, 9))
def test_lines_do_not_depend_on_where_chunks_end(lines: list[bytes], size: int) -> None:
    text = b"".join(line + b"\n" for line in lines)
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    assert list(_lines(chunks)) == lines
