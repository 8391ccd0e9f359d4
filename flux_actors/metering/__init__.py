"""What Flux measures of itself: every metric's name, what counts, and the text that Prometheus reads.

It stands under every layer and may import errors and limits alone. What counts on the way of an event is a
plain integer of whoever does the work; everything else is looked at when somebody asks. No label ever holds
an entity, a namespace or a token: what can be in one is bounded by the code or by the number of partitions
and processes.
"""
