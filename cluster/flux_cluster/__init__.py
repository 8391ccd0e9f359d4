"""Starting and stopping: embedded NATS, Ray, the router, the Serve application.

May import everything but the command line. Must never hold state that matters: whatever it starts can be
killed, and `flux up` on the same data folder starts again where the log ends.
"""
