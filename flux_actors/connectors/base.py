"""What a connector is: a class with one method, `poll`, that yields entities.

A third party writes some twenty lines and names the class under the entry point group `flux.connectors`:

    class Weather(Connector):
        interval_s = 300.0

        async def poll(self, context):
            answer = await context.get("https://api.example.org/v1/now", context.bearer)
            for place in answer.json()["places"]:
                yield place["name"], {"celsius": place["temperature"]}

With `weather = "my_package:Weather"` in its `[project.entry-points."flux.connectors"]`, the entities are
`<namespace>/weather/<name>`. Properties `None` delete the entity. What a poll yields is compared with what
Flux holds, and only what changed is written.

A poll fails with an error of the tree. Whoever runs it knows by its class how long to stay away:

    Unavailable   the API is away, or asks us to wait: `retry_after_s`, longer with each failure in a row
    Refused       401 or 403: the token is no good; an hour, or until there is another
    Corrupt       an answer that makes no sense: longer with each failure in a row
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Final, Protocol, cast

from flux_actors import limits
from flux_actors.domain.json_text import parse_json
from flux_actors.errors import Corrupt, Refused, Unavailable

Properties = dict[str, Any]
Found = tuple[str, Properties | None]
NAME: Final = re.compile(r"[a-z0-9]{2,32}", re.ASCII)  # it is the stream of the connector's events, too
UNCHANGED: Final = 304
_CONDITIONS: Final = (("etag", "If-None-Match"), ("last-modified", "If-Modified-Since"))
_CONDITIONS_MAX: Final = 100
_VALIDATOR_CHARS_MAX: Final = 1_024
_AGAIN: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """What an API answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def unchanged(self) -> bool:
        """Whether the API said that nothing changed since the answer before."""
        return self.status == UNCHANGED

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            Corrupt: it is none, or nests too deep.
        """
        try:
            return parse_json(self.body)
        except Refused as refusal:
            raise Corrupt(f"the answer is no usable JSON: {refusal.message}") from None

    def retry_after_s(self, now_s: float) -> float | None:
        """Return for how long the API asked us to stay away, in seconds; `None` when it did not."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), limits.connector_wait_s_max)
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - now_s
        except (TypeError, ValueError, OverflowError):
            return None
        return min(max(0.0, wait_s), limits.connector_wait_s_max)


class Web(Protocol):
    """Fetches what is public (docs/connectors.md says what is not), within bounds of size and time."""

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Return the answer, of any status.

        Raises:
            Refused: the address must not be called.
            Unavailable: no answer in time.
            Corrupt: an answer that is too large, or no HTTP.
        """
        ...


@dataclass(slots=True)
class Context:
    """What a connector has for one poll."""

    web: Web
    token: str = field(repr=False)
    settings: Mapping[str, Any]
    state: dict[str, Any]  # JSON, kept from poll to poll: once all that the poll yielded is durable
    now_s: Callable[[], float]  # epoch seconds
    judge: Callable[[Answer, float], None]
    operator: Mapping[str, str] = field(default_factory=dict)  # what the server's own settings say
    notes: list[str] = field(default_factory=list)
    wait_until_s: float = 0.0  # epoch seconds before which the API wants to hear nothing more

    @property
    def bearer(self) -> dict[str, str]:
        """The header of a bearer token."""
        return {"Authorization": f"Bearer {self.token}"}

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return a good answer: 2xx, or 304 when nothing changed since the answer before.

        Raises:
            Refused, Unavailable, Corrupt: see the module.
        """
        answer = await self.fetch(url, headers)
        self.judge(answer, self.now_s())
        self.remember(url, answer)
        return answer

    async def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return an answer of any status, asked for on condition that it changed since the one remembered."""
        return await self.web.get(url, {**(headers or {}), **self._conditions().get(url, {})})

    def remember(self, url: str, answer: Answer) -> None:
        """Ask for `url` from now on only if it is no longer this answer."""
        conditions = self._conditions()
        if answer.unchanged:
            return
        conditions.pop(url, None)
        for validator, condition in _CONDITIONS:
            if validator in answer.headers and len(conditions) < _CONDITIONS_MAX:
                conditions[url] = {condition: answer.headers[validator][:_VALIDATOR_CHARS_MAX]}
                return

    def _conditions(self) -> dict[str, dict[str, str]]:
        return cast("dict[str, dict[str, str]]", self.state.setdefault("conditions", {}))

    def note(self, text: str) -> None:
        """Tell of a part that did not work, where the rest of the poll did."""
        self.notes.append(text)


class Connector:
    """A foreign API. Instances hold nothing: what must last goes into `Context.state`."""

    interval_s: ClassVar[float] = 60.0
    answer_bytes_max: ClassVar[int] = limits.connector_answer_bytes_max

    def every_s(self, settings: Mapping[str, Any]) -> float:
        """Return the seconds between two polls of one configuration."""
        del settings
        return self.interval_s

    def poll(self, context: Context) -> AsyncGenerator[Found, None]:
        """Yield `(entity name, properties)` of what is there now."""
        raise NotImplementedError

    def judge(self, answer: Answer, now_s: float) -> None:
        """Raise the error that an answer stands for, if it is no good one."""
        judge(answer, now_s)


def judge(answer: Answer, now_s: float) -> None:
    """Raise the error that a status stands for, unless it is good.

    Raises:
        Refused: 401 and 403.
        Unavailable: 5xx and what means "later", with the wait that the API named.
        Corrupt: anything else.
    """
    status = answer.status
    if 200 <= status < 300 or status == UNCHANGED:
        return
    if status in {401, 403}:
        raise Refused(
            f"the API refused the token ({status}); give a new one, or one with more rights", status
        )
    if status >= 500 or status in _AGAIN:
        wait_s = answer.retry_after_s(now_s)
        raise Unavailable(f"the API answered {status}", retry_after_s=round(wait_s or 0))
    raise Corrupt(f"the API answered {status}")
