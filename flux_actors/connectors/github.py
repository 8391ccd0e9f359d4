"""GitHub: repositories, issues, pull requests and notifications of a token's owner, and its rate limit.

    github/repositories/<owner>/<name>      github/notifications/<thread>
    github/issues/<owner>/<name>/<number>   github/rate_limit
    github/pulls/<owner>/<name>/<number>

Every list is asked for newest first and conditionally: an unchanged first page ends it, at no cost to the
rate limit. A changed one is read until what was known before begins. Issues and pull requests of all
repositories come in one list, for to GitHub a pull request is an issue. The limits are GitHub's own
(docs.github.com, "Rate limits for the REST API" and "Best practices"): `Retry-After` first, then
`X-RateLimit-Reset` once nothing remains, else a minute and longer each time; and no request goes out while
nothing remains.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from copy import deepcopy
from typing import Any, ClassVar, Final

from flux_actors.connectors.base import Answer, Connector, Context, Found, Properties, judge
from flux_actors.connectors.github_lists import LISTS, GitHubList, next_page, rows_of
from flux_actors.errors import Refused, Unavailable

DEFAULT_URL: Final = "https://api.github.com"
_PAGES_MAX: Final = 10
_SECONDARY_S: Final = 60
_LATER: Final = frozenset({403, 429})
_HEADERS: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_SEEN: Final = "seen"
_QUIET_UNTIL: Final = "quiet_until"


class GitHub(Connector):
    """Polls one account."""

    interval_s: ClassVar[float] = 60.0

    async def poll(self, context: Context) -> AsyncGenerator[Found, None]:
        """Yield what changed in each list; one that the token must not read is noted, the others go on."""
        limit = RateLimit()
        refusals: list[Refused] = []
        try:
            for part in LISTS:
                before = deepcopy(context.state)
                try:
                    async for found in self._changed(part, context, limit):
                        yield found
                except Refused as refusal:
                    context.state.clear()
                    context.state.update(before)
                    refusals.append(refusal)
                    context.note(f"{part.name}: {refusal.message}")
                    if refusal.status == 401:
                        break
        except Unavailable:
            if limit.properties:
                yield "rate_limit", limit.properties
            raise
        if refusals and (len(refusals) == len(LISTS) or refusals[-1].status == 401):
            raise refusals[-1]
        if limit.properties:
            yield "rate_limit", limit.properties
        context.wait_until_s = limit.wait_until_s

    async def _changed(
        self, part: GitHubList, context: Context, limit: RateLimit
    ) -> AsyncGenerator[Found, None]:
        if _of(context, _QUIET_UNTIL).get(part.name, 0) > context.now_s():
            return
        first = url = base_url(context) + part.path
        seen: str = _of(context, _SEEN).get(part.name, "")
        newest = seen
        for _ in range(_PAGES_MAX):
            limit.check(context.now_s())
            answer = await self._page(url, context, limit, conditional=url == first)
            if url == first:
                _of(context, _QUIET_UNTIL)[part.name] = context.now_s() + _quiet_s(answer)
            if answer.unchanged:
                return
            rows = rows_of(answer)
            for row in rows:
                yield part.read(row)
            stamps = [str(row.get("updated_at") or "") for row in rows]
            newest = max([newest, *stamps])
            following = next_page(url, answer)
            if following is None or min(stamps, default="") < seen:
                break
            url = following
        _of(context, _SEEN)[part.name] = newest

    async def _page(self, url: str, context: Context, limit: RateLimit, *, conditional: bool) -> Answer:
        headers = _HEADERS | context.bearer
        answer = await (context.fetch(url, headers) if conditional else context.web.get(url, headers))
        limit.learn(answer)
        self.judge(answer, context.now_s())
        if conditional:
            context.remember(url, answer)
        return answer

    def judge(self, answer: Answer, now_s: float) -> None:
        """Tell a rate limit, which GitHub answers with 403 or 429, from a refusal."""
        wait_s = rate_limit_wait_s(answer, now_s) if answer.status in _LATER else None
        if wait_s is not None:
            raise Unavailable(f"GitHub's rate limit is used up for {wait_s} s", wait_s)
        judge(answer, now_s)


class RateLimit:
    """The rate limit as the newest answer told it."""

    def __init__(self) -> None:
        self.properties: Properties = {}

    @property
    def wait_until_s(self) -> float:
        """Epoch seconds until which no request may go out."""
        return float(self.properties["reset"]) if self.properties.get("remaining") == 0 else 0.0

    def learn(self, answer: Answer) -> None:
        """Read an answer's headers; one without them changes nothing."""
        told = {name: _number(answer, f"x-ratelimit-{name}") for name in ("limit", "remaining", "reset")}
        if None not in told.values():
            self.properties = {**told, "resource": answer.headers.get("x-ratelimit-resource", "core")[:64]}

    def check(self, now_s: float) -> None:
        """Raise `Unavailable` while nothing remains."""
        wait_s = round(self.wait_until_s - now_s) + 1
        if self.wait_until_s > now_s:
            raise Unavailable(f"GitHub's rate limit is used up for {wait_s} s", wait_s)


def rate_limit_wait_s(answer: Answer, now_s: float) -> int | None:
    """Return for how long a 403 or 429 forbids requests; `None` when it is about something else."""
    asked_s = answer.retry_after_s(now_s)
    if asked_s is not None:
        return round(asked_s)
    if _number(answer, "x-ratelimit-remaining") == 0:
        return max(1, (_number(answer, "x-ratelimit-reset") or 0) - int(now_s) + 1)
    if answer.status == 429 or b"rate limit" in answer.body.lower():
        return _SECONDARY_S
    return None


def base_url(context: Context) -> str:
    """Return where this GitHub's API is: the operator's setting, not the client's."""
    return context.operator.get("github_url", DEFAULT_URL).rstrip("/")


def _of(context: Context, name: str) -> dict[str, Any]:
    found: dict[str, Any] = context.state.setdefault(name, {})
    return found


def _quiet_s(answer: Answer) -> int:
    """Return how long GitHub wants to hear nothing of a list, less a second that clocks may differ by."""
    return max(0, (_number(answer, "x-poll-interval") or 0) - 1)


def _number(answer: Answer, header: str) -> int | None:
    text = answer.headers.get(header, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None
