"""What a supervisor starts, as fakes that note what was done to them."""

from __future__ import annotations

import signal
from types import MappingProxyType

from flux_actors.log.connection import NatsAccess


class Stage:
    """All that a supervisor starts, as a list of what was done; a report may make something happen."""

    def __init__(self):
        self.done = []
        self.reports = []
        self.orders = []
        self.on_report = {}
        self.on_obey = {}
        self.faults = {}
        self.handlers = {}
        self.nats = self.head = None
        self.ready = True
        self.door = None  # where one is, as the launcher tells
        self.told = {}  # what the supervisor told of itself when it ended

    def report(self, text):
        self.reports.append(text)
        for start, act in self.on_report.items():
            if text.startswith(start):
                act()

    def ask_to_stop(self):
        self.handlers[signal.SIGINT](signal.SIGINT, None)

    def does(self, what):
        self.done.append(what)
        if self.faults.get(what):
            raise self.faults[what].pop()


class FakeServer:
    """nats-server or Ray's head."""

    address = "127.0.0.1:1"
    environment = MappingProxyType({"RAY": "1"})
    pid = None

    def __init__(self, stage, name, folder):
        self._stage, self._name = stage, name
        self.folder = folder
        self.lives = False
        self.access = NatsAccess("nats://127.0.0.1:2", "flux", "secret-of-nats")
        self.turns = []  # of its disk, the next one last
        self.disk = self

    def look(self):
        return self.turns.pop() if self.turns else None

    def restart(self):
        self._stage.does(f"{self._name} is started again")

    def start(self):
        self._stage.does(f"{self._name} starts")
        self.lives = True

    def begin(self):
        self._stage.does(f"{self._name} begins")

    def wait(self):
        self._stage.does(f"{self._name} is waited for")
        self.lives = True

    def stop(self):
        self._stage.does(f"{self._name} stops")

    def forget(self):
        self._stage.does(f"{self._name} is forgotten")


class FakeLauncher:
    """A launcher that does what it is told, or raises."""

    def __init__(self, stage):
        self._stage = stage

    def obey(self, orders, silence_s, report=None):
        name = type(orders).__name__.lower()
        self._stage.orders.append(orders)
        self._stage.does(name)
        self._stage.on_obey.get(name, int)()
        return self._stage.door if name == "start" else None


class FakeTelling:
    """What tells of the supervisor: it is asked once, at its end."""

    def __init__(self, stage, access, role, meter):
        assert access.url
        assert role == "supervisor"
        self._stage, self._meter = stage, meter

    def begin(self):
        return self

    def end(self):
        self._stage.told = {sample.name: sample.value for sample in self._meter()}
