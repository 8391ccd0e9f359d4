"""LinkedIn: the token's owner (OpenID Connect `userinfo`), all that LinkedIn opens without a review.

    linkedin/profile

A token needs the scopes openid and profile (email, for the address); it lives sixty days.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import ClassVar

from flux_actors.connectors.base import Connector, Context, Found
from flux_actors.errors import Corrupt


class LinkedIn(Connector):
    """Polls one member."""

    interval_s: ClassVar[float] = 900.0  # LinkedIn's day limits are low, and a profile changes seldom
    base_url: ClassVar[str] = "https://api.linkedin.com/v2/userinfo"

    async def poll(self, context: Context) -> AsyncGenerator[Found, None]:
        """Yield the member."""
        answer = await context.get(self.base_url, context.bearer)
        if answer.unchanged:
            return
        member = answer.json()
        if not isinstance(member, dict) or not member.get("sub"):
            raise Corrupt("LinkedIn's answer names no member")
        yield (
            "profile",
            {
                "member": member["sub"],
                **{
                    name: member.get(name)
                    for name in ("name", "given_name", "family_name", "picture", "email")
                },
                "locale": member.get("locale"),
            },
        )
