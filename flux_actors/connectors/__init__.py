"""Connectors: foreign APIs, polled, as entities.

They publish as a door does: through committers of their own, never around the log. They may import the layers
below (client, router, shard, log, domain) and must never be imported by them. What they know of credentials
is their own namespace's, and no text that leaves them (status, log line, error) holds one.
"""
