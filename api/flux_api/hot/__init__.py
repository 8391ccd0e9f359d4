"""The hot way: the four busiest requests answered from the connection itself, without ASGI.

GET of one entity, POST of one event, of a batch, and reads by a list of ids cost no task, no scope and no
request object here. It is a shortcut through the transport, never a second implementation of a rule: what a
request means is decided by `incoming`, `publishing`, `view` and `answers`, the same as for FastAPI, and
whatever is not plain (a query, an unusual header, an entity that must be fetched) goes to FastAPI untouched.
"""
