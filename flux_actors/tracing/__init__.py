"""Traces of single events, door → log → shard → watcher, for an OpenTelemetry collector.

Off unless `OTEL_*` variables ask for it; then nothing of it is even loaded. It stands under every layer and
may import errors and limits alone. What travels is W3C's `traceparent`, beside a block and beside its
changes, never in them: no state, no snapshot and no position depends on it.
"""
