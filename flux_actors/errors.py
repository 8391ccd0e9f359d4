"""The one error tree.

    FluxError
    ├── Refused       the caller's fault: carries the HTTP status, the text says what to change
    ├── Unavailable   not now: try again after `retry_after_s`
    └── Corrupt       stored data is not what it must be: refuse to guess, a human decides

What is asked of an entity's behaviour (`AskFailed`), claimed, published in bulk, or asked of a shard that no
longer hosts it fails under names of its own, each of them one of the three:

    Refused           NotAskable, HandlerFailed, AlreadyClaimed
    Unavailable       AskTimedOut, NotAllDurable, Moved

All of them travel between processes, so all of them pickle.
"""

from __future__ import annotations

from typing import Any


class FluxError(Exception):
    """Root of everything Flux raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Refused(FluxError):
    """The request cannot be done as asked."""

    def __init__(
        self,
        message: str,
        status: int = 400,
        headers: dict[str, str] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.more = more or {}  # what the answer holds beside the message

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild with all arguments, so that the status survives pickling."""
        return (type(self), (self.message, self.status, self.headers, self.more))


class Unavailable(FluxError):
    """A part is away for the moment; the same request may succeed later."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild with all arguments, so that the delay survives pickling."""
        return (type(self), (self.message, self.retry_after_s))


class Moved(Unavailable):
    """`partition` is with another shard now, as the topology will say in a moment."""

    def __init__(self, partition: int, retry_after_s: int = 1) -> None:
        super().__init__(f"partition {partition} is moving; try again in a second", retry_after_s)
        self.partition = partition

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the partition, from which the text is made."""
        return (type(self), (self.partition, self.retry_after_s))


class Corrupt(FluxError):
    """Stored bytes contradict what was promised about them."""


class AskFailed(FluxError):
    """An entity did not answer; that it is `Refused` or `Unavailable`, too, says whether to ask again."""


class NotAskable(AskFailed, Refused):
    """The entity has no behaviour that answers, or a fault has stopped it."""


class HandlerFailed(AskFailed, Refused):
    """The behaviour's handler failed on this question."""


class AskTimedOut(AskFailed, Unavailable):
    """There was no answer within the deadline; whether the handler ran is not known."""


class AlreadyClaimed(Refused):
    """Somebody else holds the claim: `holder` says who."""

    @property
    def holder(self) -> str | None:
        """Who holds it, if that is known."""
        holder = self.more.get("holder")
        return holder if isinstance(holder, str) else None


class NotAllDurable(Unavailable):
    """Some of many events are not known to be durable; publish those again under the same ids.

    Arguments:
        indexes: which ones, by their places among those that were published.
        event_ids: the id of each of them, in the same order: with it, none counts twice.
        position: by which those that are durable can be read.
    """

    def __init__(
        self,
        message: str,
        indexes: list[int],
        event_ids: list[str],
        position: str = "",
        retry_after_s: int = 1,
    ) -> None:
        super().__init__(message, retry_after_s)
        self.indexes = indexes
        self.event_ids = event_ids
        self.position = position

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild with all arguments."""
        return (
            type(self),
            (self.message, self.indexes, self.event_ids, self.position, self.retry_after_s),
        )
