"""`flux namespace` and `flux token`: a token alone on standard output, and nothing deleted unasked."""

from __future__ import annotations

import pytest

from tests.unit.cli.commands import answer_of, assert_refused

MADE = b'{"namespaceId":"ns_1","name":"acme","token":"flux_a_b"}'
FACTS = b'{"namespaceId":"ns_1","name":"acme","createdAt":"T","entityCount":3}'
TOKEN = b'{"id":"a","token":"flux_a_b"}'


@pytest.mark.parametrize(
    ("arguments", "answer", "printed"),
    [
        (["namespace", "create", "acme"], MADE, "flux_a_b\n"),
        (["namespace", "show", "acme"], FACTS, "acme: 3 entities, since T\n"),
        (["namespace", "delete", "acme", "--yes"], b"", "acme is gone\n"),
        (["token", "create", "acme", "--scope", "read"], TOKEN, "flux_a_b\n"),
        (["token", "rotate", "acme"], TOKEN, "flux_a_b\n"),
        (["token", "revoke", "acme", "a"], b"", "a is revoked\n"),
    ],
)
def test_it_prints_what_a_script_needs(run, flux, arguments, answer, printed):
    flux.answer_with(200 if answer else 204, answer)
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (0, printed)


@pytest.mark.parametrize(
    ("arguments", "answer", "printed"),
    [
        (["namespace", "create", "acme"], MADE, {"namespaceId": "ns_1", "name": "acme", "token": "flux_a_b"}),
        (["token", "create", "acme", "--scope", "read"], TOKEN, {"id": "a", "token": "flux_a_b"}),
        (["token", "rotate", "acme"], TOKEN, {"id": "a", "token": "flux_a_b"}),
    ],
)
def test_it_prints_json_for_programs(run, flux, arguments, answer, printed):
    flux.answer_with(200, answer)
    assert answer_of(run(*arguments, "-o", "json")) == printed


def test_a_list_is_a_table_or_json(run, flux):
    flux.answer_with(200, b'{"namespaces":[' + FACTS + b"]}", times=2)
    assert "acme" in run("namespace", "list").stdout
    (facts,) = answer_of(run("namespace", "list", "-o", "json"))
    assert facts["entityCount"] == 3


@pytest.mark.parametrize("answer", ["n\n", "", "\n"])
def test_nothing_is_deleted_without_a_yes(run, flux, answer):
    result = run("namespace", "delete", "acme", stdin=answer)
    assert result.exit_code == 1
    assert flux.requests == []


def test_a_refusal_is_one_sentence(run, flux):
    flux.answer_with(401, b'{"error":"this needs the admin token"}')
    assert_refused(run("namespace", "list"), "this needs the admin token")


def test_scopes_and_bounds_of_a_token_are_passed_on(run, flux):
    flux.answer_with(200, TOKEN)
    run(
        "token",
        "create",
        "acme",
        "--scope",
        "read",
        "--scope",
        "admin",
        "--prefix",
        "acme/k/",
        "--expires",
        "T",
    )
    assert flux.last.json == {"scopes": ["read", "admin"], "prefix": "acme/k/", "expiresAt": "T"}


def test_the_tokens_of_a_namespace_are_a_table_or_json(run, flux):
    token = b'{"id":"a","main":false,"scopes":["read"],"prefix":null,"createdAt":"T","expiresAt":null}'
    flux.answer_with(200, b'{"tokens":[' + token + b"]}", times=2)
    assert "never" in run("token", "list", "acme").stdout
    assert answer_of(run("token", "list", "acme", "-o", "json"))[0]["scopes"] == ["read"]
    assert flux.last.target == "/api/namespaces/acme/tokens"
