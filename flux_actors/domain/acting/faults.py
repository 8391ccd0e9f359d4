"""Where a fault of an entity's behaviour is marked: an entity of the server's own, named by it.

Such an entity lives in the server's namespace, but it tells of somebody else's: it is for those who may read
that one. `audience_of` says so, wherever it is asked who may see an entity.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from flux_actors import limits
from flux_actors.domain.entity_id import namespace_of

FAULTS_PREFIX: Final = "flux-core/faults/"
_DIGEST_BYTES: Final = 16


def fault_id(entity_id: str) -> str:
    """Return the id of the entity that marks a fault; of a very long id the end is a digest.

    The namespace stays in it whole: who may see that may see its faults.
    """
    whole = FAULTS_PREFIX + entity_id
    if len(whole.encode()) <= limits.entity_id_bytes_max:
        return whole
    digest = blake2b(entity_id.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    short = f"{FAULTS_PREFIX}{namespace_of(entity_id)}/{digest}"
    return short if len(short.encode()) <= limits.entity_id_bytes_max else FAULTS_PREFIX + digest


def subject_of(entity_id: str) -> str:
    """Return the id that decides who may see an entity: its own; of a fault that of the entity that failed.

    The same holds of beginnings of ids.
    """
    return entity_id.removeprefix(FAULTS_PREFIX)


def audience_of(entity_id: str) -> str:
    """Return the namespace whose readers may see an entity."""
    return namespace_of(subject_of(entity_id))
