"""Behaviours of a small home, hosted and in a process of their own."""

from __future__ import annotations

from typing import Any

from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.change import Change
from flux_actors.domain.acting.catalogue import Dedicated, Supervision

SOON = Supervision(retries=2, backoff_s=0.001)


class Thermostat(Behaviour):
    match = "home/*/thermostat"
    supervision = SOON

    def on_change(self, entity: ActingEntity, change: Change) -> None:
        celsius = change.properties.get("celsius", 0)
        if celsius == "hot":
            raise ValueError("celsius is no number")
        if celsius > 30:
            entity.emit("hall/fan", {"on": True})
            entity.remind("check", after_s=60)

    def on_ask(self, entity: ActingEntity, message: Any) -> Any:
        if message == "fail":
            raise KeyError(message)
        return {"celsius": entity.state.get("celsius")}

    def on_tell(self, entity: ActingEntity, message: Any) -> None:
        entity.set({"told": message})


class Own(Thermostat):
    """The same in a process of its own."""

    placement = Dedicated(num_cpus=0, idle_s=0.05)


PLACEMENTS = [Thermostat, Own]
ID = "home/hall/thermostat"
