"""The benchmark: figures beside a baseline of the same run, each with the proof that the work was done.

Law: a server is reached through its public API alone (HTTP, WebSocket), so any implementation can be
measured; only the cases that start and stop a Flux of their own look at its processes and logs. Load
comes from a process of its own (`generator/`). A figure whose result was not verified is not printed.
"""
