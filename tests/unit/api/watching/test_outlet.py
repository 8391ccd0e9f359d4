"""Outlets: pieces in one write, as frames or as one array."""

from __future__ import annotations

import json

import pytest

from flux_api.frames import framed, texts_of
from flux_api.watching.outlet import FrameOutlet, Piece
from tests.unit.api.sockets import FakeLink

TEXTS = [b'{"a":1}', b'{"b":"%s"}' % (b"x" * 70_000), b'{"c":[]}']
PIECES = [Piece(framed(TEXTS[0]) + framed(TEXTS[1]), 0, 1), Piece(framed(TEXTS[2]))]


@pytest.mark.parametrize("batch", [True, False])
def test_pieces_go_out_in_one_write(batch):
    link = FakeLink()
    FrameOutlet(link).send(PIECES, batch=batch)
    (frames,) = link.written
    texts = list(texts_of(frames))
    assert [len(texts), texts[0][:1]] == ([1, b"["] if batch else [3, b"{"])
    told = json.loads(texts[0]) if batch else [json.loads(text) for text in texts]
    assert told == [json.loads(text) for text in TEXTS]
