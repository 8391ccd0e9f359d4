"""The process of reducers: what it survives, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from flux_actors.behaviour.reducing import Patience, ReducerProcess
from flux_actors.behaviour.reducing_wire import Place, ReduceBounds
from flux_actors.domain.acting.reducers import Reduced
from flux_actors.errors import Unavailable
from tests.conftest import wait_for
from tests.unit.behaviour.reducers import Counter, Rogue, packed, run_of

WAIT_S = 20.0
HARD = ReduceBounds(
    cpu_s=0.4, cpu_hard_s=0.8, load_cpu_s=5.0, sleep_s=0.3, memory_bytes=300 << 20, look_s=0.02
)
DIGEST, CODE = packed(Rogue)


@pytest.fixture
def reducers() -> Iterator[ReducerProcess]:
    found = ReducerProcess(HARD)
    found.load(DIGEST, CODE)
    yield found
    found.close()


def pid_in(reducers: ReducerProcess) -> int:
    ((reduced,),) = reducers.reduce([run_of(DIGEST, {"do": "pid"})])
    assert reduced.state is not None
    return int(reduced.state["pid"])


def test_child_is_started_when_it_is_needed(reducers: ReducerProcess) -> None:
    assert reducers.pid is None
    assert pid_in(reducers) == reducers.pid
    assert pid_in(reducers) == reducers.pid


def test_another_thread_sees_for_how_long_reducers_have_kept_the_fold() -> None:
    reducers = ReducerProcess(ReduceBounds(cpu_s=1, cpu_hard_s=2))
    reducers.load(DIGEST, CODE)
    pid_in(reducers)
    assert reducers.busy_s == 0.0
    with ThreadPoolExecutor(1) as pool:
        looping = pool.submit(reducers.reduce, [run_of(DIGEST, {"do": "loop"})])
        wait_for(lambda: reducers.busy_s > 0.1, WAIT_S, "the call to last")
        looping.result()
    assert reducers.busy_s == 0.0
    reducers.close()


def test_child_is_gone_after_close(reducers: ReducerProcess) -> None:
    pid = pid_in(reducers)
    reducers.close()
    assert not psutil.pid_exists(pid)
    assert reducers.pid is None


def test_child_is_light(reducers: ReducerProcess) -> None:
    pid = pid_in(reducers)
    assert psutil.Process(pid).memory_info().rss < 60 << 20
    assert "/ray/" not in "".join(one.path for one in psutil.Process(pid).memory_maps())


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("loop", "reduce ran for more than 0.4 s (reducers.py:"),
        ("deaf", "more than 0.8 s of processor time"),
        ("sleep", "it waited for more than 0.3 s"),
        ("hoard", "more than 314572800 bytes of memory"),
        ("die", "its process was ended by SIGKILL"),
        ("crash", "its process was ended by SIGSEGV"),
        ("exit", "it ended its process with status 5"),
    ],
)
def test_event_that_overruns_is_the_last_of_its_run_and_nobody_elses(
    reducers: ReducerProcess, what: str, text: str
) -> None:
    pid_in(reducers)  # a child that was used before
    runs = [
        run_of(DIGEST, {}, {}, entity_id="shop/before"),
        run_of(DIGEST, {}, {"do": what}, {}, entity_id="shop/rogue"),
        run_of(DIGEST, {}, {}, entity_id="shop/behind"),
    ]
    before, rogue, behind = reducers.reduce(runs)
    good = Reduced({"ok": True})
    assert before == behind == [good, good]
    assert rogue[0] == good
    assert len(rogue) == 2
    assert rogue[1].fault.startswith(text)
    assert (rogue[1].state, rogue[1].overran) == (None, True)


def test_each_of_several_rogues_is_blamed(reducers: ReducerProcess) -> None:
    runs = [run_of(DIGEST, {"do": what}, entity_id=what) for what in ("die", "loop", "exit", "")]
    assert [reduced[0].overran for reduced in reducers.reduce(runs)] == [True, True, True, False]


def test_what_others_left_behind_is_nobodys_fault(reducers: ReducerProcess) -> None:
    for _ in range(20):
        ((reduced,),) = reducers.reduce([run_of(DIGEST, {"do": "leak", "bytes": 100 << 20})])
        assert reduced.fault == ""


def test_killed_child_is_replaced(reducers: ReducerProcess) -> None:
    pid = pid_in(reducers)
    os.kill(pid, signal.SIGKILL)
    assert pid_in(reducers) != pid


def test_child_killed_at_work_is_nobodys_fault(reducers: ReducerProcess) -> None:
    digest, code = packed(Counter)
    reducers.load(digest, code)
    pid = pid_in(reducers)
    runs = [run_of(digest, *({"add": 1} for _ in range(100)), entity_id=str(n)) for n in range(500)]
    killer = threading.Timer(0.05, os.kill, (pid, signal.SIGKILL))
    killer.start()
    found = reducers.reduce(runs)
    killer.join()
    assert all(reduced[-1].state == {"sum": 100} for reduced in found)


def test_what_a_reducer_prints_is_no_answer(
    reducers: ReducerProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    assert reducers.reduce([run_of(DIGEST, {"do": "print"}, {})])[0][1].state == {"ok": True}
    reducers.close()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("loud ") == 100_000
    assert "louder" in err


def test_order_of_sets_is_the_same_in_every_child() -> None:
    digest, code = packed(Counter)
    orders = []
    for _ in range(2):
        reducers = ReducerProcess()
        reducers.load(digest, code)
        orders.append(reducers.reduce([run_of(digest, {"do": "order"})])[0][0].state)
        reducers.close()
    assert orders[0] == orders[1]


def test_callers_of_several_threads_take_turns(reducers: ReducerProcess) -> None:
    def ask(number: int) -> bool:
        runs = [run_of(DIGEST, {}, state={"number": number})] * 10
        return reducers.reduce(runs) == [[Reduced({"number": number, "ok": True})]] * 10

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(50)))


def test_child_that_cannot_be_started_is_away(
    reducers: ReducerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Unavailable, match="no process for reducers can be started"):
        reducers.reduce([run_of(DIGEST, {})])
    monkeypatch.undo()
    assert reducers.reduce([run_of(DIGEST, {})]) == [[Reduced({"ok": True})]]


PARENT = """
import os, signal, sys, threading
from flux_actors.behaviour.reducing import Patience, ReducerProcess
from flux_actors.behaviour.reducing_wire import ReduceBounds
from tests.unit.behaviour.reducers import Rogue, packed, run_of
digest, code = packed(Rogue)
reducers = ReducerProcess(ReduceBounds(cpu_s=60, cpu_hard_s=90))
reducers.load(digest, code)
reducers.reduce([run_of(digest, {})])
print(reducers.pid, flush=True)
if sys.argv[1] == "busy":
    reducers.reduce([run_of(digest, {"do": "deaf"})])
