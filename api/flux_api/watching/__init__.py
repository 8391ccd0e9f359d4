"""Watching with options: what a socket gets beyond the plain updates that it shares with all others.

A subscription with options looks through a lens of its own, may begin with the present state or behind a
position, and may have a condition. `desk.py` is the way in, `subscription.py` one pattern of one watcher,
`bases.py` how each of them begins. Imports domain, shard's answers and the door's small parts; the hub
imports it, so it must never import hub, door or session.
"""
