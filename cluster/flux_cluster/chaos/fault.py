"""What a fault is: something that is done to a world, and undone."""

from __future__ import annotations

import random
from typing import Protocol, runtime_checkable

from flux_cluster.chaos.world import World


class Fault(Protocol):
    """One kind of fault: a `msgspec.Struct` whose fields are the options that a scenario may give it.

    One instance is made for each injection. A world may be used again after `heal`, so that ends all that
    `inject` began, also when `inject` failed half-way.
    """

    async def inject(self, world: World, chance: random.Random) -> str:
        """Do it, and return in a few words to whom; what is to be chosen, `chance` chooses."""
        ...

    async def heal(self, world: World) -> None:
        """Undo what does not mend by itself."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A fault that is none unless the world is in some way, which is seen to before the load begins."""

    async def prepare(self, world: World) -> None:
        """Bring the world there, and to rest again.

        Raises:
            Unavailable: it does not get there, so the fault could not be what it should.
        """
        ...
