"""A building that looks after itself: 10,000 sensors, thermostats that switch fans, alarms that ask around.

    python examples/building.py
    python examples/building.py --floors 10 --rooms 20 --fires 2 --faulty 3

Each room has a sensor (`building/floor-03/room-17/sensor`), whose behaviour is `Thermostat`: when the room
gets warm, it switches the fan on; when it gets hot, it rouses the room's alarm. `Alarm` believes no sensor
alone: it asks those next door, looks again after a while, and is raised only if one of them feels the heat
too. So a fire raises it, and a broken sensor does not.

The program publishes what the sensors measure and looks on. All that happens then is done by the behaviours,
inside Flux; they stay deployed when it has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterable
from typing import Any, Final

import flux_actors as flux
from flux_actors.errors import FluxError

WARM, HOT = 26.0, 60.0  # degrees Celsius: the fan goes on above the one, the alarm is roused above the other
FELT = 40.0  # next door to a fire it is at least so warm
LOOKS: Final = 3  # of an alarm, before it believes that the sensor is broken
Readings = dict[str, float]  # by room


class Thermostat(flux.Behaviour):
    """Of a sensor: switches the fan of its room, and rouses the alarm."""

    def on_change(self, entity: Any, change: Any) -> None:
        """Act when the temperature has passed a bound."""
        now, before = change.properties.get("celsius"), change.previous.get("celsius", 0)
        if now is None:
            return
        room = room_of(entity.id)
        if (now > WARM) != (before > WARM):
            entity.emit(f"{room}/fan", {"on": now > WARM})
        if now > HOT >= before:
            entity.emit(f"{room}/alarm", {"felt": now})
        elif before > HOT >= now:
            entity.emit(f"{room}/alarm", dict.fromkeys(("felt", "raised", "looks")))

    def on_ask(self, entity: Any, message: Any) -> Any:  # noqa: ARG002 - there is but one question
        """Tell how warm it is."""
        return entity.state.get("celsius")


class Alarm(flux.Behaviour):
    """Of a room: asks next door before it is raised."""

    async def on_change(self, entity: Any, change: Any) -> None:
        """Look when the sensor has felt heat."""
        if change.properties.get("felt") is not None:
            await self.look(entity, 1)

    async def on_reminder(self, entity: Any, name: str) -> None:
        """Look again."""
        await self.look(entity, int(name.removeprefix("look ")))

    async def look(self, entity: Any, times: int) -> None:
        """Decide by what those next door answer."""
        if entity.state.get("felt") is None:
            return  # it has cooled down since
        rooms = next_door(room_of(entity.id))
        answers = await asyncio.gather(  # others may be before it by the thousand
            *(entity.ask(f"{room}/sensor", "how warm?", deadline_s=30) for room in rooms)
        )
        if any(celsius is not None and celsius > FELT for celsius in answers):
            entity.set(raised=True, looks=times)
        elif times < LOOKS:
            entity.remind(f"look {times + 1}", after_s=0.5)
        else:
            entity.set(raised=False, looks=times)


def room_of(entity_id: str) -> str:
    """Return the room that something is in."""
    return entity_id.rpartition("/")[0]


def next_door(room: str) -> list[str]:
    """Return the rooms beside a room; the first has another one before it that has no sensor, as outside."""
    floor, _, number = room.rpartition("-")
    return [f"{floor}-{int(number) + step:02}" for step in (-1, 1) if int(number) + step >= 0]


def all_rooms(namespace: str, floors: int, rooms: int) -> list[str]:
    """Return the rooms of a building."""
    return [
        f"{namespace}/floor-{floor:02}/room-{room:02}" for floor in range(floors) for room in range(rooms)
    ]


class Day:
    """What the sensors measure: a morning that is warm in some rooms, a noon that is in others, and fires.

    Arguments:
        rooms: of the building.
        fires: each of them heats three rooms side by side.
        faulty: so many sensors say that it is hot where it is not.
    """

    def __init__(self, rooms: list[str], fires: int, faulty: int, chance: random.Random) -> None:
        self.morning = {room: _mild_or_warm(chance) for room in rooms}
        self.noon = {room: _mild_or_warm(chance) for room in rooms}
        self.burning: set[str] = set()
        self.faulty: set[str] = set()
        inner = [room for room in rooms if set(next_door(room)) <= self.noon.keys()]
        free = [room for room in inner if len(next_door(room)) > 1]
        chance.shuffle(free)
        taken: set[str] = set()
        for room in free:
            around = {room, *next_door(room)}
            wider = around.union(*map(next_door, around))
            if taken & wider or len(self.burning) + len(self.faulty) == 3 * fires + faulty:
                continue
            taken |= wider
            if len(self.burning) < 3 * fires:
                self.burning |= around
            else:
                self.faulty.add(room)
        self.noon |= {room: round(chance.uniform(65, 90), 1) for room in sorted(self.burning | self.faulty)}

    @property
    def fans(self) -> set[str]:
        """The rooms whose fans must run at the end."""
        return {room for room, celsius in self.noon.items() if celsius > WARM}

    @property
    def alarms(self) -> dict[str, bool]:
        """Of each alarm that was roused, whether it must be raised in the end."""
        return dict.fromkeys(self.burning, True) | dict.fromkeys(self.faulty, False)


def _mild_or_warm(chance: random.Random) -> float:
    return round(chance.uniform(18, 24) if chance.random() < 0.8 else chance.uniform(27, 34), 1)


def publish(fx: flux.Flux, readings: Readings) -> float:
    """Publish what all sensors measure; return in how many seconds it was durable."""
    began = time.monotonic()
    fx.publish_many((f"{room}/sensor", {"celsius": celsius}) for room, celsius in readings.items())
    return time.monotonic() - began


def fans_on(entities: Iterable[tuple[str, dict[str, Any]]]) -> set[str]:
    """Return the rooms whose fans run."""
    return {room_of(one) for one, properties in entities if one.endswith("/fan") and properties.get("on")}


def decided(entities: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, bool]:
    """Return, of each alarm that has decided, whether it is raised."""
    alarms = ((one, properties.get("raised")) for one, properties in entities if one.endswith("/alarm"))
    return {room_of(one): raised for one, raised in alarms if raised is not None}


def wait_for(live: flux.Live, fans: set[str], alarms: dict[str, bool], timeout_s: float) -> bool:
    """Return whether fans and alarms have become what they must be."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        now = live.snapshot().items()
        if fans_on(now) == fans and decided(now) == alarms:
            return True
        time.sleep(0.1)
    return False


