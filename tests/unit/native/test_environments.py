from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flux_actors.errors import Refused
from flux_actors.native.environments import environment_json


@pytest.mark.parametrize("none", [None, {}])
def test_no_environment_is_none(none: Any) -> None:
    assert environment_json(none) == b""


def test_environment_is_kept_as_ray_reads_it_and_ray_reads_it_again() -> None:
    first = environment_json({"pip": ["numpy"], "env_vars": {"A": "b"}})
    kept = json.loads(first)
    assert kept["env_vars"] == {"A": "b"}
    assert kept["pip"]["packages"] == ["numpy"]
    assert environment_json(kept) == first
    assert environment_json({"env_vars": {"A": "b"}, "pip": ["numpy"]}) == first


def test_requirements_are_read_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    kept = json.loads(environment_json({"pip": str(tmp_path / "requirements.txt")}))
    assert kept["pip"]["packages"] == ["numpy"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"pipp": ["x"]}, "no field 'pipp'; Ray knows conda"),
        ({"pip": 5}, "does not take"),
        ({"env_vars": {"A": 1}}, "does not take"),
        ({"pip": ["x"], "conda": "y"}, "does not take"),
        ({"working_dir": "."}, "every node can fetch"),
        ({"working_dir": "file:///x"}, "every node can fetch"),
        ({"working_dir": "gcs://_ray_pkg_x.zip"}, "every node can fetch"),
        ({"py_modules": ["https://x/y.zip", "."]}, "every node can fetch"),
        ({"py_modules": [json]}, "every node can fetch"),
        ({"worker_process_setup_hook": print}, "texts, numbers, lists and dicts"),
    ],
)
def test_what_does_not_hold_everywhere_is_refused(environment: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        environment_json(environment)


def test_archives_that_can_be_fetched_are_taken() -> None:
    kept = json.loads(environment_json({"working_dir": "https://example.com/code.zip"}))
    assert kept == {"working_dir": "https://example.com/code.zip"}
