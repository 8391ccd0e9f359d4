"""A small log of entities with behaviours, whose reducers are plain functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flux_actors.domain.acting.catalogue import Catalogue, Deployed, Version
from flux_actors.domain.acting.difference import difference
from flux_actors.domain.acting.reducers import Fact, Reduced, ReduceRun
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.terms import Terms
from tests.unit.domain.small_log import Log

Reducer = Callable[[dict[str, Any] | None, Fact], Reduced]
COUNTING = "counting"
ECHO = "echo"
LAST = "last"


def count(state: dict[str, Any] | None, fact: Fact) -> Reduced:
    """Count events and add up `n`; one whose `n` is no number cannot be counted."""
    n = fact.properties.get("n", 0)
    if n == "forever":
        return Reduced(None, "took too long", overran=True)
    if not isinstance(n, int):
        return Reduced(None, "n is no number")
    before = state or {}
    return Reduced({"events": (before.get("events") or 0) + 1, "sum": (before.get("sum") or 0) + n})


def keep_last(state: dict[str, Any] | None, fact: Fact) -> Reduced:
    """Keep the last `n`, and what was counted before; `{}` when there was none."""
    if "n" not in fact.properties:
        return Reduced({})
    return Reduced({"last": fact.properties["n"], "sum": (state or {}).get("sum")})


class Functions:
    """`Reducers` of plain functions; counts its calls."""

    def __init__(self, functions: dict[str, Reducer] | None = None) -> None:
        self.functions = functions or {COUNTING: count, LAST: keep_last}
        self.calls = 0

    def reduce(self, runs: Sequence[ReduceRun]) -> list[list[Reduced]]:
        self.calls += 1
        return [self._run(run) for run in runs]

    def _run(self, run: ReduceRun) -> list[Reduced]:
        answers: list[Reduced] = []
        state = run.state
        for fact in run.facts:
            answers.append(self.functions[run.digest](state, fact))
            if answers[-1].overran:
                break
            if answers[-1].state is not None:
                state = (state or {}) | difference(state, answers[-1].state)
        return answers


def version(digest: str, match: str = "a/*", handles: Sequence[str] = ("on_change",), **more: Any) -> Version:
    return Version(1, digest, [match], list(handles), **more)


def catalogue(*deployed: Deployed, revision: int = 1) -> Catalogue:
    return Catalogue(revision, list(deployed))


REDUCING = catalogue(Deployed("Counting", version(COUNTING, handles=["reduce", "on_change"])))
REACTING = catalogue(Deployed("Echo", version(ECHO, handles=["on_change", "on_reminder", "on_tell"])))


def note(terms: Terms) -> Event:
    return with_terms(Event(None, None, "note", False, "flux-behaviours", "flux.behaviours", 1), terms)


class ActingLog(Log):
    """A log whose partition has behaviours."""

    def __init__(self, behaviours: Catalogue | None = None) -> None:
        super().__init__()
        self.reducers = Functions()
        self.state.acting.reducers = self.reducers
        if behaviours is not None:
            self.deploy(behaviours)

    def deploy(self, behaviours: Catalogue) -> None:
        self.put(note(Terms(control=behaviours)))

    @property
    def waiting(self) -> list[int]:
        return list(self.state.acting.outbox.messages)

    def of(self, entity_id: str) -> dict[str, Any] | None:
        actor = self.state.entities.get(entity_id)
        return None if actor is None else actor.properties
