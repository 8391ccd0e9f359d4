"""A server that behaves like GitHub's REST API, as far as its documentation tells it.

ETags and 304 that cost nothing, pages with `Link`, the rate limit's headers, 403 for the primary and the
secondary limit, 401 for a bad token; a test may put any other answer in the way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.unit.connectors.fake_api import Asked, Reply

TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
RESET_S = 4_000_000_000


def repository(name: str, updated: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "full_name": name,
        "html_url": f"https://github.com/{name}",
        "description": "what it is",
        "private": False,
        "archived": False,
        "fork": False,
        "default_branch": "main",
        "language": "Python",
        "stargazers_count": 3,
        "forks_count": 2,
        "open_issues_count": 1,
        "created_at": "2025-01-01T00:00:00Z",
        "updated_at": updated,
        "pushed_at": updated,
    } | more


def issue(repo: str, number: int, updated: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "title": f"issue {number}",
        "state": "open",
        "state_reason": None,
        "user": {"login": "octocat"},
        "assignees": [{"login": "hubot"}],
        "labels": [{"name": "bug"}],
        "comments": 4,
        "body": "long " * 100,
        "created_at": "2025-06-01T00:00:00Z",
        "updated_at": updated,
        "closed_at": None,
        "html_url": f"https://github.com/{repo}/issues/{number}",
        "repository_url": f"https://api.github.com/repos/{repo}",
        "repository": {"full_name": repo},
    } | more


def pull(repo: str, number: int, updated: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return issue(repo, number, updated, draft=True, pull_request={"merged_at": None}) | more


def notification(
    thread: str, repo: str, updated: str = "2026-01-01T00:00:00Z", **more: Any
) -> dict[str, Any]:
    return {
        "id": thread,
        "unread": True,
        "reason": "mention",
        "updated_at": updated,
        "last_read_at": None,
        "subject": {"title": "look", "type": "Issue", "url": f"https://api.github.com/repos/{repo}/issues/1"},
        "repository": {"full_name": repo},
    } | more


class FakeGitHub:
    """The state of one account; `__call__` answers requests."""

    def __init__(self, base: str = "") -> None:
        self.base = base
        self.token = TOKEN
        self.repositories: list[dict[str, Any]] = []
        self.issues: list[dict[str, Any]] = []
        self.notifications: list[dict[str, Any]] = []
        self.page_size = 100
        self.limit = 5000
        self.remaining = 5000
        self.reset_s = RESET_S
        self.poll_interval_s: int | None = None
        self.instead: Callable[[Asked], Reply | None] = lambda asked: None

    def __call__(self, asked: Asked) -> Reply:
        instead = self.instead(asked)
        if instead is not None:
            return instead
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return self._reply({"message": "Bad credentials"}, 401)
        if "user-agent" not in asked.headers:
            return self._reply({"message": "Request forbidden by administrative rules."}, 403)
        if self.remaining == 0:
            return self._reply({"message": "API rate limit exceeded for user ID 1."}, 403)
        return self._page(asked)

    def _page(self, asked: Asked) -> Reply:
        parts = urlsplit(asked.path)
        path = parts.path.removeprefix(urlsplit(self.base).path)
        query = dict(parse_qsl(parts.query))
        lists = {
            "/user/repos": self.repositories,
            "/issues": self.issues,
            "/notifications": self.notifications,
        }
        if path not in lists:
            return self._reply({"message": "Not Found"}, 404)
        rows = sorted(lists[path], key=lambda row: row["updated_at"], reverse=True)
        size, number = min(int(query.get("per_page", 30)), self.page_size), int(query.get("page", 1))
        page = rows[(number - 1) * size : number * size]
        etag = 'W/"' + hashlib.sha256(json.dumps(page).encode()).hexdigest() + '"'
        if asked.headers.get("if-none-match") == etag:
            return self._reply(None, 304, ETag=etag)
        self.remaining -= 1
        headers = {"ETag": etag}
        if number * size < len(rows):
            last = -(-len(rows) // size)
            rest = {name: value for name, value in query.items() if name != "page"}
            here = f"{self.base}{path}?" + "&".join(f"{name}={value}" for name, value in rest.items())
            headers["Link"] = f'<{here}&page={number + 1}>; rel="next", <{here}&page={last}>; rel="last"'
        return self._reply(page, 200, **headers)

    def _reply(self, value: Any, status: int, **headers: str) -> Reply:
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
            "X-RateLimit-Resource": "core",
            **headers,
        }
        if self.poll_interval_s is not None:
            told["X-Poll-Interval"] = str(self.poll_interval_s)
        body = b"" if status == 304 else json.dumps(value).encode()
        return Reply(status, body, {"Content-Type": "application/json; charset=utf-8", **told})


def secondary_limit(**headers: str) -> Reply:
    """The 403 of GitHub's secondary rate limit."""
    message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    return Reply.of({"message": message}, 403, **headers)
