"""Queries: what a reader asks of a list, read from the parameters of its URL.

`where` is a condition on properties, `fields` names those to be shown, `limit` makes pages, `cursor` says
where one begins. A cursor is the id behind which to go on: whatever was made or deleted meanwhile, an entity
that lives all the time comes once.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode

from flux_actors import limits
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.domain.where import where_of
from flux_actors.errors import Refused
from flux_actors.shard.reads import EVERYTHING, Query

_LEAST, _MOST = limits.list_limit_range


class Asked(NamedTuple):
    """A query, and which page of it; without a limit there are none. `lines`: not as one array."""

    query: Query
    limit: int | None = None
    after: str | None = None
    lines: bool = False


ALL: Final = Asked(EVERYTHING)


def read_query(parameters: Mapping[str, str]) -> Asked:
    """Return what the parameters ask for.

    Raises:
        Refused: one of them is not what it should be.
    """
    where = parameters.get("where") or None
    if where is not None:
        where_of(where)
    limit, cursor = parameters.get("limit"), parameters.get("cursor")
    if cursor is not None and limit is None:
        raise Refused("cursor needs limit beside it; follow the URL of the Link header as it is")
    return Asked(
        Query(where, read_fields(parameters.get("fields"))),
        None if limit is None else _limit(limit),
        None if cursor is None else read_cursor(cursor),
    )


def next_link(path: str, parameters: Mapping[str, str], after: str) -> str:
    """Return the `Link` header that leads to the page behind `after`: an entity's id, an event's position."""
    cursor = urlsafe_b64encode(after.encode()).decode().rstrip("=")
    return f'<{path}?{urlencode({**parameters, "cursor": cursor})}>; rel="next"'


def read_fields(text: str | None) -> tuple[str, ...] | None:
    """Return the names of properties that `fields` asks for, `None` for all."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(text.split(",")))
    if "" in names:
        raise Refused("fields must be names of properties with commas between, such as fields=status,battery")
    if len(names) > limits.fields_max:
        raise Refused(f"fields may name at most {limits.fields_max} properties")
    return names


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not _LEAST <= int(text[:9]) <= _MOST or len(text) > 9:
        raise Refused(f"limit must be a whole number from {_LEAST} to {_MOST}")
    return int(text)


def read_cursor(cursor: str) -> str:
    """Return behind what a page begins; raise `Refused` for a cursor that was not given."""
    try:
        return check_entity_id(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error, Refused):
        raise Refused("cursor must be one that the Link header of a page has given") from None
