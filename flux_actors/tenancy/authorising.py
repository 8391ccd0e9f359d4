"""The one place where it is decided who may do what.

Every way in asks here: HTTP, the hot way, WebSocket, history, batches, deletes, connectors. A question is a
principal, an action, a namespace and, where it is about one, an entity; the answer is nothing, or why not.
Reading is open unless the namespace is private; what a client may not see is as if it were not there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from flux_actors.domain.acting.faults import audience_of, subject_of
from flux_actors.domain.entity_id import check_not_core, namespace_of
from flux_actors.domain.event import Event
from flux_actors.errors import FluxError, Refused
from flux_actors.tenancy.namespace import Phase, Scope
from flux_actors.tenancy.principal import Kind, Principal
from flux_actors.tenancy.registry import Registry

_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class Action(StrEnum):
    """What is to be done."""

    READ = "read"  # an entity
    WRITE = "write"  # an entity
    LOOK = "look"  # at a namespace: its facts, its connectors
    MANAGE = "manage"  # a namespace: its tokens, its connectors
    GOVERN = "govern"  # the server: its namespaces, its config


def refusal(
    principal: Principal,
    action: Action,
    namespace: str,
    entity_id: str | None,
    registry: Registry,
    now_us: int,
) -> Refused | None:
    """Return why `principal` may not do this, `None` when it may."""
    if principal.kind is Kind.ANYONE:
        return None
    match action:
        case Action.READ:
            return _refusal_to_read(principal, entity_id or f"{namespace}/", registry, now_us)
        case Action.WRITE:
            return _refusal_to_write(principal, namespace, entity_id, now_us)
        case Action.LOOK:
            return _refusal_to_look(principal, namespace, registry, now_us)
        case Action.MANAGE:
            return _refusal_to_manage(principal, namespace, now_us)
        case Action.GOVERN:
            return _refusal_to_govern(principal, now_us)


def authorise(
    principal: Principal,
    action: Action,
    namespace: str,
    entity_id: str | None,
    registry: Registry,
    now_us: int,
) -> None:
    """Raise the refusal if there is one."""
    refused = refusal(principal, action, namespace, entity_id, registry, now_us)
    if refused is not None:
        raise refused


def may_read(principal: Principal, entity_id: str, registry: Registry, now_us: int) -> bool:
    """Whether an entity is there for `principal`."""
    if audience_of(entity_id) not in registry.hidden or principal.kind is Kind.ANYONE:
        return True
    return _refusal_to_read(principal, entity_id, registry, now_us) is None


def sift(
    principal: Principal, events: list[Event | FluxError], registry: Registry, now_us: int
) -> list[Event | FluxError]:
    """Put refusals in the place of events that `principal` may not write, and return the list."""
    if principal.kind is Kind.ANYONE:
        return events
    for index, event in enumerate(events):
        if isinstance(event, Event) and not principal.may_write(event.entity_id, now_us):
            namespace = namespace_of(event.entity_id or "")
            refused = refusal(principal, Action.WRITE, namespace, event.entity_id, registry, now_us)
            events[index] = refused or event
    return events


def _refusal_to_read(principal: Principal, entity_id: str, registry: Registry, now_us: int) -> Refused | None:
    subject = subject_of(entity_id)
    namespace = namespace_of(subject)
    if namespace not in registry.hidden:
        return None
    record = registry.namespace(namespace)
    if record is None or record.phase is not Phase.ACTIVE or not principal.holds(namespace, now_us):
        return Refused("Entity not found", 404)
    if Scope.READ not in principal.scopes and Scope.WRITE not in principal.scopes:
        return _lacks(Scope.READ)
    return None if subject.startswith(principal.prefix) else _outside(principal)


def _refusal_to_write(
    principal: Principal, namespace: str, entity_id: str | None, now_us: int
) -> Refused | None:
    if entity_id is not None:
        try:
            check_not_core(entity_id)
        except Refused as core:
            return core
    if not namespace:
        return _unknown(
            'every write needs payload.entity_id as "namespace/name", such as "home/lamp", '
            'and a token of that namespace as "Authorization: Bearer <token>"'
        )
    refused = _refusal_of_token(principal, namespace, now_us)
    if refused is not None:
        return refused
    if Scope.WRITE not in principal.scopes:
        return _lacks(Scope.WRITE)
    return None if (entity_id or "").startswith(principal.prefix) else _outside(principal)


def _refusal_to_look(principal: Principal, namespace: str, registry: Registry, now_us: int) -> Refused | None:
    record = registry.namespace(namespace)
    if record is None or record.phase is not Phase.ACTIVE:
        shown = False
    else:
        shown = not record.hidden or principal.kind is Kind.ADMIN or principal.holds(namespace, now_us)
    return None if shown else Refused(f"there is no namespace {namespace[:64]!r}", 404)


def _refusal_to_manage(principal: Principal, namespace: str, now_us: int) -> Refused | None:
    if principal.kind is Kind.ADMIN:
        return None
    refused = _refusal_of_token(principal, namespace, now_us)
    if refused is not None:
        return refused
    return None if Scope.ADMIN in principal.scopes else _lacks(Scope.ADMIN)


def _refusal_to_govern(principal: Principal, now_us: int) -> Refused | None:
    match principal.kind:
        case Kind.ADMIN:
            return None
        case Kind.HOLDER if not principal.has_expired(now_us):
            return Refused("this needs the server's admin token; a namespace's token does not do", 403)
        case _:
            return _unknown('this needs the header "Authorization: Bearer <FLUX_ADMIN_TOKEN>"')


def _refusal_of_token(principal: Principal, namespace: str, now_us: int) -> Refused | None:
    """Return why a principal is no holder of a token of `namespace`."""
    wanted = f'a token of the namespace {namespace[:64]!r} as "Authorization: Bearer <token>"'
    match principal.kind:
        case Kind.NOBODY:
            return _unknown(f"this needs {wanted}")
        case Kind.ADMIN:
            return Refused(f"the admin token is for the server alone; send {wanted}", 403)
        case Kind.HOLDER if not principal.has_expired(now_us):
            if principal.namespace == namespace:
                return None
            return Refused(f"this token is one of the namespace {principal.namespace!r}; send {wanted}", 403)
        case _:
            return _unknown(f"this token is unknown, revoked or expired; send {wanted}")


def _unknown(text: str) -> Refused:
    return Refused(text, 401, _CHALLENGE)


def _lacks(scope: Scope) -> Refused:
    return Refused(f'this token lacks the scope "{scope}"; make one with it', 403)


def _outside(principal: Principal) -> Refused:
    return Refused(f"this token is good for ids beginning with {principal.prefix!r} alone", 403)
