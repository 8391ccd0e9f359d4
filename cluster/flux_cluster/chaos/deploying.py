"""A short-lived Ray driver that has Serve deploy Flux, as `serve deploy` does; run as a program.

`python -m flux_cluster.chaos.deploying` reads `flux.yaml` in its working folder and joins `RAY_ADDRESS`. It
does without Serve's own proxies, which nobody asks here, and without Ray's dashboard.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import ray
from ray import serve

from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.settings_file import read_settings_file
from flux_api.deployment import APPLICATION
from flux_cluster.serving import build


def main() -> None:
    """Deploy it, and return when a door is open."""
    ray.init(
        address=os.environ["RAY_ADDRESS"],
        namespace=RAY_NAMESPACE,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    serve.start(proxy_location="Disabled")
    arguments = dict(read_settings_file(Path("flux.yaml")).values)
    serve.run(build(arguments), name=APPLICATION, route_prefix="/")


if __name__ == "__main__":
    main()
