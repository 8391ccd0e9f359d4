"""Slicing: the events of a large batch, decoded a slice at a time.

To decode a batch of 10 MiB takes a tenth of a second, in which a door would do nothing else. So its text is
cut between two events, some way on, and what is in front of the cut is decoded alone. Where to cut is a
guess that proves itself: a text from one beginning of an event to a comma is a list without its brackets
only if that comma stands between two events, for else a bracket or a string would be left open. A guess
that was wrong is made again where brackets and braces are balanced; a text in which that does not help
(braces inside strings, other fields beside "events") has all its events found in one go, which takes a
tenth of decoding them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from flux_actors import limits
from flux_actors.errors import Refused
from flux_api.incoming import decode_raws, no_json, read_some, refuse_too_many

_SPACE: Final = rb"[ \t\r\n]*"
_BEGIN: Final = re.compile(_SPACE + rb"(\{" + _SPACE + rb'"events"' + _SPACE + rb":" + _SPACE + rb")?\[")
_END: Final = re.compile(rb"\]" + _SPACE + rb"(\}?)" + _SPACE + rb"\Z")
_SEAM: Final = re.compile(rb"\}" + _SPACE + rb",(?=" + _SPACE + rb"\{)")
_COMMA: Final = re.compile(rb",")
_TAIL_BYTES: Final = 256  # in which the end of a batch is looked for
_GUESSES_MAX: Final = 1_000
_SEAM_WITHIN: Final = 8  # slices


class Slice(NamedTuple):
    """Some events of a batch, side by side, and their JSON as a list."""

    events: list[Any]
    text: bytes


def slices_of(body: bytes | bytearray) -> Iterator[Slice]:
    """Yield the events of a batch, each time after about a millisecond.

    Raises:
        Refused: the body is no batch. What was yielded before must not be published.
    """
    events = 0
    for some in _slices_of(body):
        events += len(some.events)
        refuse_too_many(events)
        yield some
    if not events:
        raise Refused("a batch must hold at least one event")


def _slices_of(body: bytes | bytearray) -> Iterator[Slice]:
    bounds = _bounds(body)
    taken = 0
    if bounds is not None:
        at, end = bounds
        while at < end:
            found = _next(body, at, end)
            if found is None:
                break
            some, at = found
            taken += len(some.events)
            yield some
        else:
            return
    yield from _found_in_one_go(body, taken)


def _bounds(body: bytes | bytearray) -> tuple[int, int] | None:
    """Return where the list of events begins and ends, as far as the ends of the text tell."""
    begin = _BEGIN.match(body)
    end = _END.search(body, max(0, len(body) - _TAIL_BYTES))
    if begin is None or end is None or bool(begin[1]) != bool(end[1]):
        return None
    return begin.end(), end.start()


def _next(body: bytes | bytearray, at: int, end: int) -> tuple[Slice, int] | None:
    """Return the slice that begins at `at`, and where the next one begins; `None` if none is found."""
    for cut in _cuts(body, at, end):
        some = _decoded(body, at, cut) if cut + 1 != end else None  # else a comma that nothing follows
        if some is not None:
            return some, cut + 1
    return None


def _cuts(body: bytes | bytearray, at: int, end: int) -> Iterator[int]:
    """Yield where a slice may end, the best guess first: a comma, or the end of all."""
    target, far = at + limits.batch_slice_bytes, at + _SEAM_WITHIN * limits.batch_slice_bytes
    if target < end:
        seam = _SEAM.search(body, target, min(end, far))
        if seam is not None:
            yield seam.end() - 1
        cut = _balanced(body, at, target, end)
        if cut is not None:
            yield cut
    if end <= far:
        yield end


def _balanced(body: bytes | bytearray, at: int, target: int, end: int) -> int | None:
    """Return the first comma behind `target` in front of which all is closed, as if there were no strings."""
    braces = brackets = 0
    for comma in islice(_COMMA.finditer(body, target, end), _GUESSES_MAX):
        cut = comma.start()
        braces += body.count(b"{", at, cut) - body.count(b"}", at, cut)
        brackets += body.count(b"[", at, cut) - body.count(b"]", at, cut)
        if braces == brackets == 0:
            return cut
        at = cut
    return None


def _decoded(body: bytes | bytearray, at: int, end: int) -> Slice | None:
    """Return the events between two places, `None` when what is there is no list of events."""
    text = b"[%b]" % bytes(body[at:end])
    try:
        events = read_some(text)
    except Refused:
        return None
    return Slice(events, text) if events else None


def _found_in_one_go(body: bytes | bytearray, taken: int) -> Iterator[Slice]:
    """Yield the events behind the first `taken`."""
    raws = decode_raws(body)
    refuse_too_many(len(raws))
    first = taken
    while first < len(raws):
        last, size = first, 0
        while last < len(raws) and size < limits.batch_slice_bytes:
            size += len(memoryview(raws[last])) + 1
            last += 1
        yield _joined(raws[first:last])
        first = last


def _joined(raws: list[msgspec.Raw]) -> Slice:
    text = b"[%b]" % b",".join(raws)
    try:
        return Slice(read_some(text), text)
    except Refused as error:
        raise no_json(error) from None
