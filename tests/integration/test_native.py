"""Flux from Ray code on the real engine: in drivers, tasks and actors, and while parts of it are killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import httpx
import psutil
import pytest

from flux_cluster.ray_head import ray_environment
from tests.conftest import RunningFlux, clean_environment

pytestmark = pytest.mark.real
_TIMEOUT_S = 110.0


def run(flux: RunningFlux, code: str, *arguments: str, **environment: str) -> str:
    """Run Python code as somebody's driver that has not joined the cluster yet, and return what it prints."""
    driver = begin(flux, code, *arguments, **environment)
    out, err = driver.communicate(timeout=_TIMEOUT_S)
    assert driver.returncode == 0, err
    return out


def begin(flux: RunningFlux, code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Begin to do so."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=clean_environment()
        | ray_environment(flux.data.absolute() / "ray-token")
        | {"RAY_ADDRESS": flux.run.ray_address}
        | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_driver_joins_publishes_reads_watches_and_claims(flux, api, namespace):
    out = run(
        flux,
        """
        import sys
        import flux_actors as flux

        lamp = f"{sys.argv[1]}/lamp"
        with flux.connect(source="a-driver") as fx:
            receipt = fx.publish(lamp, {"on": True})
            assert fx.entity(lamp).state() == {"on": True}
            with fx.entity(lamp).watch() as states:
                assert next(states).properties == {"on": True}
                fx.publish(lamp, {"on": False})
                assert next(states).properties == {"on": False}
            with fx.live(f"{sys.argv[1]}/") as lamps:
                assert lamps.snapshot() == {lamp: {"on": False}}
                later = fx.publish(lamp, {"level": 3})
                assert lamps.wait(later.position)[lamp] == {"on": False, "level": 3}
            with fx.entity(lamp).claim(holder="driver", ttl_s=5) as claimed:
                assert not claimed.lost
                try:
                    with fx.entity(lamp).claim():
                        raise SystemExit("two have it")
                except flux.AlreadyClaimed as error:
                    assert error.holder == "driver"
            print(receipt.position)
        """,
        namespace,
    )
    answer = api.get(f"/api/state/entities/{namespace}/lamp")
    assert answer.json()["properties"] == {"on": False, "level": 3, "claim": None}
    assert out.strip().count(".") == 2
    event = api.get("/api/events", params={"entity": f"{namespace}/lamp"}).json()[-1]
    assert event["source"] == "a-driver"


def test_tasks_and_actors_use_it_and_handles_travel(flux, api, namespace):
    run(
        flux,
        """
        import sys
        import ray
        import flux_actors as flux

        ray.init(log_to_driver=False)
        space = sys.argv[1]
        fx = flux.connect()

        @ray.remote(num_cpus=0)
        def count(number):
            mine = flux.connect()
            mine.publish(f"{space}/task-{number}", {"n": number})
            return mine.entity(f"{space}/task-{number}").state()["n"]

        @ray.remote(num_cpus=0)
        def read(handle):
            return handle.state()  # it sees what was written before it was sent

        @ray.remote(num_cpus=0)
        class Keeper:
            async def keep(self, sent):
                mine = await flux.connect_async()
                await mine.publish(f"{space}/kept", {"by": "an actor"})
                async with mine.entity(f"{space}/kept").watch() as states:
                    async for state in states:
                        seen = state.properties
                        break
                async with mine.entity(f"{space}/kept").claim() as claimed:
                    assert not claimed.lost
                live = await mine.live(f"{space}/task-")
                return seen, sorted(live), await sent.aio.entity(f"{space}/kept").state()

        assert ray.get([count.remote(number) for number in range(3)]) == [0, 1, 2]
        handle = fx.entity(f"{space}/sent")
        for number in range(5):
            fx.publish(handle.id, {"n": number})
            assert ray.get(read.remote(handle)) == {"n": number}
        seen, live, state = ray.get(Keeper.remote().keep.remote(fx))
        assert seen == {"by": "an actor"}
        assert live == [f"{space}/task-{number}" for number in range(3)]
        assert state["by"] == "an actor"
        """,
        namespace,
    )
    listed = api.get("/api/state/entities", params={"prefix": f"{namespace}/task-"}).json()
    assert len(listed) == 3


def test_many_events_go_in_blocks(flux, api, namespace):
    """Some 280,000 a second on an idle machine (docs/ray.md): here beside single ones of the same minute."""
    out = run(
        flux,
        """
        import sys, time
        import flux_actors as flux

        fx, space = flux.connect(), sys.argv[1]
        pairs = [(f"{space}/s{n % 20_000}", {"n": n, "at": "roof", "celsius": n / 7}) for n in range(200_000)]
        fx.publish_many(pairs[:10_000])
        single = many = 0.0
        for _ in range(3):  # others may have taken the cores during one of them
            began = time.monotonic()
            for pair in pairs[:200]:
                fx.publish(*pair)
            single = max(single, 200 / (time.monotonic() - began))
            began = time.monotonic()
            receipts = fx.publish_many(pairs)
            many = max(many, len(pairs) / (time.monotonic() - began))
        print(many / single)
        assert len(set(receipts.event_ids)) == len(pairs)
        assert fx.entity(f"{space}/s19999").state()["n"] == 199_999
        """,
        namespace,
    )
    assert float(out) > 30
    assert api.get(f"/api/state/entities/{namespace}/s0").json()["properties"]["n"] == 180_000


@pytest.mark.timeout(240)  # it has a Flux of its own, and waits for a token to end
def test_with_tokens_on_each_process_does_what_its_token_is_good_for(make_flux):
    tokens_on = {"FLUX_AUTH_ENABLED": "true", "FLUX_ADMIN_TOKEN": "the-admins-own-token"}
    flux = make_flux([], tokens_on)
    flux.start()
    admin = {"Authorization": "Bearer the-admins-own-token"}
    with httpx.Client(base_url=flux.url, headers=admin, timeout=10) as client:
        made = [
            client.post("/api/namespaces", json={"name": name, "visibility": "private"}).json()
            for name in ("vault", "other")
        ]
        vault, other = (one["token"] for one in made)
        driver = begin(
            flux,
            """
            import os, sys
            import flux_actors as flux

            def status(call):
                try:
                    call()
                except flux.Refused as refused:
                    return refused.status

            vault, other = os.environ["VAULT"], os.environ["OTHER"]
            for token in (None, "the-admins-own-token", vault[:-1] + "x"):
                assert status(lambda: flux.connect(token=token)) == 401, token
            assert status(lambda: flux.connect(token=vault, namespace="other")) == 403
            mine, theirs = flux.connect(token=vault), flux.connect(token=other)
            mine.publish("vault/x", {"n": 1})
            assert mine.entity("vault/x").state() == {"n": 1}
            assert theirs.entity("vault/x").state() is None
            assert status(lambda: theirs.publish("vault/x", {"n": 2})) == 403
            assert status(lambda: theirs.live("vault/")) == 404
            assert vault not in repr([mine, mine.aio, mine.entity("vault/x")])
            live = mine.live("vault/")
            print("revoke", flush=True)
            sys.stdin.readline()
            import time
            began = time.monotonic()
            while status(lambda: mine.publish("vault/x", {"n": 3})) is None:
                assert time.monotonic() - began < 11
                time.sleep(0.05)
            assert status(lambda: mine.publish("vault/x", {"n": 3})) == 401
            while status(lambda: len(live)) is None:
                assert time.monotonic() - began < 16
                time.sleep(0.05)
            """,
            VAULT=vault,
            OTHER=other,
        )
        assert driver.stdout is not None
        assert driver.stdout.readline().strip() == "revoke"
        client.post("/api/namespaces/vault/tokens", json={"rotate": True}).raise_for_status()
        _, err = driver.communicate("\n", timeout=_TIMEOUT_S)
    assert driver.returncode == 0, err
    logged = "".join(file.read_text(errors="replace") for file in flux.data.rglob("*.log"))
    assert vault not in logged + flux.output.read_text()


@pytest.mark.chaos
@pytest.mark.parametrize("victim", ["ray::ShardProcess", "nats-server"])
def test_nothing_acknowledged_is_missing_when_a_part_is_killed_meanwhile(restartable_flux, namespace, victim):
    driver = begin(
        restartable_flux,
        """
        import sys
        import time
        import flux_actors as flux
        from flux_actors.errors import Unavailable

        fx, space = flux.connect(), sys.argv[1]
        print("begun", flush=True)
        for number in range(40):
            pairs = [(f"{space}/e{number}-{n % 500}", {"n": n}) for n in range(10_000)]
            ids = None
            while pairs:
                try:
                    fx.publish_many(pairs, event_ids=ids)
                    break
                except flux.NotAllDurable as error:
                    pairs, ids = [pairs[n] for n in error.indexes], error.event_ids
            print(number, flush=True)
        told = {f"{space}/e{number}-{n}": {"n": 9_500 + n} for number in range(40) for n in range(500)}
        until = time.monotonic() + 60
        while True:  # the shard that was killed may still be catching up
            try:
                there = fx.states(told)
                break
            except Unavailable:
                assert time.monotonic() < until
        missing = [one for one, properties in told.items() if there[one] != properties]
        assert not missing, (len(missing), missing[0], there[missing[0]])
        """,
        namespace,
    )
    assert driver.stdout is not None
    while driver.stdout.readline().strip() not in {"5", ""}:
        continue
    psutil.Process(restartable_flux.pid_of(victim)).kill()
    _, err = driver.communicate(timeout=_TIMEOUT_S)
    assert driver.returncode == 0, err
