"""What a version of a behaviour must be before it may be deployed, each rule with the words that teach it."""

from __future__ import annotations

import math
import re
from typing import Final

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Bounds, Dedicated, Supervision, Version
from flux_actors.domain.entity_id import CORE_NAMESPACE, check_entity_id, check_not_core
from flux_actors.errors import Refused

HANDLERS: Final = ("reduce", "on_change", "on_reminder", "on_ask", "on_tell")
REDUCE: Final = "reduce"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{16,128}", re.ASCII)
_STRATEGIES: Final = ("restart", "stop", "escalate")
_NODE_CHARS_MAX: Final = 64


def check_name(name: str) -> str:
    """Return the name of a behaviour; raises `Refused` for what is none."""
    if len(name) > limits.behaviour_name_chars_max or not _NAME.fullmatch(name):
        raise Refused(
            f"the name of a behaviour is letters, digits, '_', '.' and '-', "
            f"{limits.behaviour_name_chars_max} at most, such as Thermostat; {name[:64]!r} is not"
        )
    return name


def check_version(version: Version) -> Version:
    """Return a version that may be deployed.

    Raises:
        Refused: it says what is wrong with it.
    """
    if not _DIGEST.fullmatch(version.digest):
        raise Refused("a behaviour is deployed by the digest of its code, as flux.deploy() does")
    if version.environment and not _DIGEST.fullmatch(version.environment):
        raise Refused("a runtime_env is deployed by its digest, as flux.deploy() does")
    _check_match(version.match)
    _check_handles(version.handles, version.awaits)
    _check_bounds(version.bounds)
    _check_supervision(version.supervision)
    if version.dedicated is not None:
        _check_dedicated(version.dedicated)
    return version


def check_prefix(prefix: str) -> str:
    """Return how the ids of a canary begin; raises `Refused` for what names none."""
    if not prefix:
        raise Refused('a canary needs the beginning of the ids that try it, such as canary="home/hall"')
    return check_not_core(check_entity_id(prefix))


def check_node(node: str) -> str:
    """Return the id of a Ray node; raises `Refused` for what can be none."""
    if not re.fullmatch(r"[0-9a-f]+", node, re.ASCII) or len(node) > _NODE_CHARS_MAX:
        raise Refused(f"{node[:64]!r} is no id of a Ray node; ray.nodes() lists them as NodeID")
    return node


def _check_match(match: list[str]) -> None:
    if not match:
        raise Refused('a behaviour needs match: a pattern such as "home/*/thermostat", or several')
    if len(match) > limits.behaviour_patterns_max:
        raise Refused(f"a behaviour may have {limits.behaviour_patterns_max} patterns, not {len(match)}")
    for pattern in match:
        check_entity_id(pattern)
        if pattern.startswith(CORE_NAMESPACE):
            raise Refused("entities of flux-core are the server's own and have no behaviour; match others")
        namespace, slash, rest = pattern.partition("/")
        if not namespace or not slash or not rest or "*" in namespace:
            raise Refused(
                f'{pattern[:64]!r} must be "namespace/name", such as "home/*/thermostat" or "home/*": '
                "the namespace is spelled out, * may stand for parts behind it"
            )
        if "**" in pattern:
            raise Refused(
                f"in {pattern[:64]!r} write one * : it stands for one part of an id, "
                "and at the end of a pattern for all the rest"
            )


def _check_handles(handles: list[str], awaits: list[str]) -> None:
    if not handles:
        raise Refused(f"a behaviour needs one of {', '.join(HANDLERS)}; this class has none")
    unknown = sorted({*handles, *awaits} - set(HANDLERS))
    if unknown or not set(awaits) <= set(handles):
        raise Refused(f"handlers are {', '.join(HANDLERS)}; {', '.join(unknown or awaits)[:64]!r} is none")
    if REDUCE in awaits:
        raise Refused(
            "reduce must not be async: it runs where the log is folded and may not wait for anything; "
            "do that in on_change"
        )


def _check_bounds(bounds: Bounds) -> None:
    for name in bounds.__struct_fields__:
        value = getattr(bounds, name)
        if not _is_positive(value):
            raise Refused(f"Bounds({name}=…) must be a number greater than 0, not {value!r}")


def _check_supervision(supervision: Supervision) -> None:
    if supervision.strategy not in _STRATEGIES:
        raise Refused(f"Supervision(strategy=…) is one of {', '.join(_STRATEGIES)}")
    if supervision.retries < 0:
        raise Refused("Supervision(retries=…) must be 0 or more")
    if not 0 <= supervision.backoff_s <= supervision.backoff_s_max < math.inf:
        raise Refused("Supervision(backoff_s=…) must be 0 or more, and backoff_s_max no less")


def _check_dedicated(dedicated: Dedicated) -> None:
    wanted = {"num_cpus": dedicated.num_cpus, "num_gpus": dedicated.num_gpus, **dedicated.resources}
    for name, value in wanted.items():
        if not 0 <= value < math.inf:
            raise Refused(f"Dedicated(…): {name[:64]} must be 0 or more, not {value!r}")
    if not _is_positive(dedicated.idle_s):
        raise Refused("Dedicated(idle_s=…) must be greater than 0")


def _is_positive(value: float) -> bool:
    return 0 < value < math.inf
