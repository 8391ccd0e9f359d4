"""Log lines of Flux's processes: structured, in one form, and without what a function was holding.

structlog's own default prints tracebacks with the values of local variables where `rich` is installed. Those
of a door hold request heads, tokens included, so every process sets this form before it logs anything.
"""

from __future__ import annotations

import structlog


def set_up_logs() -> None:
    """Have this process log lines of text: time, level, event name, fields; tracebacks name code alone."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,  # the id of the request, where there is one
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback, pad_event_to=30
            ),
        ]
    )