sys.stdin.read()
"""


@pytest.mark.parametrize("what", ["idle", "busy"])
def test_child_ends_with_its_parent(what: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    wait_for(lambda: not child.is_running(), WAIT_S, "the child to end")


def test_interrupt_of_the_terminal_is_for_the_parent_alone(reducers: ReducerProcess) -> None:
    pid = pid_in(reducers)
    assert os.getsid(pid) != os.getsid(0)
    os.kill(pid, signal.SIGINT)
    assert pid_in(reducers) == pid


def test_patience_counts_processor_time_at_one_place() -> None:
    patience = Patience(HARD)
    assert not patience.ended(Place(0, 0, loads=False), 1.0, 0.0, sleeps=False)
    assert not patience.ended(Place(0, 1, loads=False), 2.0, 1.0, sleeps=False)
    assert not patience.ended(Place(0, 1, loads=False), 2.75, 900.0, sleeps=False)
    assert patience.ended(Place(0, 1, loads=False), 2.85, 900.1, sleeps=False)


def test_patience_is_longer_while_code_is_loaded() -> None:
    patience = Patience(HARD)
    assert not patience.ended(Place(0, 0, loads=True), 0.0, 0.0, sleeps=False)
    assert not patience.ended(Place(0, 0, loads=True), 5.7, 5.7, sleeps=False)
    assert patience.ended(Place(0, 0, loads=True), 5.9, 5.9, sleeps=False)


def test_patience_with_one_that_wants_to_work_has_no_end() -> None:
    patience = Patience(HARD)
    for second in range(100):
        assert not patience.ended(Place(0, 0, loads=False), 0.0, float(second), sleeps=False)


def test_patience_with_one_that_sleeps_has_an_end() -> None:
    patience = Patience(HARD)
    assert not patience.ended(Place(0, 0, loads=False), 0.0, 0.0, sleeps=True)
    assert not patience.ended(Place(0, 0, loads=False), 0.0, 0.2, sleeps=False)
    assert not patience.ended(Place(0, 0, loads=False), 0.0, 0.4, sleeps=True)
    assert not patience.ended(Place(0, 0, loads=False), 0.0, 0.6, sleeps=True)
    assert patience.ended(Place(0, 0, loads=False), 0.0, 0.8, sleeps=True)
