"""What killed processes leave behind is let go of before other tests begin."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_FOLDER: Final = Path(__file__).parent
# A process that is killed leaves coroutines that nobody will await: that is what being killed means.
LEFT_BEHIND = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_FOLDER):
            item.add_marker(LEFT_BEHIND)


@pytest.fixture(scope="module", autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.collect()
