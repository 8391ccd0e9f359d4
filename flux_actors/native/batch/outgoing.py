"""Batches: rows of a dataset as events, each under an id that another try of the same task makes again.

The id is made of the job, the task and what the row says, and not of the row's number: Ray may hand a task
its rows in another order when it tries again, and then a number would name another row. Rows that say the
same are counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import msgspec
import pyarrow as pa

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.native.bulk import Pair

ENTITY_ID: Final = "entity_id"
PROPERTIES: Final = "properties"
_DIGEST_BYTES: Final = 12
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def check_columns(names: list[str]) -> None:
    """Raise `Refused` unless a dataset has the columns that make an event."""
    missing = [name for name in (ENTITY_ID, PROPERTIES) if name not in names]
    if missing:
        raise Refused(
            "rows need the columns entity_id and properties (a struct, or the text of a JSON object); "
            f"missing: {', '.join(missing)}; there: {', '.join(names)}"
        )


class Batch:
    """The rows of one task of a job."""

    def __init__(self, job: str, task: int) -> None:
        self._job = job
        self._task = task
        self._said: Counter[bytes] = Counter()  # how often, by digest
        self._rows = 0

    def events_of(self, table: pa.Table) -> Iterator[tuple[list[Pair], list[str]]]:
        """Yield the events of the next rows, some at a time: ids of entities with properties, and own ids.

        Raises:
            Refused: the properties of a row are none; those yielded before are.
        """
        if not table.num_rows:
            return  # Ray has such tables without columns
        check_columns(table.column_names)
        for begin in range(0, table.num_rows, limits.history_table_rows):
            part = table.slice(begin, limits.history_table_rows)
            ids: list[Any] = part.column(ENTITY_ID).to_pylist()
            cells = part.column(PROPERTIES).to_pylist()
            pairs: list[Pair] = [(one, self._properties(cell)) for one, cell in zip(ids, cells, strict=True)]
            yield pairs, [self._event_id(pair) for pair in pairs]

    def at(self, before: int, refused: Refused) -> Refused:
        """Return a refusal to publish some of the events, `before` in front of them, that names the row."""
        number = before + int(refused.more.get("index", 0))
        return self._no_event(number, refused)

    def _properties(self, cell: Any) -> dict[str, Any]:
        number = self._rows
        self._rows += 1
        try:
            return _properties(cell)
        except Refused as refused:
            raise self._no_event(number, refused) from None

    def _event_id(self, pair: Pair) -> str:
        said = blake2b(_encode(pair), digest_size=_DIGEST_BYTES).digest()
        self._said[said] += 1
        return f"{self._job}.{self._task}.{said.hex()}.{self._said[said]}"

    def _no_event(self, number: int, refused: Refused) -> Refused:
        text = f"row {number} of task {self._task} cannot be published: {refused.message}"
        return Refused(text, refused.status)


def _properties(cell: Any) -> dict[str, Any]:
    """Return the properties of a cell: JSON text as it stands, a struct without its nulls.

    Raises:
        Refused: it holds no object of JSON.
    """
    try:
        if isinstance(cell, str):
            return _decode(cell)
        if isinstance(cell, list):  # a map of arrow's
            cell = dict(cell)
        if isinstance(cell, dict):
            return {name: _plain(one) for name, one in cell.items() if not _is_missing(one)}
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise Refused(f"its properties are no JSON object: {error}") from None
    raise Refused("its properties are missing; a struct or the text of a JSON object is needed")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: a time as its text, say."""
    match value:
        case dict():
            return {name: _plain(one) for name, one in value.items() if not _is_missing(one)}
        case list():
            return [None if _is_missing(one) else _plain(one) for one in value]
        case str() | int() | float() | None:
            return value
        case _:
            return msgspec.to_builtins(value)


def _is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: arrow's null, or the NaN that pandas makes of it."""
    return value is None or (isinstance(value, float) and math.isnan(value))
