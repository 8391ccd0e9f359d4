"""`flux demo`: this machine as a living world, published once a second until Ctrl-C."""

from __future__ import annotations

import platform
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

import typer

from flux_actors.cli.options import Url, examples, open_client
from flux_actors.cli.output import say, warn
from flux_actors.client import DEFAULT_URL
from flux_actors.errors import FluxError, Refused

if TYPE_CHECKING:
    from flux_actors.client.http import FluxClient
    from flux_actors.client.machine import Difference, Machine, Properties, Reading

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_FIRST_LOOK_S: Final = 0.2  # processor figures need two readings


def demo(
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two readings.")] = 1.0,
    top: Annotated[int, typer.Option(min=0, max=1000, help="How many of the busiest processes.")] = 15,
    once: Annotated[bool, typer.Option("--once", help="Publish one reading and end.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Delete the entities at the end.")] = False,
    namespace: Annotated[str, typer.Option(help="The namespace of the entities.")] = "demo",
    name: Annotated[str | None, typer.Option(help="Name of the machine.", show_default="its own")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Publish this machine as entities, until Ctrl-C.

    They are its processor, memory, disks, network interfaces and busiest processes. What has gone is
    deleted, what has not changed is not published again.
    """
    from flux_actors.client.machine import Machine

    prefix = f"{namespace}/{_name(name or platform.node())}/"
    with open_client(url) as client, _stop_signals() as stop:
        show = Demo(client, Machine(top), prefix)
        show.begin()
        stop.wait(_FIRST_LOOK_S)
        show.tick()
        say(f"{len(show.world)} entities under {prefix} at {client.url}")
        say(f"see them with: flux watch '{namespace}/*'")
        if not once:
            _run(show, every, stop)
        if clean:
            show.clear()
    say(
        f"deleted all under {prefix}"
        if clean
        else f"they stay; to delete them: flux delete --prefix {prefix}"
    )


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("demo", epilog=_EXAMPLES)(demo)


_EXAMPLES: Final = examples(
    "flux demo &", "flux watch 'demo/*'", "flux demo --once", "flux demo --every 0.2 --top 30 --clean"
)


class Demo:
    """Keeps the entities under a prefix equal to what the machine says.

    It starts from the entities that an earlier demo left, so these are corrected or deleted like its own.
    """

    def __init__(self, client: FluxClient, machine: Machine, prefix: str) -> None:
        self.world: dict[str, Properties] = {}  # what the server has
        self._client = client
        self._machine = machine
        self._prefix = prefix
        self._reading: Reading | None = None

    def begin(self) -> None:
        """Learn what the server has, and take the reading that rates are counted from."""
        self.world = {entity.id: entity.properties for entity in self._client.list(prefix=self._prefix)}
        self._reading = self._machine.read()

    def tick(self) -> None:
        """Read the machine and publish what is different, in one batch."""
        from flux_actors.client.machine import difference, entities_of

        reading = self._machine.read()
        wanted = entities_of(self._prefix, reading, self._reading)
        self._reading = reading
        self._publish(difference(self.world, wanted), wanted)

    def clear(self) -> None:
        """Delete all entities."""
        self._client.delete_many(prefix=self._prefix)
        self.world = {}

    def _publish(self, change: Difference, wanted: dict[str, Properties]) -> None:
        """Publish a difference; what fails stays different, so it comes again with the next one."""
        from flux_actors.client.http import new_event
        from flux_actors.domain.event import DELETED

        updates = change.changed | {entity_id: {DELETED: True} for entity_id in change.gone}
        if not updates:
            return
        events = [
            new_event(entity_id, properties, source="flux-demo", stream="demo")
            for entity_id, properties in updates.items()
        ]
        answer = self._client.publish_batch(events)
        errors = {
            entity_id: result.error
            for entity_id, result in zip(updates, answer.results, strict=False)
            if result.error
        }
        for entity_id in updates.keys() - errors.keys():
            if entity_id in wanted:
                self.world[entity_id] = wanted[entity_id]
            else:
                del self.world[entity_id]
        if errors:
            raise Refused(
                f"{len(errors)} of {len(events)} events were refused: {next(iter(errors.values()))}"
            )


def _run(show: Demo, every_s: float, stop: threading.Event) -> None:
    """Publish again and again until `stop` is set; trouble is told once and outlasted."""
    trouble = None
    due = time.monotonic() + every_s
    while not stop.wait(max(0.0, due - time.monotonic())):
        due = max(due + every_s, time.monotonic())
        try:
            show.tick()
            trouble = None
        except FluxError as error:
            if error.message != trouble:
                warn(f"flux: {error.message}; trying again")
            trouble = error.message


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or SIGTERM sets; the second one ends the process as ever."""
    stop = threading.Event()
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def set_stop(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, set_stop) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _name(text: str) -> str:
    """Return a machine's name as one part of an entity id."""
    return re.sub(r"[^\w.-]+", "-", text) or "machine"
