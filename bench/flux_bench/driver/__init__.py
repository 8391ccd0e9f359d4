"""A driver: a process of its own in the Ray cluster of a Flux, which does what agents' code would.

`python -m flux_bench.driver JOB '{…}'` does one job, checks its result and prints what it measured as JSON.
May import what users of Flux import, and the log, to see for itself what became of its events; must not
look into a shard.
"""
