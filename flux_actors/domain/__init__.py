"""The rules of Flux, as values in and values out.

May import: the standard library's pure parts, msgspec, `errors`, `limits`.
Must never: do I/O, read a clock, draw randomness, know Ray, NATS or HTTP. Everything here is
deterministic, so that a replay of the log gives the same bytes on every machine.
"""
