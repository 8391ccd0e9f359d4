"""The tenants of a door: who a client is, and the namespaces as the store has them.

Namespaces are read when the door opens and followed a few times a second, so that what one door does is in
force on all within one. A token that is not known is looked for in the store before it is refused: it may
have been made a moment ago. A door that has not heard from the store for a second trusts no token before it
has asked: one may have been revoked.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import structlog
from pydantic import SecretStr

from flux_actors import limits
from flux_actors.domain.acting.faults import FAULTS_PREFIX, audience_of, subject_of
from flux_actors.domain.entity_id import namespace_of
from flux_actors.errors import Corrupt, FluxError, Refused, Unavailable
from flux_actors.log.ports import KeyValue
from flux_actors.router.topology import LOG_KEY, TENANCY_KEY, decode_registry
from flux_actors.shard.reads import NO_VEIL, Veil
from flux_actors.tenancy.authorising import Action, authorise, may_read, refusal
from flux_actors.tenancy.following import Follower, decode, encode, key_of
from flux_actors.tenancy.namespace import Namespace
from flux_actors.tenancy.principal import ADMIN, ANYONE, NOBODY, UNKNOWN, Kind, Principal
from flux_actors.tenancy.registry import Registry
from flux_actors.tenancy.token import is_same, read_token

_log = structlog.get_logger(__name__)
_BEARER: Final = "bearer "
_TRIES: Final = 5
_RETRY_S: Final = 0.02
_MINUTE_S: Final = 60.0


class TenancyKeeper:
    """Holds the registry; without a store (auth is off) every client is anyone."""

    def __init__(self, store: KeyValue | None, admin_token: SecretStr | None) -> None:
        self._store = store
        self._admin_token = admin_token.get_secret_value() if admin_token is not None else None
        self.registry = Registry()
        self._listeners: list[Callable[[], None]] = []
        self._follower = None if store is None else Follower(store, self.registry, self._has_changed)
        self._read_at = 0.0
        self._token_changes: dict[str, deque[float]] = {}  # when tenants changed their tokens, lately
        self._task: asyncio.Task[None] | None = None

    @property
    def enabled(self) -> bool:
        """Whether namespaces need tokens."""
        return self._store is not None

    @property
    def revision(self) -> int:
        """Up to which the registry is as the store is."""
        return self._follower.revision if self._follower is not None else 0

    @property
    def fresh(self) -> bool:
        """Whether what is known of tokens is young enough to go by."""
        return time.monotonic() - self._read_at < limits.tenancy_fresh_s

    @property
    def age_s(self) -> float:
        """How old what is known of tokens is; 0 where there are none."""
        return 0.0 if self._store is None else time.monotonic() - self._read_at

    def listen(self, changed: Callable[[], None]) -> None:
        """Have `changed` called whenever namespaces or tokens did."""
        self._listeners.append(changed)

    async def open(self) -> None:
        """Read all namespaces and begin to follow them."""
        if self._follower is not None:
            await self.read()
            self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            self._task.cancel()

    async def current(self) -> None:
        """Return when what is known is young enough to go by.

        Raises:
            Unavailable: the store is away, and what is hidden may be so since a moment ago.
        """
        if self._follower is not None and not self.fresh:
            await self.read()

    async def read(self) -> None:
        """Bring the registry up to date; raises `Unavailable` when the store is away."""
        if self._follower is not None:
            begun_at = time.monotonic()
            await self._follower.read()
            self._read_at = begun_at

    def known(self, header: str | None) -> Principal:
        """Return whom an `Authorization` header stands for, as far as it is known here."""
        if self._store is None:
            return ANYONE
        if header is None:
            return NOBODY
        text = _text_of(header)
        if text is None:
            return UNKNOWN
        if self._admin_token is not None and is_same(text, self._admin_token):
            return ADMIN
        return self.registry.holder(text)

    async def principal_of(self, header: str | None) -> Principal:
        """Return whom a header stands for, after a look into the store where that may matter."""
        principal = self.known(header)
        if principal.kind is Kind.HOLDER:
            await self.current()
        elif principal.kind is Kind.UNKNOWN and self._may_be_new(header or ""):
            await self._look()
        else:
            return principal
        return self.known(header)

    def _may_be_new(self, header: str) -> bool:
        """Whether this is a token of which nothing is known here: it may have been made a moment ago."""
        token = read_token(_text_of(header) or "")
        return token is not None and not self.registry.has_token(token.id)

    async def _look(self) -> None:
        """Look into the store, together with all others who want to, and not all the time."""
        too_soon_s = self._read_at + limits.tenancy_look_s - time.monotonic()
        if too_soon_s > 0:
            await asyncio.sleep(too_soon_s)
        await self.read()

    def holds_still(self, principal: Principal) -> bool:
        """Whether the token of a principal is good, as far as it is known here."""
        if principal.kind is not Kind.HOLDER:
            return True
        return self.registry.has_token(principal.token_id) and not principal.has_expired(now_us())

    def authorise(
        self, principal: Principal, action: Action, namespace: str, entity_id: str | None = None
    ) -> None:
        """Raise `Refused` when `principal` may not do this."""
        authorise(principal, action, namespace, entity_id, self.registry, now_us())

    def refusal(
        self, principal: Principal, action: Action, namespace: str, entity_id: str | None = None
    ) -> Refused | None:
        """Return why `principal` may not do this, `None` when it may."""
        return refusal(principal, action, namespace, entity_id, self.registry, now_us())

    def may_read(self, principal: Principal, entity_id: str) -> bool:
        """Whether an entity is there for `principal`."""
        return may_read(principal, entity_id, self.registry, now_us())

    def hides_any(self, ids: Sequence[Any]) -> bool:
        """Whether one of these, as a client sent them, may be an id that some are not shown."""
        hidden = self.registry.hidden
        return bool(hidden) and any(not isinstance(i, str) or audience_of(i) in hidden for i in ids)

    def veil(self, principal: Principal, prefix: str) -> Veil:
        """Return what `principal` must not be shown of a list of ids beginning with `prefix`."""
        hidden = self.registry.hidden
        if not hidden or principal.kind is Kind.ANYONE:
            return NO_VEIL
        names = frozenset(_told_of(prefix, hidden))
        own = principal.namespace
        sample = principal.prefix or f"{own}/"
        if own not in names or not self.may_read(principal, sample):
            return Veil(names) if names else NO_VEIL
        return Veil(names, principal.prefix) if principal.prefix else Veil(names - {own})

    def count_token_change(self, principal: Principal, name: str) -> None:
        """Note that a tenant is about to change its tokens; each change is read by every door, and recorded.

        Raises:
            Refused: 429, it has done so too often in the last minute.
        """
        if principal.kind is not Kind.HOLDER:
            return
        now_s = time.monotonic()
        times = self._token_changes.setdefault(name, deque(maxlen=limits.token_changes_per_minute))
        if len(times) == times.maxlen and now_s - times[0] < _MINUTE_S:
            wait_s = math.ceil(_MINUTE_S - (now_s - times[0]))
            text = f"{name} has changed its tokens {times.maxlen} times in a minute; try again in {wait_s} s"
            raise Refused(text, 429, {"Retry-After": str(wait_s)})
        times.append(now_s)

    async def change(self, name: str, change: Callable[[Namespace | None], Namespace]) -> Namespace:
        """Store what `change` makes of the namespace `name`, and return that.

        Raises:
            Refused: `change` refuses. Unavailable: the store is away, or others change the namespace as well.
        """
        if self._store is None:
            raise Refused("namespaces need FLUX_AUTH_ENABLED=true on the server", 404)
        for number in range(_TRIES):
            await asyncio.sleep(number * _RETRY_S)  # a copy of the store may not have the newest yet
            stored = await self._store.get(key_of(name))
            namespace = change(decode(stored.value) if stored is not None else None)
            try:
                await self._store.put(
                    key_of(name), encode(namespace), stored.revision if stored is not None else 0
                )
            except Refused:
                continue  # somebody else was faster: look again
            await self.read()
            return namespace
        raise Unavailable(f"the namespace {name} is being changed by others; try again in a second")

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(limits.tenancy_poll_s)
            try:
                await self.read()
            except FluxError as error:
                _log.warning("tenancy.unread", reason=error.message)

    def _has_changed(self) -> None:
        for changed in self._listeners:
            changed()


async def check_begun(registry: KeyValue, tenants: KeyValue) -> None:
    """Note once that there are tenants, in their store and in the registry of the log, and compare.

    Without its record a namespace would pass for one that is nobody's, and everybody could read it.

    Raises:
        Corrupt: the tenants' store was lost, or is another log's.
    """
    log = await registry.get(LOG_KEY)
    log_id = decode_registry(log.value).log_id.encode() if log is not None else b""
    noted, kept = await registry.get(TENANCY_KEY), await tenants.get(TENANCY_KEY)
    if noted is None:
        if kept is None:
            await tenants.put(TENANCY_KEY, log_id)
        await registry.put(TENANCY_KEY, log_id)
    elif kept is None or kept.value != noted.value:
        raise Corrupt(
            "the tenants of this log are gone: private namespaces would be open to all; "
            "restore the bucket flux_tenancy from a backup"
        )


def _text_of(header: str) -> str | None:
    """Return the token in an `Authorization` header."""
    return header[len(_BEARER) :].strip(" ") if header[: len(_BEARER)].lower() == _BEARER else None


def _told_of(prefix: str, hidden: AbstractSet[str]) -> AbstractSet[str]:
    """Return those hidden namespaces of which ids that begin so may tell."""
    if FAULTS_PREFIX.startswith(prefix):
        return hidden
    subject = subject_of(prefix)
    if "/" in subject:
        return {namespace_of(subject)} & hidden
    return {name for name in hidden if name.startswith(subject)}


def now_us() -> int:
    """Return the time by which tokens expire."""
    return time.time_ns() // 1_000
