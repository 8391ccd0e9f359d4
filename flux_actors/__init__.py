"""Flux Actors: a persistent, shared world state for agents, on Ray.

The engine. `domain` decides (pure), `log` remembers, `snapshot` shortens recovery, `shard` hosts the
entity actors, `router` places them, `client` and `cli` are for users. The HTTP surface is `flux_api`,
starting and stopping is `flux_cluster`. Only the log changes state: state = fold(log).
"""

__version__ = "0.1.0"
