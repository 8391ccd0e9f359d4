"""The cases: one file per family, each measuring some rows of the table through the `Lab`.

A case returns figures that it has verified, or raises: `Corrupt` when the result is not what was
acknowledged, `Unavailable` when the server cannot do it. It never returns a figure that it doubts.
"""
