"""The span of the present request."""

from __future__ import annotations

import asyncio

from flux_api.tracing.current import request_span


async def test_what_one_task_sets_no_other_sees():
    async def set_it():
        request_span.set(object())

    await asyncio.create_task(set_it())
    assert request_span.get() is None
