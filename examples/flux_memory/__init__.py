"""An agent's memory in Flux: a checkpointer of LangGraph whose checkpoints are entities.

`FluxSaver` is what a graph is compiled with; `shelf` says which entity holds what. Of Flux it uses what every
user has: publish, read, live views.
"""

from flux_memory.saver import FluxSaver

__all__ = ["FluxSaver"]
