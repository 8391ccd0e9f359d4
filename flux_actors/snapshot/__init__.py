"""Snapshots: a consistent cut of one partition at one sequence, so that recovery reads less log.

May import: `domain`, `errors`, `limits`, zstandard and files.
Must never: be a source of truth. A snapshot that does not verify is passed over; the log decides.
"""
