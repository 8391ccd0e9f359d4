from __future__ import annotations

from typing import Any

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.codes import Loaded, LoadedCodes
from flux_actors.behaviour.wire import NO_CODE, Fault
from flux_actors.domain.acting.catalogue import Bounds
from tests.unit.behaviour.working import Shelf


class Asked(Behaviour):
    match = "home/*"
    bounds = Bounds(handler_s=3.0)

    def reduce(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        return state

    async def on_ask(self, entity: Any, message: Any) -> None: ...


def test_code_is_loaded_once() -> None:
    shelf = Shelf()
    digest = shelf.put(Asked)
    codes = LoadedCodes(shelf)
    first = codes.of(digest)
    shelf.codes.clear()
    assert codes.of(digest) is first
    codes.forget(digest)
    assert codes.of(digest) == Fault(NO_CODE, f"the code {digest[:16]} is not here")


def test_loaded_code_knows_its_methods() -> None:
    shelf = Shelf()
    loaded = LoadedCodes(shelf).of(shelf.put(Asked))
    assert isinstance(loaded, Loaded)
    assert (loaded.name, loaded.bounds) == ("Asked", Bounds(handler_s=3.0))
    assert {handler: (method.name, method.awaits) for handler, method in loaded.methods.items()} == {
        "on_ask": ("on_ask", True),
        "on_tell": ("on_ask", True),
    }


def test_code_that_ends_its_process_is_a_fault() -> None:
    class Ending:
        def __reduce__(self) -> Any:
            return exit, (3,)

    class Holding(Asked):
        held = Ending()

    shelf = Shelf()
    assert LoadedCodes(shelf).of(shelf.put(Holding)) == Fault(
        NO_CODE, "its code cannot be loaded: SystemExit: 3"
    )


def test_code_that_could_not_have_been_deployed_is_a_fault() -> None:
    shelf = Shelf()
    fault = LoadedCodes(shelf).of(shelf.put(type("Idle", (Behaviour,), {"match": "home/*"})))
    assert isinstance(fault, Fault)
    assert "defines no handler" in fault.text
