"""The log: blocks of events, durable before anyone is told so.

May import: `domain`, `errors`, `limits`, nats. Each port (`EventLog`, `KeyValue`, `Bus`) has its real
part on NATS and one in-memory twin that passes the same contract suite.
Must never: apply an event, know an entity's state, or know Ray and HTTP.
"""
