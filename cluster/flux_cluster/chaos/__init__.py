"""Faults for real: a Flux of several nodes, what is done to it, and the checks of what comes of that.

May import all of Flux but its command line; nothing of Flux imports it but `flux chaos`. Must never touch a
process, a folder or a port that it did not make.
"""
