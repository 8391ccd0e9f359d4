from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.entity_id import check_entity_id, check_not_core, namespace_of
from flux_actors.errors import Refused
from tests.unit.domain.strategies import many


@pytest.mark.parametrize(
    ("entity_id", "namespace"),
    [("a/b", "a"), ("a/b/c", "a"), ("a", ""), ("", ""), ("/b", ""), ("a/", "a"), ("//", "")],
)
def test_namespace_is_what_stands_before_the_first_slash(entity_id: str, namespace: str) -> None:
    assert namespace_of(entity_id) == namespace


@pytest.mark.parametrize(
    "entity_id", ["a", "a/b", "/", "a//b/", " ", "x" * 512, "ü" * 256, "\u2028", "\U0001f600", "%2F", "a\xa0"]
)
def test_id_of_1_to_512_bytes_without_control_characters_is_accepted(entity_id: str) -> None:
    assert check_entity_id(entity_id) == entity_id


@pytest.mark.parametrize("value", [None, 1, True, [], {}, b"a"])
def test_id_that_is_no_string_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="must be a string") as caught:
        check_entity_id(value)
    assert caught.value.status == 400


@pytest.mark.parametrize("entity_id", ["", "x" * 513, "ü" * 257])
def test_id_of_a_wrong_length_in_bytes_is_refused(entity_id: str) -> None:
    with pytest.raises(Refused, match="1 to 512 bytes"):
        check_entity_id(entity_id)


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0)])
def test_id_with_a_control_character_is_refused(code: int) -> None:
    with pytest.raises(Refused, match="control characters"):
        check_entity_id(f"a/{chr(code)}b")


def test_id_with_half_a_character_is_refused() -> None:
    with pytest.raises(Refused, match="Unicode"):
        check_entity_id("a/\ud800")


@given(st.text(max_size=8), st.integers(1, 130))
@many
def test_any_text_is_an_id_or_a_400(part: str, times: int) -> None:
    text = part * times
    allowed = not any(unicodedata.category(char) in {"Cc", "Cs"} for char in text)
    if allowed and 1 <= len(text.encode()) <= 512:
        assert check_entity_id(text) == text
    else:
        with pytest.raises(Refused) as caught:
            check_entity_id(text)
        assert caught.value.status == 400


def test_names_of_the_server_are_403_and_others_pass() -> None:
    for mine in ("flux-core", "flux-core/directory", "flux-core-too/x"):
        with pytest.raises(Refused) as caught:
            check_not_core(mine)
        assert caught.value.status == 403
    for free in ("flux", "flux-cor", "a/flux-core", "Flux-core/x"):
        assert check_not_core(free) == free
