"""The router: which shard hosts which partition, and that it lives.

May import: `log`, `tenancy`, `domain`, Ray (in `namespace_router`, `ray_shards` and `lender` alone). Must
never: see an event of a client or be needed to serve one. Registry and topology are in the key-value store,
so it may die.
"""
