"""A client's end of a connection, without a socket."""

from __future__ import annotations

import asyncio


class FakeTransport(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.ended = False
        self.aborted = False
        self.protocol = None
        self._closing = False

    def write(self, data):
        assert not self.ended
        self.written += data

    def write_eof(self):
        self.ended = True

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
