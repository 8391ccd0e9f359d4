"""Backups: what a log is, as files in a place, and the way back.

A backup is the blocks of every partition, some snapshots, the key-value stores and the code of behaviours,
named in one manifest with their checksums. May import: `router` (for the names of stores), `behaviour`,
`log`, `snapshot`, `places`, `domain`. Must never: write the log that it backs up, or restore over one that
is there.
"""
