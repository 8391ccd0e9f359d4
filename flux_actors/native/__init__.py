"""Flux from Ray code, without HTTP: publish, read, ask, watch and claim in any task, actor or driver.

What is published goes straight to the log, through the same committer as a door's; what is asked goes to the
shard of its partition. The router lends the way there to whoever shows what it may do. May import everything
below the clients; must never change an entity but through the log.
"""
