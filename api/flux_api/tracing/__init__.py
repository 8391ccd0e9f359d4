"""The parts of a door that follow single events, in the place of their plain ones where traces are on.

They stand above all of the door but what puts it together, and only that imports them, when `OTEL_*`
variables ask for traces. They must change nothing about what is answered, stored or told.
"""
