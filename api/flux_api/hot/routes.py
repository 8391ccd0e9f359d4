"""What the hot way asks of the door: an entity at once, a publish with an answer to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from flux_actors import limits
from flux_actors.domain.acting.faults import audience_of
from flux_actors.domain.json_text import parse_json
from flux_actors.domain.position import Packed, text_of, text_of_all
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.tenancy.principal import Kind, Principal
from flux_api.answers import batch_answer, event_answer
from flux_api.batches import Answer
from flux_api.door import Door
from flux_api.hot.heads import Head, HeadMemo, Route
from flux_api.hot.replies import LARGE_BYTES, Replies, json_head, json_part
from flux_api.hot.tally import HotTally
from flux_api.incoming import read_batch, read_event
from flux_api.many import entities_body
from flux_api.publishing import Outcome
from flux_api.responses import FAULT
from flux_api.submission import Published, Submission

Answered = Callable[[bytes | list[bytes] | FluxError], None]  # hears a 200 behind its date, or an error
_T = TypeVar("_T")
_log = structlog.get_logger(__name__)
_FRAME_BYTES: Final = 100  # an answer has at most these beside what the request said of itself


class HotRoutes:
    """The hot requests of one door, and the heads it knows."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._tenancy = door.tenancy
        self.tally = HotTally()
        self.heads = HeadMemo(door.tenancy.known)
        door.tenancy.listen(self.heads.forget)
        self.replies = Replies()

    def entity(self, entity_id: str) -> bytes | None:
        """Return the answer for an entity behind its date, `None` when FastAPI must give it."""
        kept = self._door.view.kept(entity_id)
        return kept.answer() if kept is not None and kept.properties is not None else None

    def first_entity(self, request: bytes, target: bytes, head: Head) -> bytes | None:
        """Return the answer to a GET that is not known as a whole, and have it known from now on."""
        entity_id = target.decode("ascii")
        hidden = self._tenancy.registry.hidden
        veiled = bool(hidden) and audience_of(entity_id) in hidden
        if veiled and not (self._tenancy.fresh and self._tenancy.may_read(head.principal, entity_id)):
            return None
        part = self.entity(entity_id)
        if part is None or veiled:  # not known as a whole: its principal is asked for each time
            return part
        if head.compresses:  # a large answer is FastAPI's to compress, and it may grow: not known as a whole
            kept = self._door.view.kept(entity_id)
            return part if kept is not None and len(kept.body()) < LARGE_BYTES else None
        self.heads.remember_whole(request, entity_id)
        return part

    def takes(self, head: Head) -> bool:
        """Whether a request with this head and a body is answered here."""
        if head.principal.kind is Kind.HOLDER and not self._tenancy.fresh:
            return False
        config = self._door.config.config
        bytes_max = {
            Route.EVENT: config.body_size_limit_single_bytes,
            Route.BATCH: config.body_size_limit_batch_bytes,
            Route.MANY: limits.body_other_bytes,
        }[head.route]
        if head.compresses:  # a large answer is not for here; that to one event repeats at most its body
            bytes_max = min(bytes_max, LARGE_BYTES - _FRAME_BYTES) if head.route is Route.EVENT else -1
        return head.body_bytes <= bytes_max

    def post(self, head: Head, body: bytes | bytearray, answered: Answered) -> bool:
        """Do what a body asks; `answered` hears the answer, now or later. False: FastAPI must do it."""
        holder = head.principal.kind is Kind.HOLDER
        if holder and not (self._tenancy.fresh and self._tenancy.holds_still(head.principal)):
            return False  # revoked while the body came in, or that is not known
        try:
            match head.route:
                case Route.EVENT:
                    self._publish(body, head.principal, answered)
                case Route.BATCH:
                    self._publish_batch(body, head.principal, answered)
                case _:
                    return self._read_many(body, answered)
        except FluxError as error:
            answered(error)
        except Exception as error:  # noqa: BLE001 - nobody may be left without an answer
            self._door.requests.faults += 1
            answered(_fault(error))
        return True

    def _read_many(self, body: bytes | bytearray, answered: Answered) -> bool:
        """Answer when the view has all that is asked for; a body that is none is FastAPI's to refuse."""
        try:
            asked = parse_json(body)
        except Refused:
            return False
        ids = asked.get("ids") if isinstance(asked, dict) else None
        if not isinstance(ids, list) or self._tenancy.hides_any(ids):
            return False
        answer = entities_body(self._door.view, ids)
        if answer is None:
            return False
        answered(json_part(answer))
        return True

    def _publish(self, body: bytes | bytearray, principal: Principal, answered: Answered) -> None:
        def render(outcome: Published) -> bytes:
            position = b"flux-position: %s\r\n" % text_of(outcome.partition, outcome.position).encode()
            return json_part(event_answer(outcome), position)

        def done(outcome: Outcome) -> None:
            answered(outcome if isinstance(outcome, FluxError) else _rendered(render, outcome))

        self._door.publisher.submit(read_event(body), principal, done)

    def _publish_batch(self, body: bytes | bytearray, principal: Principal, answered: Answered) -> None:
        events = read_batch(body) if len(body) <= limits.batch_at_once_bytes else ()
        if not 0 < len(events) <= limits.batch_at_once_events:
            self._door.batches.begin(body, principal, lambda done: answered(_large_parts(done)))
            return

        def render(submission: Submission) -> bytes:
            return json_part(batch_answer(events, submission), _position_line(submission.positions()))

        self._door.publisher.submit_all(
            events, principal, lambda done: answered(_rendered(render, done)), body
        )


def _large_parts(done: Answer | FluxError) -> list[bytes] | FluxError:
    """Return the answer to a large batch, of which no copy is made: that would take milliseconds."""
    if isinstance(done, FluxError):
        return done
    size = sum(map(len, done.parts))
    return [json_head(size, _position_line(done.positions)), *done.parts]


def _position_line(positions: dict[int, Packed]) -> bytes:
    return b"flux-position: %s\r\n" % text_of_all(positions).encode() if positions else b""


def _rendered(render: Callable[[_T], bytes], value: _T) -> bytes | Unavailable:
    """Return an answer, or that it could not be made: whoever waits for it must hear something."""
    try:
        return render(value)
    except Exception as error:  # noqa: BLE001 - nobody may be left without an answer
        return _fault(error)


def _fault(error: Exception) -> Unavailable:
    """Log what nobody foresaw and return what FastAPI answers to it."""
    _log.error("request.fault", error=repr(error), exc_info=error)
    return Unavailable(FAULT)
