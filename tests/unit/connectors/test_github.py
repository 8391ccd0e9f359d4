"""GitHub against a real server that behaves like it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from flux_actors.connectors.addresses import AddressRule
from flux_actors.connectors.base import Context
from flux_actors.connectors.github import GitHub
from flux_actors.connectors.web import HttpWeb
from flux_actors.errors import Corrupt, Refused, Unavailable
from tests.unit.connectors.fake_api import FakeApi, Reply
from tests.unit.connectors.fake_github import (
    RESET_S,
    TOKEN,
    FakeGitHub,
    issue,
    notification,
    pull,
    repository,
    secondary_limit,
)

NOW_S = 1_800_000_000.0
REPO = "octo/hello-world"


class Account:
    """A GitHub account, and polls of it that share their state as those of one actor do."""

    def __init__(self, api: FakeApi, hub: FakeGitHub, web: HttpWeb) -> None:
        self.api, self.hub, self.web = api, hub, web
        self.state: dict[str, Any] = {}
        self.now_s = NOW_S
        self.token = TOKEN
        self.found: dict[str, Any] = {}
        self.context: Context | None = None

    async def poll(self) -> dict[str, Any]:
        """Poll once and return what was found."""
        connector = GitHub()
        self.found = {}
        self.api.asked.clear()
        self.context = Context(
            web=self.web,
            token=self.token,
            settings={},
            state=self.state,
            now_s=lambda: self.now_s,
            judge=connector.judge,
            operator={"github_url": self.hub.base},
        )
        async with aclosing(connector.poll(self.context)) as pairs:
            async for name, properties in pairs:
                self.found[name] = properties
        return self.found

    def notes(self) -> list[str]:
        assert self.context is not None
        return self.context.notes


@pytest.fixture(params=["", "/api/v3"], ids=["public", "enterprise"])
async def account(request) -> AsyncIterator[Account]:
    hub = FakeGitHub()
    async with FakeApi(hub).serving() as api:
        hub.base = api.url + request.param
        web = HttpWeb(AddressRule(allow_private=True), 1_000_000, ssl.create_default_context)
        yield Account(api, hub, web)
        await web.close()


async def test_everything_of_an_account_becomes_entities(account):
    account.hub.repositories = [repository(REPO)]
    account.hub.issues = [issue(REPO, 1), pull(REPO, 2)]
    account.hub.notifications = [notification("77", REPO)]
    found = await account.poll()
    assert sorted(found) == [
        "issues/octo/hello-world/1",
        "notifications/77",
        "pulls/octo/hello-world/2",
        "rate_limit",
        "repositories/octo/hello-world",
    ]
    assert found[f"issues/{REPO}/1"] == {
        "repository": REPO,
        "number": 1,
        "title": "issue 1",
        "state": "open",
        "state_reason": None,
        "comments": 4,
        "author": "octocat",
        "assignees": ["hubot"],
        "labels": ["bug"],
        "created_at": "2025-06-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "closed_at": None,
        "url": f"https://github.com/{REPO}/issues/1",
    }
    assert found[f"pulls/{REPO}/2"]["draft"] is True
    assert found[f"pulls/{REPO}/2"]["merged_at"] is None
    assert found[f"repositories/{REPO}"]["stars"] == 3
    assert found["notifications/77"]["unread"] is True
    assert found["rate_limit"] == {"limit": 5000, "remaining": 4997, "reset": RESET_S, "resource": "core"}
    asked = account.api.asked[0].headers
    assert asked["accept"] == "application/vnd.github+json"
    assert asked["x-github-api-version"] == "2022-11-28"


async def test_what_did_not_change_costs_nothing(account):
    account.hub.repositories = [repository(REPO)]
    await account.poll()
    spent = account.hub.remaining
    assert list(await account.poll()) == ["rate_limit"]
    assert account.hub.remaining == spent
    assert all("if-none-match" in asked.headers for asked in account.api.asked)
    account.hub.repositories = [repository(REPO, "2026-02-02T00:00:00Z", description="new")]
    assert (await account.poll())[f"repositories/{REPO}"]["description"] == "new"


class TestPages:
    async def test_all_of_them_are_read_the_first_time(self, account):
        account.hub.page_size = 10
        account.hub.issues = [issue(REPO, n, f"2026-01-01T00:00:{n:02}Z") for n in range(35)]
        found = await account.poll()
        assert sum(name.startswith("issues/") for name in found) == 35
        assert sum("/issues?" in path for path in account.api.paths()) == 4

    async def test_later_only_what_is_newer_than_before(self, account):
        account.hub.page_size = 10
        account.hub.issues = [issue(REPO, n, f"2026-01-01T00:00:{n:02}Z") for n in range(35)]
        await account.poll()
        account.hub.issues[3] = issue(REPO, 3, "2026-01-02T00:00:00Z", state="closed")
        found = await account.poll()
        assert found[f"issues/{REPO}/3"]["state"] == "closed"
        assert sum("/issues?" in path for path in account.api.paths()) == 1

    async def test_many_changes_are_all_found(self, account):
        account.hub.page_size = 10
        account.hub.issues = [issue(REPO, n, f"2026-01-01T00:00:{n:02}Z") for n in range(35)]
        await account.poll()
        account.hub.issues = [
            issue(REPO, n, f"2026-01-02T00:00:{n:02}Z" if n < 25 else row["updated_at"], state="closed")
            for n, row in enumerate(account.hub.issues)
        ]
        found = await account.poll()
        assert {f"issues/{REPO}/{n}" for n in range(25)} <= found.keys()

    async def test_there_is_a_bound(self, account):
        account.hub.page_size = 1
        account.hub.issues = [issue(REPO, n, f"2026-01-01T00:00:{n:02}Z") for n in range(50)]
        await account.poll()
        assert sum("/issues?" in path for path in account.api.paths()) == 10

    async def test_a_page_that_fails_is_asked_for_again_with_all_before_it(self, account):
        account.hub.page_size = 10
        account.hub.issues = [issue(REPO, n, f"2026-01-01T00:00:{n:02}Z") for n in range(35)]
        account.hub.instead = lambda asked: Reply(502, b"") if "page=3" in asked.path else None
        before = dict(account.state)
        with pytest.raises(Unavailable):
            await account.poll()
        account.state = before  # what a failed poll remembered does not count
        account.hub.instead = lambda asked: None
        assert sum(name.startswith("issues/") for name in await account.poll()) == 35

    async def test_the_token_goes_to_no_other_host(self, account):
        async with FakeApi(lambda _: Reply.of([])).serving() as other:
            link = f'<{other.url}/issues?page=2>; rel="next"'
            account.hub.instead = lambda asked: Reply.of([], Link=link) if "/issues?" in asked.path else None
            with pytest.raises(Corrupt, match="another host"):
                await account.poll()
            assert other.asked == []


class TestLimits:
    async def test_a_used_up_limit_is_waited_for_until_its_reset(self, account):
        account.hub.remaining, account.hub.reset_s = 0, int(NOW_S) + 600
        with pytest.raises(Unavailable, match="rate limit") as away:
            await account.poll()
        assert 600 <= away.value.retry_after_s <= 602
        assert account.found["rate_limit"]["remaining"] == 0
        assert len(account.api.asked) == 1

    async def test_no_request_goes_out_once_nothing_remains(self, account):
        account.hub.remaining, account.hub.reset_s = 1, int(NOW_S) + 600
        with pytest.raises(Unavailable, match="rate limit"):
            await account.poll()
        assert len(account.api.asked) == 1

    async def test_a_poll_that_took_the_last_one_waits_for_the_reset(self, account):
        account.hub.remaining, account.hub.reset_s = 3, int(NOW_S) + 600
        await account.poll()
        assert account.context is not None
        assert account.context.wait_until_s == NOW_S + 600

    @pytest.mark.parametrize("status", [403, 429])
    @pytest.mark.parametrize(("headers", "wait_s"), [({"Retry_After": "123"}, 123), ({}, 60)])
    async def test_the_secondary_limit_is_no_refusal(self, account, status, headers, wait_s):
        reply = secondary_limit(**headers)
        account.hub.instead = lambda _: Reply(status, reply.body, reply.headers)
        with pytest.raises(Unavailable, match="rate limit") as away:
            await account.poll()
        assert away.value.retry_after_s == wait_s

    async def test_a_list_that_wants_quiet_is_left_alone(self, account):
        account.hub.poll_interval_s = 120
        await account.poll()
        account.now_s += 60
        await account.poll()
        assert account.api.asked == []
        account.now_s += 60
        await account.poll()
        assert len(account.api.asked) == 3


class TestRefusals:
    async def test_a_bad_token_ends_the_poll_at_once(self, account):
        account.token = "wrong"
        with pytest.raises(Refused, match="refused the token") as refused:
            await account.poll()
        assert refused.value.status == 401
        assert len(account.api.asked) == 1

    async def test_a_list_that_the_token_must_not_read_is_noted_and_the_others_go_on(self, account):
        """As with a fine-grained token, which GitHub keeps from notifications."""
        account.hub.issues = [issue(REPO, 1)]
        forbidden = Reply.of({"message": "Resource not accessible by personal access token"}, 403)
        account.hub.instead = lambda asked: forbidden if "/notifications" in asked.path else None
        assert f"issues/{REPO}/1" in await account.poll()
        assert account.notes() == [
            "notifications: the API refused the token (403); give a new one, or one with more rights"
        ]

    async def test_a_token_that_may_read_nothing_is_refused(self, account):
        account.hub.instead = lambda _: Reply.of({"message": "no"}, 403)
        with pytest.raises(Refused):
            await account.poll()


MALFORMED: list[Any] = [
    {"message": "not a list"},
    [1, 2],
    [{}],
    [{"number": 1}],
    [{"number": "1", "repository": {"full_name": REPO}}],
    [{"number": 1, "repository": {"full_name": "../../etc/passwd/x"}}],
    [{"number": 1, "repository_url": 7}],
]


@pytest.mark.parametrize("value", MALFORMED)
@pytest.mark.parametrize("path", ["/user/repos", "/issues", "/notifications"])
async def test_what_makes_no_sense_is_told_as_such(account, path, value):
    account.hub.instead = lambda asked: Reply.of(value) if path in asked.path else None
    with pytest.raises(Corrupt):
        await account.poll()


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_fault_of_github_is_no_fault_of_ours(account, status):
    account.hub.instead = lambda _: Reply(status, b"<html>", {"Retry-After": "7"})
    with pytest.raises(Unavailable) as away:
        await account.poll()
    assert away.value.retry_after_s == 7


async def test_an_issue_of_unusual_shape_is_taken_as_far_as_it_goes(account):
    odd = issue(REPO, 5, user=None, labels=["text", {"name": "x"}], assignees=None, title="t" * 5000)
    del odd["repository"]
    account.hub.issues = [odd]
    properties = (await account.poll())[f"issues/{REPO}/5"]
    assert (properties["author"], properties["labels"], properties["assignees"]) == (None, ["x"], [])
    assert len(properties["title"]) == 1000
