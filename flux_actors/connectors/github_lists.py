"""GitHub's lists, and what becomes of their items."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from flux_actors.connectors.base import Answer, Found, Properties
from flux_actors.errors import Corrupt

Row = dict[str, Any]
_NEXT: Final = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?next"?')
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_TEXT_CHARS_MAX: Final = 1_000


class GitHubList(NamedTuple):
    """One list, newest first by `updated_at`."""

    name: str
    path: str
    read: Callable[[Row], Found]


def rows_of(answer: Answer) -> list[Row]:
    """Return the items of a page.

    Raises:
        Corrupt: it is no list of objects.
    """
    rows = answer.json()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Corrupt("GitHub's answer is no list of objects")
    return rows


def next_page(url: str, answer: Answer) -> str | None:
    """Return the address of the next page; the token goes nowhere but to the host that it was given for."""
    found = _NEXT.search(answer.headers.get("link", ""))
    if found is None:
        return None
    following = urljoin(url, str(found[1]))
    if urlsplit(following)[:2] != urlsplit(url)[:2]:
        raise Corrupt("GitHub's next page is on another host")
    return following


def repository(row: Row) -> Found:
    """Return a repository as an entity."""
    name = _repository_name(row.get("full_name"))
    return f"repositories/{name}", {
        "full_name": name,
        **_taken(row, "description", "private", "archived", "fork", "default_branch", "language"),
        "stars": row.get("stargazers_count"),
        "forks": row.get("forks_count"),
        "open_issues": row.get("open_issues_count"),
        **_taken(row, "created_at", "updated_at", "pushed_at"),
        "url": row.get("html_url"),
    }


def issue(row: Row) -> Found:
    """Return an issue or a pull request as an entity."""
    place = row.get("repository")
    name = place.get("full_name") if isinstance(place, dict) else None
    name = _repository_name(name or "/".join(str(row.get("repository_url", "")).split("/")[-2:]))
    number = row.get("number")
    if not isinstance(number, int):
        raise Corrupt("an issue of GitHub's answer has no number")
    properties: Properties = {
        "repository": name,
        "number": number,
        **_taken(row, "title", "state", "state_reason", "comments"),
        "author": _login(row.get("user")),
        "assignees": [_login(user) for user in _list(row.get("assignees"))],
        "labels": [label.get("name") for label in _list(row.get("labels")) if isinstance(label, dict)],
        **_taken(row, "created_at", "updated_at", "closed_at"),
        "url": row.get("html_url"),
    }
    pull = row.get("pull_request")
    if not isinstance(pull, dict):
        return f"issues/{name}/{number}", properties
    properties |= {"draft": bool(row.get("draft")), "merged_at": pull.get("merged_at")}
    return f"pulls/{name}/{number}", properties


def notification(row: Row) -> Found:
    """Return a notification as an entity; one that was read stays, with `unread` false."""
    place, subject = row.get("repository"), row.get("subject")
    if not isinstance(row.get("id"), str) or not isinstance(place, dict) or not isinstance(subject, dict):
        raise Corrupt("a notification of GitHub's answer has no id, repository or subject")
    return f"notifications/{row['id'][:64]}", {
        "repository": _repository_name(place.get("full_name")),
        **_taken(subject, "title", "type"),
        **_taken(row, "reason", "unread", "updated_at", "last_read_at"),
        "url": subject.get("url"),
    }


LISTS: Final = (
    GitHubList("repositories", "/user/repos?sort=updated&direction=desc&per_page=100", repository),
    GitHubList("issues", "/issues?filter=all&state=all&sort=updated&direction=desc&per_page=100", issue),
    GitHubList("notifications", "/notifications?all=true&per_page=50", notification),
)


def _repository_name(value: object) -> str:
    if not isinstance(value, str) or not _REPOSITORY.fullmatch(value):
        raise Corrupt("an item of GitHub's answer names no repository")
    return value


def _taken(row: Row, *names: str) -> Properties:
    return {name: _short(row.get(name)) for name in names}


def _short(value: Any) -> Any:
    return value[:_TEXT_CHARS_MAX] if isinstance(value, str) else value


def _login(user: object) -> object:
    return user.get("login") if isinstance(user, dict) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
