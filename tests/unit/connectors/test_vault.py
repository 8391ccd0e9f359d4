"""Credentials at rest: opened by the right key at the right place alone, and by nothing else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.connectors.vault import NamespaceVault, Vault, new_key
from flux_actors.errors import Corrupt, Refused

OLD, NEW = bytes(32), b"\x01" * 32
TOKEN = "ghp_abcdefgh"


@given(text=st.text(max_size=100), namespace=st.text(max_size=40), connector=st.text(max_size=40))
def test_what_was_sealed_opens_again(text, namespace, connector):
    vault = Vault([NEW]).of(namespace)
    assert vault.open(connector, vault.seal(connector, text)) == text


def test_a_sealed_text_shows_nothing_and_never_repeats():
    vault = Vault([NEW]).of("default")
    sealed = {vault.seal("github", TOKEN) for _ in range(100)}
    assert len(sealed) == 100
    assert not any(TOKEN.encode() in base64.b64decode(text) for text in sealed)


@pytest.mark.parametrize(("namespace", "connector"), [("other", "github"), ("default", "gmail"), ("", "")])
def test_it_opens_nowhere_else(namespace, connector):
    sealed = Vault([NEW]).of("default").seal("github", TOKEN)
    with pytest.raises(Corrupt):
        Vault([NEW]).of(namespace).open(connector, sealed)


def test_names_that_join_to_the_same_text_are_different_places():
    sealed = Vault([NEW]).of("a").seal("b\0c", TOKEN)
    with pytest.raises(Corrupt):
        NamespaceVault("a\0b", Vault([NEW]).keys_of("a")).open("c", sealed)
    with pytest.raises(Corrupt):
        NamespaceVault("a1", Vault([NEW]).keys_of("a")).open("b", Vault([NEW]).of("a").seal("1b", TOKEN))


def test_the_place_is_bound_beside_the_key():
    """Even with another namespace's keys in hand, a text opens only where it was sealed."""
    keys = Vault([NEW]).keys_of("default")
    sealed = NamespaceVault("default", keys).seal("github", TOKEN)
    with pytest.raises(Corrupt, match="not sealed for this connector"):
        NamespaceVault("other", keys).open("github", sealed)


@given(st.data())
def test_a_changed_byte_is_seen(data):
    vault = Vault([NEW]).of("default")
    sealed = bytearray(base64.b64decode(vault.seal("github", TOKEN)))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Corrupt):
        vault.open("github", base64.b64encode(sealed).decode())


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: base64.b64encode(raw).decode()))
def test_anything_else_is_damaged(text):
    vault = Vault([NEW]).of("default")
    with pytest.raises(Corrupt):
        vault.open("github", text)


def test_the_first_key_seals_and_all_of_them_open():
    before = Vault([OLD]).of("default").seal("github", TOKEN)
    rotating = Vault([NEW, OLD]).of("default")
    assert rotating.open("github", before) == TOKEN
    assert not rotating.is_fresh(before)
    after = rotating.seal("github", TOKEN)
    assert rotating.is_fresh(after)
    assert Vault([NEW]).of("default").open("github", after) == TOKEN
    with pytest.raises(Corrupt, match="FLUX_ENCRYPTION_KEY does not hold"):
        Vault([NEW]).of("default").open("github", before)


def test_the_keys_of_a_namespace_are_its_own():
    vault = Vault([NEW, OLD])
    keys = [*vault.keys_of("a"), *vault.keys_of("b"), NEW, OLD]
    assert len(set(keys)) == 6
    assert {len(key) for key in keys} == {32}


def test_without_a_key_nothing_is_sealed_and_the_text_says_how_to_make_one():
    for act in (Vault([]).check, lambda: Vault([]).of("default").seal("github", TOKEN)):
        with pytest.raises(Refused, match="flux connectors key") as refused:
            act()
        assert refused.value.status == 500
    with pytest.raises(Corrupt, match="FLUX_ENCRYPTION_KEY"):
        Vault([]).of("default").open("github", Vault([NEW]).of("default").seal("github", TOKEN))


def test_a_new_key_is_32_bytes_and_another_each_time():
    keys = {new_key() for _ in range(10)}
    assert len(keys) == 10
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {32}
