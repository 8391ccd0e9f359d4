"""Who leads what in a NATS cluster, as its servers tell on their monitoring ports (`/jsz`).

JetStream has a leader for its own affairs, the meta leader, and one for each stream. A server that is cut off
goes on telling what it knew, so a name counts when most of those that answer say it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

_ASK_S: Final = 2.0
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def leader(monitors: Sequence[int], stream: str | None = None) -> str | None:
    """Return the name of the server that leads a stream, or JetStream itself if no stream is named.

    `monitors` are the monitoring ports of the servers on this machine. It is `None` while most of those that
    answer know of no leader, or none answers.
    """
    said = [_said(found, stream) for found in map(_jetstream, monitors) if found is not None]
    if not said:
        return None
    (name, votes), *_ = Counter(said).most_common(1)
    return name if 2 * votes > len(said) else None


def is_current(monitors: Sequence[int], streams: Iterable[str]) -> bool:
    """Whether every server answers, and every stream has a leader and copies that are all up to date."""
    told = [_jetstream(port) for port in monitors]
    if None in told:
        return False
    return all(
        any(found is not None and _is_whole(found, name, len(told)) for found in told) for name in streams
    )


def stored_bytes(port: int) -> int | None:
    """Return how much of its disk JetStream has taken by its own count, `None` if it does not answer."""
    found = _jetstream(port)
    return None if found is None else int(found["storage"])


def _is_whole(found: dict[str, Any], stream: str, servers: int) -> bool:
    """Whether a server has all copies with it; but the leader, none hears of more than one other."""
    others = (_group(found, stream) or {}).get("replicas") or []
    return len(others) == servers - 1 and all(one.get("current") and not one.get("offline") for one in others)


def _said(found: dict[str, Any], stream: str | None) -> str | None:
    group = found.get("meta_cluster") if stream is None else _group(found, stream)
    return (group or {}).get("leader") or None


def _group(found: dict[str, Any], stream: str) -> dict[str, Any] | None:
    for account in found.get("account_details") or []:
        for detail in account.get("stream_detail") or []:
            if detail["name"] == stream:
                return dict(detail.get("cluster") or {})
    return None


def _jetstream(port: int) -> dict[str, Any] | None:
    """Return what a server tells of its JetStream, `None` if it does not answer."""
    try:
        with _DIRECT.open(f"http://127.0.0.1:{port}/jsz?accounts=1&streams=1", timeout=_ASK_S) as answer:
            return dict(json.load(answer))
    except (OSError, urllib.error.URLError, ValueError):
        return None
