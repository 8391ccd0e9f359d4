"""The parts of batch jobs: what `history` and `sink` are made of.

Spans of the log between boundaries, read block by block, and as rows of what the reader may see; and rows as
events. Only `rows` and `outgoing` need pyarrow. Must never know Ray.
"""
