"""`flux bench --scale`: what more processes carry, how long a recovery takes, and how long a move.

Law: what is measured here is measured on a Flux of its own, and verified as every case is. `model` is pure:
it makes what was measured into what other machines would carry, and never measures. `outcome` is what both
know, and what a saved run holds; tables, curves and the document are made from it alone.
"""
