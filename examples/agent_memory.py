"""An agent whose memory is entities: it is killed in the middle of its work and goes on in another process.

    python examples/agent_memory.py
    python examples/agent_memory.py --rooms 10 --think-s 0.5

The agent is a graph of LangGraph: a model that decides what to do, tools that do it, round after round. Its
checkpointer is `FluxSaver` (examples/flux_memory), so each step is in Flux before the next one begins. The
model is a stub of a few lines that always decides alike, so all of this runs offline.

Its task is to find the warmest room and to write down what it has seen. It does so twice: once undisturbed,
and once in a process that is killed half-way; another process then goes on from the last checkpoint. Both
must have thought, seen and written the same. Then somebody goes back to an earlier checkpoint and tells the
agent something else. It comes to another answer, while all that it remembered before is still there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import StateSnapshot

import flux_actors as flux
from flux_actors.errors import FluxError
from flux_memory import FluxSaver

_DIES_S: Final = 60.0


class Memory(TypedDict):
    """What the agent remembers: all that was said."""

    messages: Annotated[list[AnyMessage], add_messages]


class Model:
    """Stands for a language model: looks into each room, writes down how warm it is, and at last answers.

    Arguments:
        rooms: that it has heard of.
        think_s: how long it takes to decide.
    """

    def __init__(self, rooms: Sequence[str], think_s: float) -> None:
        self._rooms = rooms
        self._think_s = think_s

    def __call__(self, state: Memory) -> dict[str, Any]:
        """Decide what comes next by what was said so far."""
        time.sleep(self._think_s)
        said = state["messages"]
        return {"messages": [self._next(len(said), _seen(said))]}

    def _next(self, step: int, seen: dict[str, float]) -> AIMessage:
        for room in self._rooms:
            if room not in seen:
                call = {"name": "look", "args": {"room": room}, "id": f"look-{room}"}
                return AIMessage(
                    f"I have to know how warm it is in {room}.", tool_calls=[call], id=f"ai-{step}"
                )
        warmest, celsius = max(seen.items(), key=itemgetter(1))
        return AIMessage(f"It is warmest in {warmest}: {celsius} degrees.", id=f"ai-{step}")


class Tools:
    """What the agent can do in the world, which is Flux."""

    def __init__(self, fx: flux.Flux, world: str, thread: str) -> None:
        self._fx = fx
        self._world = world
        self._thread = thread

    def __call__(self, state: Memory) -> dict[str, Any]:
        """Do what the model has asked for."""
        asked = state["messages"][-1]
        calls = asked.tool_calls if isinstance(asked, AIMessage) else []
        return {"messages": [self._look(call["args"]["room"], str(call["id"])) for call in calls]}

    def _look(self, room: str, call: str) -> ToolMessage:
        """Look how warm it is in a room, and write it down.

        A tool may run again after a crash. What it writes has an id made of its cause, so it counts once.
        """
        state = self._fx.entity(f"{self._world}/rooms/{room}").state() or {}
        note = {room: state["celsius"]}
        self._fx.publish(
            notes_of(self._world, self._thread), note, event_id=f"{self._world}.{self._thread}.{call}"
        )
        return ToolMessage(str(state["celsius"]), tool_call_id=call, name=room, id=call)


class Agent:
    """The agent on one of its threads.

    Arguments:
        fx: with which it remembers and acts.
        world: the namespace of the rooms and of its memory.
        thread: what it remembers under.
    """

    def __init__(self, fx: flux.Flux, world: str, thread: str, rooms: Sequence[str], think_s: float) -> None:
        self.config: RunnableConfig = {"configurable": {"thread_id": thread}, "recursion_limit": 1_000}
        builder = StateGraph(Memory)
        builder.add_node("model", Model(rooms, think_s))
        builder.add_node("tools", Tools(fx, world, thread))
        builder.add_edge(START, "model")
        builder.add_conditional_edges("model", _wants_tools, {True: "tools", False: END})
        builder.add_edge("tools", "model")
        self.graph: Any = builder.compile(checkpointer=FluxSaver(fx, f"{world}-memory"))

    def run(self) -> None:
        """Begin, or go on where the last checkpoint is."""
        begun = self.graph.get_state(self.config).created_at is not None
        task = None if begun else {"messages": [HumanMessage("Which room is the warmest?", id="task")]}
        self.graph.invoke(task, self.config, durability="sync")

    def steps(self) -> int:
        """Return how many messages it remembers."""
        return len(self.said())

    def said(self) -> list[tuple[str, Any, Any]]:
        """Return all that it remembers, as something that can be compared."""
        messages = self.graph.get_state(self.config).values.get("messages", [])
        return [(one.type, one.content, getattr(one, "tool_calls", None)) for one in messages]

    def answer(self) -> str:
        """Return what it said last."""
        said = self.said()
        return str(said[-1][1]) if said else ""

    def history(self) -> list[StateSnapshot]:
        """Return all its checkpoints, oldest first."""
        return list(self.graph.get_state_history(self.config))[::-1]


def _wants_tools(state: Memory) -> bool:
    last = state["messages"][-1]
    return isinstance(last, AIMessage) and bool(last.tool_calls)


def _seen(said: Sequence[AnyMessage]) -> dict[str, float]:
    """Return how warm it was where the agent has looked."""
    return {str(one.name): float(str(one.content)) for one in said if isinstance(one, ToolMessage)}


def notes_of(world: str, thread: str) -> str:
    """Return the entity in which the agent writes down what it sees."""
    return f"{world}/notes/{thread}"


class Story:
    """What happens: an agent that is left alone, one that is killed, and one that is sent back in time."""

    def __init__(self, fx: flux.Flux, given: argparse.Namespace) -> None:
        self._fx = fx
        self._given = given
        self.rooms = {f"room-{number:02}": 18 + number * 7 % 11 for number in range(given.rooms)}
        self.failures: list[str] = []

    def tell(self) -> bool:
        """Let it happen; return whether all was as it must be."""
        world = self._given.world
        rooms = [(f"{world}/rooms/{room}", {"celsius": celsius}) for room, celsius in self.rooms.items()]
        self._fx.publish_many(rooms)
        alone, killed = self._agent("alone"), self._agent("killed")
        self._start("alone").wait()
        print(f"left alone, it says: {alone.answer()}")
        self._kill_half_way(killed)
        print(f"killed; it remembers {killed.steps()} of {alone.steps()} messages, in {world}-memory")
        self._check("the killed agent had not ended", killed.steps() < alone.steps())
        self._start("killed").wait()
        print(f"another process went on from there, and says: {killed.answer()}")
        self._check("both remember the same", alone.said() == killed.said())
        self._check(
            "both have written down the same", self._notes("alone") == self._notes("killed") == self.rooms
        )
        self._go_back(killed)
        return not self.failures

    def _go_back(self, agent: Agent) -> None:
        """Have an agent see something else at an earlier moment, and go on from there."""
        before, remembered, room = agent.answer(), len(agent.history()), next(iter(self.rooms))
        moment = next(one for one in agent.history() if room in _seen(one.values.get("messages", [])))
        again = agent.graph.invoke(None, moment.config, durability="sync")["messages"][-1].content
        self._check("from an earlier checkpoint it comes to the same answer", again == before)
        other = ToolMessage("40", tool_call_id=f"look-{room}", name=room, id=f"look-{room}")
        fork = agent.graph.update_state(moment.config, {"messages": [other]}, as_node="tools")
        answer = agent.graph.invoke(None, fork, durability="sync")["messages"][-1].content
        print(f"sent back to the first room, and told that it is 40 degrees there, it says: {answer}")
        believed = answer == f"It is warmest in {room}: 40.0 degrees."
        self._check("it takes what it was told into account", believed)
        self._check("what was before is still there", len(agent.history()) > remembered)
        self._check("no checkpoint has changed", agent.graph.get_state(moment.config).values == moment.values)

    def _kill_half_way(self, agent: Agent) -> None:
        """Start an agent's process and kill it when it has done half of its work."""
        process = self._start("killed")
        deadline = time.monotonic() + _DIES_S
        while agent.steps() < len(self.rooms) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()

    def _start(self, thread: str) -> subprocess.Popen[bytes]:
        """Start the process of an agent."""
        given = self._given
        options = ["--world", given.world, "--rooms", str(given.rooms), "--think-s", str(given.think_s)]
        command = [sys.executable, str(Path(__file__)), *options, "--run", thread]
        return subprocess.Popen(command)

    def _agent(self, thread: str) -> Agent:
        return Agent(self._fx, self._given.world, thread, list(self.rooms), self._given.think_s)

    def _notes(self, thread: str) -> dict[str, Any] | None:
        return self._fx.entity(notes_of(self._given.world, thread)).state()

    def _check(self, what: str, holds: bool) -> None:  # noqa: FBT001 - what is checked
        print(f"  {'right' if holds else 'WRONG'}: {what}")
        if not holds:
            self.failures.append(what)


def main() -> int:
    """Tell the story; with `--run` be the agent in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--world", default=f"agent-{int(time.time())}", help="a namespace (%(default)s)")
    parser.add_argument("--rooms", type=int, default=8, help="that the agent looks into (%(default)s)")
    parser.add_argument("--think-s", type=float, default=0.1, help="of the model, for a step (%(default)s)")
    parser.add_argument("--run", metavar="THREAD", help="be the agent, on this thread of its memory")
    given = parser.parse_args()
    try:
        fx = flux.connect(source="agent")
        story = Story(fx, given)
        if given.run:
            Agent(fx, given.world, given.run, list(story.rooms), given.think_s).run()
            return 0
        return 0 if story.tell() else 1
    except FluxError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
