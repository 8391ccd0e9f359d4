"""What makes an entity act, as far as the log decides it.

That is: which behaviour an entity has, the messages that wait for it, which effects came before, and whom a
fault has stopped. All of it is part of the state of a partition: the same on every machine and after every
crash. Nothing here runs users' code but through the port `Reducers`, or knows of processes, clocks or the
network.
"""
