"""The entity as a handler has it: what it is, and what may be done in its name.

Nothing is done at once. What a handler emits, tells and asks to be reminded of is collected, and goes into
the log when the handler has returned; a handler that fails has done nothing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from flux_actors import limits
from flux_actors.behaviour.plain import encoded, plain, plain_object
from flux_actors.behaviour.wire import CYCLE, TOO_MANY, Effect, Fault, Question
from flux_actors.domain.acting.catalogue import Bounds
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.acting.messages import Message
from flux_actors.domain.entity_id import check_entity_id, check_not_core
from flux_actors.domain.event import Event, TermedEvent
from flux_actors.domain.position import Packed, text_of
from flux_actors.domain.terms import Terms
from flux_actors.errors import Refused
from flux_actors.log.block import encode_event

EFFECT_STREAM: Final = "flux.effect"
EFFECT_SOURCE: Final = "flux-behaviour"  # and the behaviour's name
REMINDER_CHARS_MAX: Final = 256
_ENCODING_ERRORS: Final = (OverflowError, UnicodeError, TypeError, RecursionError)
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Asker(Protocol):
    """Puts a question to another entity."""

    async def ask(self, entity_id: str, content: Any, deadline_s: float) -> Any:
        """Return the answer.

        Raises:
            Refused: it cannot be asked, or its handler failed.
            Unavailable: there was no answer in time.
        """
        ...


class NoAsker:
    """For a place from which nobody can be asked."""

    async def ask(self, entity_id: str, content: Any, deadline_s: float) -> Any:  # noqa: ARG002 - as Asker has it
        raise Refused(f"{entity_id[:64]} cannot be asked from here: nothing leads to other entities")


class Scene(NamedTuple):
    """What all messages of one run have in common."""

    partition: int
    settled: int
    source: str  # of the effects
    bounds: Bounds
    asker: Asker
    now_ms: int  # for effects of questions, which have no time of their own


class ActingEntity:
    """The entity that a handler acts for.

    Attributes:
        id: its name, such as `"home/hall/thermostat"`.
    """

    __slots__ = (
        "_bytes",
        "_effects",
        "_may_await",
        "_message",
        "_packed",
        "_question",
        "_scene",
        "_state",
        "fault",
        "id",
    )

    def __init__(self, scene: Scene, item: Message | Question, *, may_await: bool = False) -> None:
        self.id = item.entity_id
        self.fault: Fault | None = None  # a bound that was met, whatever the handler made of it
        self._scene = scene
        self._state = item.after
        self._packed = item.position
        self._message = item if type(item) is Message else None
        self._question = item if type(item) is Question else None
        self._may_await = may_await
        self._effects: list[Effect] | None = []
        self._bytes = 0

    @property
    def state(self) -> Mapping[str, Any]:
        """Its properties right after what the handler is told of; empty when it does not exist."""
        return _NOTHING if self._state is None else MappingProxyType(self._state)

    @property
    def exists(self) -> bool:
        """Whether it existed right after what the handler is told of."""
        return self._state is not None

    @property
    def position(self) -> str:
        """Where the change stands in the log that made `state`, as text."""
        return text_of(self._scene.partition, Packed(self._packed))

    def emit(self, entity_id: str, properties: Mapping[str, Any]) -> None:
        """Publish an event: set properties of any entity; `None` takes one away.

        Raises:
            Refused: the id is none, or belongs to Flux; the properties are no plain values.
        """
        self._add("emit", entity_id, plain_object(properties, "properties"), None)

    def set(self, properties: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Publish an event of the entity itself: `entity.set(on=True)` or `entity.set({"on": True})`."""
        given = plain_object({} if properties is None else properties, "properties")
        self._add("set", self.id, plain_object(given | named, "properties"), None)

    def remind(self, name: str, after_s: float) -> None:
        """Have `on_reminder` called with `name` after so many seconds; a second call sets it anew.

        Raises:
            Refused: the name is no text of 1 to 256 characters, or the time is none.
        """
        if not _is_number(after_s) or not 0 <= after_s <= limits.ttl_ms_max / 1_000:
            raise Refused(
                f"remind: after_s must be a number of seconds from 0 to {limits.ttl_ms_max // 1000}"
            )
        self._remind("remind", name, max(1, math.ceil(after_s * 1_000)))

    def forget(self, name: str) -> None:
        """Take a reminder away; one that is not set does no harm."""
        self._remind("forget", name, 0)

    def tell(self, entity_id: str, message: Any) -> None:
        """Send a message to another entity's behaviour, by way of the log: its `on_tell` gets it once.

        Raises:
            Refused: as of `emit`; `None` is no message.
        """
        if message is None:
            raise Refused("tell: None is no message; send a dict, a text or a number")
        told = plain(message, "message")
        encoded(told, "message", limits.answer_bytes_max)
        self._add("tell", entity_id, {}, Terms(told=told))

    def ask(self, entity_id: str, message: Any, deadline_s: float = 5.0) -> Awaitable[Any]:
        """Ask another entity's behaviour and await the answer of its `on_ask`: in async handlers only.

        Raises:
            Refused: the handler is no `async def`; the other one cannot be asked, or its handler failed.
            Unavailable: there was no answer within `deadline_s` seconds.
        """
        if not self._may_await:
            raise Refused("ask: only an async handler can wait for an answer; write `async def` before it")
        check_entity_id(entity_id)
        content = plain(message, "message")
        encoded(content, "message", limits.answer_bytes_max)
        return self._scene.asker.ask(entity_id, content, float(deadline_s))

    def finish(self) -> list[Effect]:
        """Return what was collected; nothing can be added from here on."""
        effects, self._effects = self._effects or [], None
        return effects

    def _remind(self, verb: str, name: object, after_ms: int) -> None:
        if not isinstance(name, str) or not 1 <= len(name) <= REMINDER_CHARS_MAX:
            raise Refused(f"{verb}: the name must be a text of 1 to {REMINDER_CHARS_MAX} characters")
        self._add(verb, self.id, {}, Terms(remind={name: after_ms}))

    def _add(self, verb: str, entity_id: str, properties: dict[str, Any], asked: Terms | None) -> None:
        """Collect an effect."""
        effects = self._effects
        if effects is None:
            raise Refused(f"{verb}: the handler that this entity was given to is over")
        check_not_core(check_entity_id(entity_id))
        index, bounds = len(effects), self._scene.bounds
        if index >= bounds.effects_max:
            self._give_up(TOO_MANY, f"more than {bounds.effects_max} effects of one message")
        event = self._event(index, entity_id, properties, asked)
        try:
            data = encode_event(event)
        except _ENCODING_ERRORS as error:
            raise Refused(f"{verb}: the properties cannot be kept: {error}") from None
        if len(data) > limits.effect_bytes_max:
            raise Refused(f"{verb}: {len(data)} bytes; an event may have {limits.effect_bytes_max}")
        self._bytes += len(data)
        if self._bytes > limits.effects_bytes_max:
            self._give_up(TOO_MANY, f"effects of more than {limits.effects_bytes_max} bytes of one message")
        effects.append(Effect(entity_id, data))

    def _event(self, index: int, entity_id: str, properties: dict[str, Any], asked: Terms | None) -> Event:
        scene, message = self._scene, self._message
        if message is None:
            return self._event_of_question(index, entity_id, properties, asked)
        depth = message.depth + 1
        wakes = asked is None or asked.remind is None  # a reminder begins anew
        if depth > scene.bounds.depth_max and wakes:
            self._give_up(CYCLE, f"{message.depth} effects led to one another, and this would be one more")
        position = message.position
        cause = Cause(scene.partition, self.id, position, index, scene.settled, depth)
        terms = (
            Terms(cause=cause) if asked is None else Terms(cause=cause, remind=asked.remind, told=asked.told)
        )
        return TermedEvent(
            entity_id,
            properties,
            f"effect.{scene.partition}.{position}.{index}",
            False,  # noqa: FBT003 - nobody else can send this id: its cause tells a retry
            scene.source,
            EFFECT_STREAM,
            message.clock_us // 1_000,
            None,
            None,
            None,
            terms,
        )

    def _event_of_question(
        self, index: int, entity_id: str, properties: dict[str, Any], asked: Terms | None
    ) -> Event:
        """Return an effect of a question, which has no place in the log: its id tells a retry."""
        scene, question = self._scene, self._question
        event_id = f"effect.{question.ask_id if question else ''}.{index}"
        plain_event = (entity_id, properties, event_id, True, scene.source, EFFECT_STREAM, scene.now_ms)
        return Event(*plain_event) if asked is None else TermedEvent(*plain_event, None, None, None, asked)

    def _give_up(self, kind: str, text: str) -> NoReturn:
        """Fail the message, whatever the handler makes of the error."""
        self.fault = Fault(kind, text)
        raise Refused(text)

    def __repr__(self) -> str:
        return f"<entity {self.id} at {self.position}>"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
