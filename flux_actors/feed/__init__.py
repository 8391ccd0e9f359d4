"""The feed as it is heard: every applied change once, in log order, gaps seen and repaired from the shards.

Doors follow it for their clients, processes of the cluster for themselves. May import: `shard` (what it says
and answers), `router` (who hosts what) and all below. Must never: write anything, or know who listens.
"""
