"""A data folder that a test holds."""

from __future__ import annotations

import pytest

from flux_cluster.data_folder import DataFolder


@pytest.fixture
def folder(tmp_path):
    folder = DataFolder(tmp_path)
    folder.open()
    yield folder
    folder.close()
