"""The switch: the log is closed, the rest is copied and compared, and the next generation becomes the log.

    note that it begins ─ close the log ─ copy the rest ─ compare ─ one compare-and-set ─ note that it is done

The compare-and-set names the revision of our claim (`router/succession.py`), so it fails if another run has
begun meanwhile; and in front of it the copy is looked at as it is stored, for that run may have replaced it.
Up to the compare-and-set the log is the one before, behind it the next; whatever dies in between, the router
(or the next run) opens the one that the registry names (`router/succession.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from msgspec.structs import replace

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log.generations import Generations, origin_of
from flux_actors.log.ports import KeyValue
from flux_actors.repartition.comparing import compare_entities, compare_totals, surplus
from flux_actors.repartition.copying import Copier
from flux_actors.repartition.pasts import Pasts
from flux_actors.repartition.recutting import closing_block
from flux_actors.router.succession import Claim, end_switch, take_over
from flux_actors.router.topology import SWITCHING_KEY, LogRegistry


class Switched(NamedTuple):
    """What a switch was like."""

    after: LogRegistry  # what the registry says by now
    closed_s: float  # for so long nobody could write, as far as the log goes
    compared: int  # entities that were compared meanwhile; the others were before


class Switch:
    """Has a copy become the log.

    Arguments:
        copier: has copied nearly everything.
        generations: closes the log.
        store: the registry.
        claim: was made before the copy was begun.
        pasts: says where the past of namespaces' earlier owners ends, by now.
    """

    def __init__(
        self,
        copier: Copier,
        generations: Generations,
        store: KeyValue,
        claim: Claim,
        pasts: Callable[[], Awaitable[Pasts]],
    ) -> None:
        self._copier = copier
        self._generations = generations
        self._store = store
        self._claim = claim
        self._pasts = pasts
        self._after = copier.after
        self._closing: list[asyncio.Task[int]] = []

    async def carry_through(self) -> Switched:
        """Switch, or leave everything as it was.

        Raises:
            Unavailable: it took too long, or the log cannot be reached; the log goes on, try again.
            Refused: 409, somebody has ended this switch, or works on the log as well.
            Disordered, Disagreeing: as of `Copier`.
        """
        await self._claim.renew()  # else a run that is doomed would close the log, and end that of another
        await self._copier.check_snapshots()
        clock = asyncio.get_running_loop().time
        began_s, compared = clock(), 0
        try:
            async with asyncio.timeout(limits.switch_s_max):
                await self._store.put(SWITCHING_KEY, self._after.log_id.encode())
                compared = await self._prepare()
                self._after = replace(self._after, pasts=self._copier.pasts.ends(await self._pasts()))
                await self._copier.check_stored()
                await take_over(self._store, self._claim.revision, self._after)
        except TimeoutError:
            if not await self._stands():
                raise Unavailable(
                    f"what was left took longer than {limits.switch_s_max:g} s; the log goes on as it was"
                ) from None
        except BaseException:
            if not await self._stands():
                raise
        closed_s = clock() - began_s
        await self._store.delete(SWITCHING_KEY)
        return Switched(self._after, closed_s, compared)

    async def _prepare(self) -> int:
        """Close the log and make the copy whole; return how many entities were compared."""
        copier, ends = self._copier, await self._close()
        if max(ends) >= origin_of(self._after.generation):
            raise Unavailable("the log has grown into the range of its next generation; begin anew")
        await copier.finish(ends)
        compared = compare_entities(copier.recutter)
        await copier.add_notes(surplus(copier.recutter))
        compare_totals(copier.recutter)
        return compared

    async def _close(self) -> list[int]:
        """Close the log, and return where its partitions end."""
        before, hand = self._copier.before, self._copier.hand
        block = closing_block(hand.identity, hand.now_us())
        self._closing = [
            asyncio.create_task(self._generations.close(before.generation, partition, block))
            for partition in range(before.partitions)
        ]
        await asyncio.wait(self._closing)  # which leaves them alone when this is cancelled
        return [closing.result() for closing in self._closing]

    async def _stands(self) -> bool:
        """Have the log that the registry names go on; return whether that is the next one.

        Nothing is opened before all that is being closed is: else it would be closed behind that, for good.
        """
        await asyncio.gather(*self._closing, return_exceptions=True)
        return await end_switch(self._store, self._generations) == self._after
