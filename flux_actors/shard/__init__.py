"""Shards: Ray actors that host the entity actors of some partitions.

A hosted partition lives in phases, one file each: recovering, running, draining. May import: `log`,
`snapshot`, `domain`. Must never write the log: shards read it, doors write it.
"""
