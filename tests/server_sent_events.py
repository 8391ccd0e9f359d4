"""Server-Sent Events as a browser reads them, by the rules of the HTML standard; nothing of ours in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass
class Dispatched:
    """An event as a page hears of it."""

    kind: str
    data: str
    last_id: str

    @property
    def message(self) -> Any:
        return json.loads(self.data)


@dataclass
class EventSource:
    """What a browser remembers of one stream, over all its connections."""

    last_id: str = ""
    retry_ms: int | None = None
    comments: int = 0
    _rest: bytes = b""
    _id: str = ""
    _kind: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, data: bytes) -> list[Dispatched]:
        """Take bytes of the present connection; return what a page is told."""
        *lines, self._rest = _LINE_END.split(self._rest + data)
        return [event for line in lines if (event := self._take(line.decode())) is not None]

    def reconnect(self) -> dict[str, str]:
        """Forget what was not whole; return the headers of the next request."""
        self._rest, self._id, self._kind, self._data = b"", self.last_id, "", []
        return {"Last-Event-ID": self.last_id} if self.last_id else {}

    def _take(self, line: str) -> Dispatched | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            self.comments += 1
            return None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isdigit():
                self.retry_ms = int(value)
        return None

    def _dispatch(self) -> Dispatched | None:
        self.last_id = self._id
        kind, data = self._kind or "message", self._data
        self._kind, self._data = "", []
        return Dispatched(kind, "\n".join(data), self.last_id) if data else None
