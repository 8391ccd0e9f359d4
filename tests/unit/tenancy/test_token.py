"""Tokens: none like another, nothing kept that would do for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.tenancy.token import Token, digest_of, is_same, new_token, read_token


def test_a_token_is_read_back_from_its_text():
    for _ in range(200):  # secrets hold "_" and "-" now and then
        token = new_token()
        assert read_token(token.text) == token


def test_no_two_are_alike():
    tokens = {new_token() for _ in range(1_000)}
    assert len({token.id for token in tokens}) == len({token.secret for token in tokens}) == 1_000


@given(st.text())
def test_any_other_text_is_no_token_or_one_of_that_text(text):
    token = read_token(text)
    assert token is None or token.text == text


@pytest.mark.parametrize("text", ["", "flux_", "flux_a", "flux__b", "flux_a_", "Flux_a_b", "flux_é_b"])
def test_what_lacks_a_part_is_none(text):
    assert read_token(text) is None


def test_a_text_longer_than_any_token_is_not_looked_at():
    assert read_token("flux_a_" + "b" * limits.token_chars_max) is None


def test_its_digest_holds_nothing_of_it_and_depends_on_all():
    token = Token("id", "secret")
    digest = digest_of(token, "ns_1")
    assert digest == digest_of(token, "ns_1")
    assert len(digest) == 64
    assert "secret" not in digest
    assert len({digest, digest_of(token, "ns_2"), digest_of(Token("id", "secreT"), "ns_1")}) == 3


@given(st.text(), st.text())
def test_two_texts_are_the_same_when_they_are_equal(one, other):
    if other.isprintable() and other.encode("utf-8", "ignore").decode() == other:
        assert is_same(one, other) == (one == other)
