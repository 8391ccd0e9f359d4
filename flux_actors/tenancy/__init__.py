"""Tenancy: who a client is, and what it may do.

Namespaces belong to whoever holds their tokens. This package keeps their records (`Registry`), makes and
checks tokens, and answers every question of permission in one function, `authorise`. It may import the
domain; it must never read a clock, a request or the network: what it needs is handed to it.
"""
