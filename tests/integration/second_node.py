"""Another Ray node on this machine, as long as this process lives: `RAY_ADDRESS` names the cluster.

Its argument, if there is one, is a JSON object of the custom resources that it has.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from ray._private.node import Node
from ray._private.parameter import RayParams

OBJECT_STORE_BYTES = 80_000_000


def main() -> None:
    plan = RayParams(
        gcs_address=os.environ.pop("RAY_ADDRESS"),
        node_ip_address="127.0.0.1",
        num_cpus=1,
        resources=json.loads(sys.argv[1]) if len(sys.argv) > 1 else {},
        object_store_memory=OBJECT_STORE_BYTES,
        min_worker_port=0,
        max_worker_port=0,
        include_dashboard=False,
        include_log_monitor=False,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Node(plan, head=False, shutdown_at_exit=True, spawn_reaper=False)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
