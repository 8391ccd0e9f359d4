"""Tenancy: who a client is, and what and how much it may do.

Namespaces belong to whoever holds their tokens. This package keeps their records (`Registry`), makes and
checks tokens, answers every question of permission in one function, `authorise`, and keeps the budgets of
rate limits (`Budgets`). It may import the domain; it must never read a clock, a request or the network: what
it needs is handed to it.
"""
