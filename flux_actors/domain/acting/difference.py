"""What leads from one state of an entity to another.

A reducer returns a whole state, and the log's changes are properties that are set. So the state that an
entity has afterwards is the one before with this difference: what is gone is null, and the order of
properties stays. A reducer's next event must begin with just that, however many events it got in one go.
"""

from __future__ import annotations

from typing import Any


def difference(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """Return what must be set to come from one state to another: a property that is gone becomes null."""
    if before is None:
        return dict(after)
    delta = {
        name: value for name, value in after.items() if name not in before or not _same(before[name], value)
    }
    delta.update({name: None for name, value in before.items() if value is not None and name not in after})
    return delta


def _same(one: Any, other: Any) -> bool:
    """Whether two values are written alike: for Python `True == 1 == 1.0`."""
    return one is other or (type(one) is type(other) and bool(one == other))
