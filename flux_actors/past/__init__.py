"""The past: a partition as it was, folded again from an old enough snapshot, or from the log's beginning.

The fold is the same code that shards run, so what it says of the past is what readers saw then. May import:
`shard` (for the shape of lists), `behaviour` (for reducers), `log`, `snapshot`, `domain`; Ray in `teller`
and `ray_teller` alone. Must never: write the log or a snapshot, or run in the process of a shard or a door,
where it would hold everybody up.
"""
