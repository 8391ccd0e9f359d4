"""The surface: HTTP, WebSocket and the door that listens for them.

May import: everything of `flux_actors` but its `cli`. Must never: change state itself. It writes the log
through committers, reads live views and shards, and holds nothing that a restart could lose.
"""
