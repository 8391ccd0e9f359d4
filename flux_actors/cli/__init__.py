"""The command line, `flux`: thin commands over the client, and over the cluster for starting and stopping.

May import everything below it. Heavy modules (httpx, rich, Ray) are imported inside the commands that need
them, so that `flux --help` answers at once. Must never: take a token as an argument, for every user of the
machine can read the process list, or show a traceback for an error of the tree.
"""
