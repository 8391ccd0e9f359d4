"""Benchmarks: each prints its figures with a baseline beside them, after checking what it measured.

They use the parts of Flux as Flux does, on a nats-server or a whole Flux of their own that they start
and end. `python -m bench.<name> --help` tells what one measures; `--quick` is its small run.
"""
