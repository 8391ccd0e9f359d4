"""Faults, injected for real: a Flux on three Ray nodes and three nats-servers, broken on purpose and checked.

A scenario file says which load runs (`workload`), what goes wrong meanwhile (`fault`) and what must hold
(`check`); its seed decides the rest. It may use everything below it, and what it starts is a world of its
own: it never touches a Flux that runs. What it does to its world is done to processes, files and sockets,
never inside of Flux, which does not know that it is tried.
"""
