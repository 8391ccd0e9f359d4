"""Behaviours: users' code that makes entities act, and what runs it.

`behaviour` is what users write against. A shard's `Dispatcher` takes messages from the outbox of a partition
to a worker process, has the effects that come back committed, and notes in the log that the work is done.
Workers know neither the log nor other entities: values come in, values go out. May import the log and the
domain; must never change an entity's state by itself.
"""
