"""Repartitioning: a log that lives, copied into its next generation, which then takes its place.

The copy is made by folding: what the log decided is carried over as decided, event by event, and what both
make of it is compared before the switch, which is one compare-and-set of the registry. May import: `router`
(for the registry), `behaviour`, `log`, `snapshot`, `domain`. Must never: change what the present log says, or
switch to a copy that says something else.
"""
