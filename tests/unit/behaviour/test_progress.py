from __future__ import annotations

from pathlib import Path

import pytest

from flux_actors.behaviour.progress import Progress, Step


def test_what_one_side_tells_the_other_reads_without_the_file() -> None:
    worker = Progress.make()
    shard = Progress(worker.path)
    shard.unlink()
    assert not worker.path.exists()
    assert shard.read() == Step(0, 0, 0, 0)
    worker.call = 7
    worker(3, 0)
    worker(3, 1)
    assert shard.read() == Step(2, 7, 3, 1)
    worker.awaits(8)
    assert (shard.awaited(), shard.read()) == (8, Step(2, 7, 3, 1))
    worker.rests()
    assert shard.read().call == 0


def test_page_that_is_gone_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Progress(tmp_path / "gone")
