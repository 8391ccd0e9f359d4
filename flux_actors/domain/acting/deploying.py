"""Changes of the catalogue: each takes one and returns the next, under the next revision.

What changes nothing returns the catalogue as it is, so doing the same twice deploys once. Whoever chooses
the version of a behaviour (deploy, promote, rollback) starts it again if a fault had stopped it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Catalogue, Deployed, Version
from flux_actors.domain.acting.versions import check_name, check_node, check_prefix, check_version
from flux_actors.domain.entity_id import check_entity_id, check_not_core
from flux_actors.errors import Refused

_NAMES_TOLD: Final = 10
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_TOO_LARGE: Final = 413
Change = Callable[[Catalogue], Catalogue]


def deploy(catalogue: Catalogue, name: str, version: Version) -> Catalogue:
    """Have a version hold for all that it matches; a canary ends, the version before can be rolled back to.

    Raises:
        Refused: the name or the version is none, or there are too many behaviours.
    """
    before = _named(catalogue, check_name(name)) or Deployed(name)
    check_version(version)
    if _is_same(before.stable, version) and before.canary is None and not before.stopped:
        return catalogue
    number = before.numbered + 1
    return _with(
        catalogue,
        replace(
            before,
            stable=replace(version, number=number),
            canary=None,
            canary_prefix="",
            stopped=False,
            earlier=_kept(before),
            numbered=number,
        ),
    )


def canary(catalogue: Catalogue, name: str, version: Version, prefix: str) -> Catalogue:
    """Have a version hold for ids that begin so, and match; others keep the one they have.

    Raises:
        Refused: the name, the version or the prefix is none, or a fault has stopped the behaviour.
    """
    before = _named(catalogue, check_name(name)) or Deployed(name)
    check_version(version)
    check_prefix(prefix)
    if before.stopped:
        raise Refused(
            f"a fault has stopped {name}, and a canary would not run either; "
            f"`flux behaviours resume {name}` first, or deploy the new version for all",
            _CONFLICT,
        )
    if _is_same(before.canary, version) and before.canary_prefix == prefix:
        return catalogue
    number = before.numbered + 1
    tried = replace(version, number=number)
    return _with(catalogue, replace(before, canary=tried, canary_prefix=prefix, numbered=number))


def promote(catalogue: Catalogue, name: str) -> Catalogue:
    """Have the canary hold for all; raises `Refused` when there is none."""
    before = _known(catalogue, name)
    if before.canary is None:
        raise Refused(
            f"{name} has no canary to promote; deploy one with a prefix: "
            f"`flux behaviours deploy … --canary PREFIX`",
            _CONFLICT,
        )
    return _with(
        catalogue,
        replace(
            before,
            stable=before.canary,
            canary=None,
            canary_prefix="",
            stopped=False,
            earlier=_kept(before),
        ),
    )


def rollback(catalogue: Catalogue, name: str) -> Catalogue:
    """End the canary, or go back to the version before; raises `Refused` when there is neither."""
    before = _known(catalogue, name)
    if before.canary is not None:
        if before.stable is None:
            return remove(catalogue, name)
        return _with(catalogue, replace(before, canary=None, canary_prefix="", stopped=False))
    if not before.earlier:
        raise Refused(
            f"{name} has no earlier version to go back to; `flux behaviours remove {name}` takes it away",
            _CONFLICT,
        )
    *earlier, stable = before.earlier
    return _with(catalogue, replace(before, stable=stable, earlier=earlier, stopped=False))


def remove(catalogue: Catalogue, name: str) -> Catalogue:
    """Take a behaviour away with all its versions; raises `Refused` when there is none of that name."""
    _known(catalogue, name)
    left = [one for one in catalogue.deployed if one.name != name]
    return replace(catalogue, revision=catalogue.revision + 1, deployed=left)


def stopped(catalogue: Catalogue, name: str, number: int | None = None) -> Catalogue:
    """Stop a behaviour for all its entities, if the version of that number is in force.

    A fault of a version that is not, or of a behaviour that is gone, concerns nobody any more.
    """
    before = _named(catalogue, name)
    if before is None or before.stopped:
        return catalogue
    in_force = {one.number for one in (before.stable, before.canary) if one is not None}
    if number is not None and number not in in_force:
        return catalogue
    return _with(catalogue, replace(before, stopped=True))


def resumed(catalogue: Catalogue, name: str) -> Catalogue:
    """Start a behaviour again that a fault has stopped; raises `Refused` when there is none of that name."""
    before = _known(catalogue, name)
    return _with(catalogue, replace(before, stopped=False)) if before.stopped else catalogue


def pin(catalogue: Catalogue, entity_id: str, node: str | None) -> Catalogue:
    """Have an entity's own actor stay on a Ray node, or, with `None`, wherever there is room.

    Raises:
        Refused: the id or the node is none, or there are too many pins.
    """
    check_not_core(check_entity_id(entity_id))
    if catalogue.pins.get(entity_id) == node:
        return catalogue
    pins = {key: value for key, value in catalogue.pins.items() if key != entity_id}
    if node is not None:
        pins[entity_id] = check_node(node)
    if len(pins) > limits.pins_max:
        raise Refused(
            f"{limits.pins_max} entities are pinned, as many as may be; unpin some: `flux actors pin ID -`",
            _CONFLICT,
        )
    return _sized(replace(catalogue, revision=catalogue.revision + 1, pins=pins))


def _named(catalogue: Catalogue, name: str) -> Deployed | None:
    return next((one for one in catalogue.deployed if one.name == name), None)


def _known(catalogue: Catalogue, name: str) -> Deployed:
    found = _named(catalogue, name)
    if found is None:
        names = sorted(one.name for one in catalogue.deployed)
        told = f"deployed are {', '.join(names[:_NAMES_TOLD])}" if names else "none is deployed"
        raise Refused(f"there is no behaviour {name[:64]!r}; {told}", _NOT_FOUND)
    return found


def _is_same(one: Version | None, other: Version) -> bool:
    """Whether two versions are the same but for number and time."""
    return one is not None and replace(other, number=one.number, deployed_us=one.deployed_us) == one


def _kept(before: Deployed) -> list[Version]:
    """Return the versions that can be gone back to once another one is in force."""
    earlier = [*before.earlier, before.stable] if before.stable is not None else before.earlier
    return earlier[-limits.behaviour_versions_kept :]


def _with(catalogue: Catalogue, one: Deployed) -> Catalogue:
    others = [other for other in catalogue.deployed if other.name != one.name]
    if len(others) >= limits.behaviours_max:
        raise Refused(
            f"{limits.behaviours_max} behaviours are deployed, as many as may be; remove some first",
            _CONFLICT,
        )
    deployed = sorted([*others, one], key=lambda each: each.name)
    return _sized(replace(catalogue, revision=catalogue.revision + 1, deployed=deployed))


def _sized(catalogue: Catalogue) -> Catalogue:
    size = len(msgspec.msgpack.encode(catalogue))
    if size > limits.catalogue_bytes_max:
        raise Refused(
            f"all behaviours together would take {size} bytes to describe, and may take "
            f"{limits.catalogue_bytes_max}: use fewer or shorter patterns, or remove some behaviours",
            _TOO_LARGE,
        )
    return catalogue
