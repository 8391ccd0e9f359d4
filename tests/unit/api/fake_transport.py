"""A client's end of a connection, without a socket."""

from __future__ import annotations

import asyncio


class FakeTransport(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.ended = False
        self.halves = True  # whether one direction can be closed, as TLS cannot
        self.waiting_bytes = 0  # that the client has not taken
        self.aborted = False
        self.protocol = None
        self._closing = False

    def write(self, data):
        assert not self.ended
        self.written += data

    def can_write_eof(self):
        return self.halves

    def write_eof(self):
        assert self.halves
        self.ended = True

    def get_write_buffer_size(self):
        return self.waiting_bytes

    def close(self):
        self._closing = True

    def abort(self):
        self.aborted = self._closing = True

    def is_closing(self):
        return self._closing

    def pause_reading(self):
        """Nothing comes in by itself."""

    def resume_reading(self):
        """Nothing comes in by itself."""

    def set_protocol(self, protocol):
        self.protocol = protocol
