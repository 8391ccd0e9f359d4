"""The one error tree.

    FluxError
    ├── Refused       the caller's fault: carries the HTTP status, the text says what to change
    ├── Unavailable   not now: try again after `retry_after_s`
    └── Corrupt       stored data is not what it must be: refuse to guess, a human decides

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


class Corrupt(FluxError):
    """Stored bytes contradict what was promised about them."""
