"""Tenancy: what a namespace may do, and how much of it.

May import: `domain`. Must never: see an event, or decide by anything but the values it is given.
"""
