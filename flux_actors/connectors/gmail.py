"""Gmail: the totals of a mailbox and of its labels, as an OAuth access token may read them.

    gmail/mailbox   gmail/labels/<id>

A token needs the scope gmail.labels or gmail.readonly; mails themselves are not read. Google's access tokens
live about an hour: then the connector says so, and goes on when a new one is given.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any, ClassVar, Final

from flux_actors.connectors.base import Connector, Context, Found
from flux_actors.errors import Corrupt

_LABELS_MAX: Final = 50
_LABEL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)


class Gmail(Connector):
    """Polls one mailbox."""

    interval_s: ClassVar[float] = 60.0
    base_url: ClassVar[str] = "https://gmail.googleapis.com/gmail/v1/users/me"

    async def poll(self, context: Context) -> AsyncGenerator[Found, None]:
        """Yield the mailbox and its labels."""
        profile = await _object(context, f"{self.base_url}/profile")
        yield (
            "mailbox",
            {
                "address": profile.get("emailAddress"),
                "messages": profile.get("messagesTotal"),
                "threads": profile.get("threadsTotal"),
            },
        )
        listed = (await _object(context, f"{self.base_url}/labels")).get("labels", [])
        for row in listed[:_LABELS_MAX] if isinstance(listed, list) else []:
            label_id = row.get("id") if isinstance(row, dict) else None
            if not isinstance(label_id, str) or not _LABEL_ID.fullmatch(label_id):
                raise Corrupt("a label of Gmail's answer has no id")
            label = await _object(context, f"{self.base_url}/labels/{label_id}")
            yield (
                f"labels/{label_id}",
                {
                    "name": label.get("name"),
                    "messages": label.get("messagesTotal"),
                    "unread": label.get("messagesUnread"),
                    "threads": label.get("threadsTotal"),
                    "unread_threads": label.get("threadsUnread"),
                },
            )


async def _object(context: Context, url: str) -> dict[str, Any]:
    answer = await context.web.get(url, context.bearer)
    context.judge(answer, context.now_s())
    value = answer.json()
    if not isinstance(value, dict):
        raise Corrupt("Gmail's answer is no object")
    return value
