"""What users write: a class that says what its entities do.

    class Thermostat(Behaviour):
        match = "home/*/thermostat"

        def on_change(self, entity, change):
            if change.properties.get("celsius", 0) > 30:
                entity.emit("home/fan", {"on": True})
                entity.remind("check", after_s=60)

        def on_ask(self, entity, message):
            return {"celsius": entity.state["celsius"]}

`described` tells what a class has defined, and refuses one that could not work before it is deployed.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

import msgspec

from flux_actors import limits
from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.change import Change, SeenEvent
from flux_actors.domain.acting.catalogue import Bounds, Dedicated, Supervision
from flux_actors.domain.entity_id import CORE_NAMESPACE, check_entity_id, namespace_of
from flux_actors.errors import Refused

REDUCE: Final = "reduce"
ON_CHANGE: Final = "on_change"
ON_REMINDER: Final = "on_reminder"
ON_ASK: Final = "on_ask"
ON_TELL: Final = "on_tell"


class Behaviour:
    """What entities do: subclass it, say which entities by `match`, and define the handlers you need.

    An entity handles one message after the other, in the order of the log. A handler changes nothing by
    itself: what it does with `entity` becomes events when it has returned, each exactly once, and nothing
    at all when it fails. It may be called again for the same message after a crash, before its effects are
    in the log; so what it does elsewhere (a mail, a payment) should bear being done twice.

    All handlers but `reduce` may be `async def`: then they may await, and ask other entities.

    There is one instance for each entity. What it keeps in `self` is a cache: it is gone when the entity
    has been idle, moved to another machine, or failed. What must last belongs into the entity.

    Attributes:
        match: the ids of its entities, one pattern or several. `*` stands for one part of an id, and at the
            end of a pattern for all the rest: `"home/*/thermostat"`, `"shop/orders/*"`. Of several
            behaviours that match, an entity has the one that names it most closely.
        placement: `None` has the entity live with others in one process; `Dedicated(num_cpus=1)` gives
            each its own Ray actor.
        supervision: what happens when a handler fails.
        bounds: what one entity's handlers may take.
    """

    match: ClassVar[str | Sequence[str]] = ()
    placement: ClassVar[Dedicated | None] = None
    supervision: ClassVar[Supervision] = Supervision()
    bounds: ClassVar[Bounds] = Bounds()

    def reduce(self, state: dict[str, Any], event: SeenEvent) -> dict[str, Any]:
        """Return the entity's new state after an event, instead of setting the event's properties.

        It runs wherever the log is read, also years later: the same state and event must give the same
        answer, without clocks, chance, files, network, or memory in `self` (each event gets an instance of
        its own). Time is `event.time_us`.

        Arguments:
            state: properties before the event, `{}` for a new entity; yours to change.
            event: `.properties`, `.time_us`, `.id`, `.source`, `.position`.
        """
        raise NotImplementedError

    def on_change(self, entity: ActingEntity, change: Change) -> Any:
        """Act on a change of the entity.

        Arguments:
            entity: as it was right after the change.
            change: `.properties`, `.previous`, `.deleted`, `.position`, `.event`.
        """
        raise NotImplementedError

    def on_reminder(self, entity: ActingEntity, name: str) -> Any:
        """Act on a reminder that `entity.remind(name, after_s)` has set: it comes once."""
        raise NotImplementedError

    def on_ask(self, entity: ActingEntity, message: Any) -> Any:
        """Answer a question: return plain values (dicts, lists, texts, numbers)."""
        raise NotImplementedError

    def on_tell(self, entity: ActingEntity, message: Any) -> Any:
        """Act on what somebody told the entity; where only `on_ask` is defined, that is called instead."""
        return self.on_ask(entity, message)


class Description(NamedTuple):
    """What a class of behaviour says of itself."""

    name: str
    match: list[str]
    handles: list[str]  # of `reduce`, `on_change`, `on_reminder`, `on_ask`, `on_tell`
    awaits: list[str]  # those of them that are coroutines
    dedicated: Dedicated | None
    supervision: Supervision
    bounds: Bounds


_PARAMETERS: Final = {
    REDUCE: ("state", "event"),
    ON_CHANGE: ("entity", "change"),
    ON_REMINDER: ("entity", "name"),
    ON_ASK: ("entity", "message"),
    ON_TELL: ("entity", "message"),
}
_Part = TypeVar("_Part", Dedicated, Supervision, Bounds)


def described(cls: type[Behaviour]) -> Description:
    """Return what a class defines and wants.

    Raises:
        Refused: it could not work; the text says what to change.
    """
    if not _is_own_class(cls):
        raise Refused("deploy a class of your own that is derived from flux_actors.Behaviour")
    name = cls.__name__
    if not name.isidentifier() or len(name) > limits.behaviour_name_chars_max:
        raise Refused(f"the name of a behaviour may have {limits.behaviour_name_chars_max} characters")
    handlers = defined_handlers(cls)
    for handler in handlers:
        _check_handler(cls, handler)
    if not handlers:
        raise Refused(f"{name} defines no handler: define {', '.join(_PARAMETERS)}, or some of them")
    _check_made_of_nothing(cls)
    handles = [*handlers, ON_TELL] if _asks_for_tells(handlers) else handlers
    awaits = [handler for handler in handles if _awaits(cls, method_of(handlers, handler))]
    return Description(
        name,
        checked_patterns(name, cls.match),
        handles,
        awaits,
        _checked_placement(name, cls.placement),
        _checked_supervision(name, cls.supervision),
        _checked_bounds(name, cls.bounds),
    )


def defined_handlers(cls: type[Behaviour]) -> list[str]:
    """Return the handlers that a class defines itself, or a base class of it."""
    return [name for name in _PARAMETERS if getattr(cls, name) is not getattr(Behaviour, name)]


def method_of(handlers: list[str], handler: str) -> str:
    """Return which method does the work of a handler: `on_ask` that of `on_tell`, where that is missing."""
    return ON_ASK if handler == ON_TELL and _asks_for_tells(handlers) else handler


def checked_patterns(name: str, match: object) -> list[str]:
    """Return patterns as a list.

    Raises:
        Refused: one is none.
    """
    patterns = [match] if isinstance(match, str) else match
    if not isinstance(patterns, list | tuple | set | frozenset) or not patterns:
        raise Refused(
            f'{name} does not say which entities it is for: add match = "namespace/*" or a list of patterns'
        )
    if len(patterns) > limits.behaviour_patterns_max:
        raise Refused(f"{name}.match has more than {limits.behaviour_patterns_max} patterns")
    for pattern in patterns:
        _check_pattern(name, pattern)
    return list(dict.fromkeys(sorted(patterns) if isinstance(patterns, set | frozenset) else patterns))


def _check_pattern(name: str, pattern: object) -> None:
    told = f"{name}.match: {str(pattern)[:64]!r}"
    if not isinstance(pattern, str):
        raise Refused(f'{told} is no pattern; a pattern is a text such as "home/*/thermostat"')
    try:
        check_entity_id(pattern)
    except Refused as error:
        raise Refused(f"{told}: {error.message}") from None
    if pattern.startswith(CORE_NAMESPACE):
        raise Refused(f"{told}: names beginning with {CORE_NAMESPACE} belong to the server", 403)
    namespace = namespace_of(pattern)
    if not namespace or pattern.endswith("/"):
        raise Refused(f'{told} must be "namespace/name", such as "home/*/thermostat" or "home/*"')
    if "*" in namespace:
        raise Refused(f"{told}: the namespace must be spelled out; `*` may stand for parts behind it")
    if "**" in pattern:
        raise Refused(f"{told}: one `*` is enough; at the end of a pattern it stands for all the rest")


def _is_own_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Behaviour) and value is not Behaviour


def _asks_for_tells(handlers: list[str]) -> bool:
    return ON_ASK in handlers and ON_TELL not in handlers


def _awaits(cls: type[Behaviour], method: str) -> bool:
    return inspect.iscoroutinefunction(getattr(cls, method))


def _check_handler(cls: type[Behaviour], handler: str) -> None:
    method, told = getattr(cls, handler), f"{cls.__name__}.{handler}"
    if not callable(method):
        raise Refused(f"{told} must be a method")
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise Refused(f"{told} must not `yield`; use entity.emit for each thing that it has to say")
    if handler == REDUCE and _awaits(cls, handler):
        raise Refused(f"{told} must not be async: it decides the state wherever the log is read")
    parameters = ("self", *_PARAMETERS[handler])
    try:
        inspect.signature(method).bind(*parameters)
    except (TypeError, ValueError):
        raise Refused(f"{told} must take ({', '.join(parameters)})") from None


def _check_made_of_nothing(cls: type[Behaviour]) -> None:
    try:
        inspect.signature(cls).bind()
    except (TypeError, ValueError):
        raise Refused(
            f"{cls.__name__}.__init__ must take no arguments: Flux makes an instance for each entity"
        ) from None


def _checked_placement(name: str, placement: object) -> Dedicated | None:
    if placement is None:
        return None
    if not isinstance(placement, Dedicated):
        raise Refused(f"{name}.placement must be None or Dedicated(num_cpus=1, num_gpus=0, resources={{…}})")
    checked = _typed(name, "placement", placement)
    amounts = (checked.num_cpus, checked.num_gpus, *checked.resources.values())
    if min(amounts) < 0 or checked.idle_s <= 0:
        raise Refused(f"{name}.placement: amounts must not be negative, idle_s must be above 0")
    return checked


def _checked_supervision(name: str, supervision: object) -> Supervision:
    if not isinstance(supervision, Supervision):
        raise Refused(f'{name}.supervision must be Supervision("restart"), "stop" or "escalate"')
    checked = _typed(name, "supervision", supervision)
    if checked.retries < 0 or not 0 <= checked.backoff_s <= checked.backoff_s_max:
        raise Refused(f"{name}.supervision: retries >= 0 and 0 <= backoff_s <= backoff_s_max are needed")
    return checked


def _checked_bounds(name: str, bounds: object) -> Bounds:
    if not isinstance(bounds, Bounds):
        raise Refused(f"{name}.bounds must be Bounds(handler_s=…, …)")
    checked = _typed(name, "bounds", bounds)
    for bound in Bounds.__struct_fields__:
        if not getattr(checked, bound) > 0:
            raise Refused(f"{name}.bounds: {bound} must be above 0")
    return checked


def _typed(name: str, attribute: str, part: _Part) -> _Part:
    """Return a part with its fields of the right types, as the log will have it."""
    try:
        return msgspec.convert(msgspec.to_builtins(part), type(part))
    except (msgspec.ValidationError, TypeError) as error:
        raise Refused(f"{name}.{attribute}: {error}") from None
