"""Snapshots and what they are for: the pause while one is made, the restart with one, the replay without."""

from __future__ import annotations

import hashlib
import time
from typing import Final

from flux_actors.errors import Corrupt, Unavailable
from flux_bench.cases.case import Case, Stage
from flux_bench.generating import Generator
from flux_bench.generator.jobs import Pace, Seen
from flux_bench.lab import Lab, compare
from flux_bench.outcome import Measured, Row
from flux_bench.targets import Baseline, at_most, times

_KEPT: Final = "snapshot.kept"
_RECOVERED: Final = "partition.recovered"
_LOAD_S: Final = 2.0  # of one round of load while a snapshot is waited for
_PROBE_PAUSE_S: Final = 0.001
_ETAGS: Final = 50


def snapshot_pause(lab: Lab) -> Measured:
    """Publish until a snapshot was made meanwhile; see how long nothing became visible."""
    flux, large = lab.mine, lab.large
    before = len(flux.told(_KEPT))
    deadline = time.monotonic() + lab.scale.snapshot_s
    gap_ms, probes = 0.0, 0
    with Generator() as prober:
        while True:
            probes, longest_ms = _load(lab, prober, probes)
            gap_ms = max(gap_ms, longest_ms)
            kept = flux.told(_KEPT)[before:]
            if kept or time.monotonic() > deadline:
                break
    compare(large.expected, lab.server.sequences(large.namespace), "the state")
    values = {"gap": gap_ms}
    told_ms = [float(facts["pause_ms_max"]) for facts in kept if "pause_ms_max" in facts]
    if told_ms:
        values["pause"] = max(told_ms)
    note = f"{len(kept)} made under load" if kept else "none was made meanwhile: the figure is the load's own"
    return Measured(values, note=note)


def _load(lab: Lab, prober: Generator, probes: int) -> tuple[int, float]:
    """Publish for a while and probe beside it; return the probes so far and their longest way."""
    large = lab.large
    seconds = min(_LOAD_S, lab.scale.snapshot_s)
    before = lab.server.level()
    lab.generator.begin(large.job(lab, Pace(seconds)))
    entity = f"{large.namespace}-probe/probe"
    prober.begin(Seen(lab.place, entity, 1_000_000, _PROBE_PAUSE_S, probes, seconds))
    loaded, probed = lab.generator.end(), prober.end()
    lab.server.settle(before, large.take(loaded) + probed.counts[0])
    if probed.latencies is None:
        raise Unavailable("no probe was seen while the load ran")
    return probes + probed.counts[0], probed.latencies.max_ms


def restart(lab: Lab) -> Measured:
    """Stop and start with the large state in a snapshot."""
    flux, large = lab.mine, lab.large
    before = _fingerprint(lab)
    flux.stop()
    seconds = flux.start()
    own_s = max((float(facts["seconds"]) for facts in flux.told(_RECOVERED)), default=-1.0)
    if own_s < 0:
        raise Unavailable("no shard told of a recovery")
    compare(large.expected, lab.server.sequences(large.namespace), "the state after the restart")
    if _fingerprint(lab) != before:
        raise Corrupt("an entity's content or ETag is not what it was before the restart")
    return Measured({"own": own_s, "up": seconds}, note=f"{large.entities:,} entities")


def replay(lab: Lab) -> Measured:
    """Stop, take the snapshots away, and start: the shard folds its whole log."""
    flux, large = lab.mine, lab.large
    before = _fingerprint(lab)
    flux.stop()
    flux.forget_snapshots()
    flux.start()
    facts = max(flux.told(_RECOVERED), key=lambda one: int(one["sequence"]), default=None)
    if facts is None or int(facts["snapshot"]):
        raise Unavailable("no shard told of a recovery without a snapshot")
    if _fingerprint(lab) != before:
        raise Corrupt("an entity's content or ETag is not what it was before the replay")
    events = _events_of(lab, int(facts["partition"]))
    note = f"{events:,} events in {float(facts['seconds']):.2f} s, {large.entities:,} entities"
    return Measured({"rate": events / float(facts["seconds"])}, note=note)


def _events_of(lab: Lab, partition: int) -> int:
    status = lab.server.expect("GET", "/api/status").json()
    return next(int(part["events"]) for part in status["partitions"] if part["partition"] == partition)


def _fingerprint(lab: Lab) -> str:
    """Return a hash of the large state as it reads, and of some ETags."""
    answer = lab.server.expect("GET", f"/api/state/entities?namespace={lab.large.namespace}")
    found = hashlib.sha256(answer.content)
    ids = list(lab.large.expected)
    found.update(repr(lab.server.etags(ids[:: max(1, len(ids) // _ETAGS)])).encode())
    return found.hexdigest()


CASES: Final = (
    Case(
        "snapshot-pause",
        (
            Row("pause", "pause for a snapshot under load, as the shard tells", "ms", at_most(20, "ms")),
            Row("gap", "… longest publish → visible meanwhile", "ms", less_is_better=True),
        ),
        snapshot_pause,
        Stage.LARGE,
        own=True,
        times_max=1,
    ),
    Case(
        "restart",
        (
            Row("own", "restart with the large state: the shard's own part", "s", at_most(2, "s")),
            Row("up", "… flux up → first 200", "s", at_most(12, "s")),
        ),
        restart,
        Stage.LARGE,
        own=True,
    ),
    Case(
        "replay",
        (Row("rate", "replay of the log, one shard", "events/s", times(0.5, Baseline.B2)),),
        replay,
        Stage.LARGE,
        own=True,
    ),
)
