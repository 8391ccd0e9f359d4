"""The deployer: brings a change of the catalogue into the store, and from there into every partition's log.

The store holds the wish, changed by compare-and-set. The logs follow: one control event in each, with the
catalogue whole. A crash between the two, or a partition that could not be reached, leaves a log behind the
wish; `spread` brings it there. The fold goes by a catalogue only if its revision is a greater one, so it does
no harm to bring the same one twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

import msgspec
import structlog

from flux_actors import limits
from flux_actors.behaviour.code_store import CodeStore
from flux_actors.domain.acting import deploying
from flux_actors.domain.acting.catalogue import Catalogue, Version
from flux_actors.domain.acting.deploying import Change
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.terms import BEHAVIOUR_SOURCE, Terms
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import CONTROL, encode_block, encode_event
from flux_actors.log.ports import EventLog, KeyValue

_log = structlog.get_logger(__name__)
CATALOGUE_BUCKET: Final = "flux_behaviours"
CATALOGUE_KEY: Final = "catalogue"
CONTROL_STREAM: Final = "flux.control"
_TRIES: Final = 8
_RETRY_S: Final = 0.02
_FIRST: Final = 1
encode_catalogue: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Catalogue).decode


class DeployRequest(msgspec.Struct, frozen=True):
    """What somebody wants deployed: the version, with its number and its time still open, and its code."""

    name: str
    version: Version
    code: bytes
    environment: bytes = b""  # its runtime_env as JSON
    canary: str | None = None  # how the ids begin that try it; `None` for all that match

    def change(self, now_us: int) -> Change:
        """Return what it makes of a catalogue."""
        version = msgspec.structs.replace(self.version, deployed_us=now_us)
        if self.canary is not None:
            return partial(deploying.canary, name=self.name, version=version, prefix=self.canary)
        return partial(deploying.deploy, name=self.name, version=version)

    def version_in(self, catalogue: Catalogue) -> Version:
        """Return the version that it has become."""
        found = next(one for one in catalogue.deployed if one.name == self.name)
        version = found.stable if self.canary is None else found.canary
        return version or self.version


class Deployer:
    """Changes what is deployed in one log."""

    def __init__(
        self, store: KeyValue, code: CodeStore, log: EventLog, partitions: int, now_us: Callable[[], int]
    ) -> None:
        self._store = store
        self._code = code
        self._log = log
        self._partitions = partitions
        self._now_us = now_us

    async def catalogue(self) -> Catalogue:
        """Return what is wished for; raises `Unavailable` when the store is away."""
        return (await self._stored())[0]

    async def store_code(self, request: DeployRequest) -> None:
        """Keep the code of a request, so that whoever reads of it in the log can have it.

        Raises:
            Refused: it is too large, or is not what the version names. Unavailable: the store is away.
        """
        await self._code.put(request.version.digest, request.code)
        if request.version.environment:
            await self._code.put(request.version.environment, request.environment)

    async def change(self, change: Change) -> Catalogue:
        """Change the catalogue in the store and in every partition's log, and return it.

        Raises:
            Refused: `change` refuses. Unavailable: as of `wish`, and of `spread`.
        """
        catalogue = await self.wish(change)
        await self.spread(catalogue)
        return catalogue

    async def wish(self, change: Change) -> Catalogue:
        """Change the catalogue in the store alone, and return it.

        Raises:
            Refused: `change` refuses. Unavailable: the store is away, or others change it as well.
        """
        for number in range(_TRIES):
            await asyncio.sleep(number * _RETRY_S)  # a copy of the store may not have the newest yet
            before, revision = await self._stored()
            after = change(before)
            if after.revision == before.revision:
                return before
            try:
                await self._store.put(CATALOGUE_KEY, encode_catalogue(after), revision)
            except Refused:
                continue  # somebody else was faster: look again
            _log.info("behaviours.changed", revision=after.revision)
            return after
        raise Unavailable("what is deployed is being changed by others; try again in a second")

    async def spread(self, catalogue: Catalogue, partitions: Collection[int] | None = None) -> None:
        """Bring a catalogue into the logs of some partitions, or of all.

        Raises:
            Unavailable: not all of them are known to have it; bringing it again does no harm.
        """
        wanted = range(self._partitions) if partitions is None else partitions
        data = control_block(catalogue, self._now_us())
        outcomes = await asyncio.gather(*(self._append(p, data, catalogue.revision) for p in wanted))
        missing = [p for p, stored in zip(wanted, outcomes, strict=True) if not stored]
        if missing:
            told = ", ".join(map(str, missing))
            raise Unavailable(
                f"the change is made (revision {catalogue.revision}) but has not reached the log of "
                f"partition {told} yet; it will be brought there by itself, there is nothing to repeat"
            )

    async def _stored(self) -> tuple[Catalogue, int]:
        stored = await self._store.get(CATALOGUE_KEY)
        if stored is None:
            return Catalogue(), 0
        try:
            return _decode(stored.value), stored.revision
        except msgspec.DecodeError as error:
            raise Corrupt(f"the catalogue in the store {CATALOGUE_BUCKET} cannot be read: {error}") from None

    async def _append(self, partition: int, data: bytes, revision: int) -> bool:
        """Append a control event once; return whether it is known to be there."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.append_deadline_s
        while True:
            try:
                await self._log.append(partition, data, f"control-{revision}", limits.append_timeout_s)
            except Unavailable as error:
                if loop.time() + limits.append_retry_s >= deadline:
                    _log.warning("behaviours.unspread", partition=partition, reason=error.message)
                    return False
                await asyncio.sleep(limits.append_retry_s)
            else:
                return True


def control_block(catalogue: Catalogue, now_us: int) -> bytes:
    """Return the block that has a catalogue hold from its place in a log on.

    Its committer is nobody else's, so the fold takes it for new whoever brought which catalogue before.
    """
    event = Event(
        None,
        None,
        f"control-{catalogue.revision}",
        named_by_client=False,
        source=BEHAVIOUR_SOURCE,
        stream=CONTROL_STREAM,
        timestamp_ms=now_us // 1_000,
    )
    encoded = encode_event(with_terms(event, Terms(control=catalogue)))
    return encode_block(secrets.randbits(63), _FIRST, now_us, [encoded], termed=True, flags=CONTROL)