def deploy(namespace: str) -> None:
    """Have the entities of a namespace act."""
    Thermostat.match = f"{namespace}/*/*/sensor"
    Alarm.match = f"{namespace}/*/*/alarm"
    for behaviour in (Thermostat, Alarm):
        version = flux.deploy(behaviour)
        print(f"deployed {behaviour.__name__}, version {version.number}, for {behaviour.match}")


def live_through(fx: flux.Flux, day: Day, namespace: str, timeout_s: float) -> bool:
    """Publish a day and tell what comes of it; return whether that is right."""
    morning = {room for room, celsius in day.morning.items() if celsius > WARM}
    with fx.live(f"{namespace}/") as live:
        for name, readings, fans, alarms in (
            ("morning", day.morning, morning, {}),
            ("noon", day.noon, day.fans, day.alarms),
        ):
            began = time.monotonic()
            took = publish(fx, readings)
            print(f"{name}: {len(readings)} readings are durable after {took:.2f} s")
            if not wait_for(live, fans, alarms, timeout_s):
                tell_difference(live.snapshot(), fans, alarms)
                return False
            after = time.monotonic() - began
            print(
                f"{name}: {len(fans)} fans run, {sum(alarms.values())} alarms are raised after {after:.1f} s"
            )
    print(
        f"right: the fans of all warm rooms run and no other; {len(day.faulty)} broken sensors fooled nobody"
    )
    return True


def tell_difference(now: dict[str, dict[str, Any]], fans: set[str], alarms: dict[str, bool]) -> None:
    """Say what is not as it must be."""
    running, raised = fans_on(now.items()), decided(now.items())
    print(
        f"wrong: fans that should run: {sorted(fans - running)[:5]}; should not: {sorted(running - fans)[:5]}"
    )
    print(f"wrong: alarms {sorted(alarms.items() ^ raised.items())[:5]}")


def main() -> int:
    """Run a building for a day."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--namespace", default="building", help="of its entities (%(default)s)")
    parser.add_argument("--floors", type=int, default=100, help="%(default)s")
    parser.add_argument("--rooms", type=int, default=100, help="of each floor (%(default)s)")
    parser.add_argument("--fires", type=int, default=20, help="each in three rooms (%(default)s)")
    parser.add_argument("--faulty", type=int, default=20, help="sensors that are broken (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of what is made up (%(default)s)")
    parser.add_argument("--timeout-s", type=float, default=60, help="for all to react (%(default)s)")
    given = parser.parse_args()
    rooms = all_rooms(given.namespace, given.floors, given.rooms)
    day = Day(rooms, given.fires, given.faulty, random.Random(given.seed))
    print(f"{len(rooms)} rooms; {len(day.burning)} will burn, {len(day.faulty)} sensors are broken")
    try:
        deploy(given.namespace)
        return (
            0 if live_through(flux.connect(source="building"), day, given.namespace, given.timeout_s) else 1
        )
    except FluxError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
