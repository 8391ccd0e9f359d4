"""Code travels: packed in one process, run in another, which cannot import the author's files."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.code import digest_of, load, pack
from flux_actors.errors import Refused

AUTHOR_S = 60.0

# What the other process does: it loads the code and asks it.
READER = """
import sys
from flux_actors.behaviour.code import load
cls = load(open(sys.argv[1], "rb").read())
print(cls.__name__, cls.match, cls().on_ask(None, 20))
print("ray" in sys.modules)
"""

HOME = """
from flux_actors.behaviour.behaviour import Behaviour

LIMIT = 30

def above(value):
    return value + LIMIT

class Base(Behaviour):
    match = "home/*"

    def on_ask(self, entity, message):
        return above(message)

class Thermostat(Base):
    def on_ask(self, entity, message):
        return super().on_ask(entity, message) + 1
"""

PACK = """
import sys
from flux_actors.behaviour.code import pack
open(sys.argv[1], "wb").write(pack(Thermostat))
"""


def python(folder: Path, *arguments: str) -> str:
    """Run a Python that finds in `folder` what it imports, and return what it says."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=AUTHOR_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def told_elsewhere(tmp_path: Path, data: Path) -> list[str]:
    """Return what a process says that has nothing of the author's but the packed code."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    return python(elsewhere, "-P", "-c", READER, str(data)).splitlines()


@pytest.fixture
def author(tmp_path: Path) -> Path:
    folder = tmp_path / "author"
    folder.mkdir()
    return folder


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))


def test_class_of_a_script_travels(author: Path, tmp_path: Path) -> None:
    write(author, script=HOME + PACK)
    python(author, "script.py", "code")
    assert told_elsewhere(tmp_path, author / "code") == ["Thermostat home/* 51", "False"]


def test_class_of_a_module_beside_a_script_travels(author: Path, tmp_path: Path) -> None:
    write(author, home=HOME, script="from home import Thermostat\n" + PACK)
    python(author, "script.py", "code")
    assert told_elsewhere(tmp_path, author / "code")[0] == "Thermostat home/* 51"


def test_class_of_a_package_travels_with_its_neighbours(author: Path, tmp_path: Path) -> None:
    write(
        author,
        pkg__in____init__="VERSION = 1\n",
        pkg__in__rules="import pkg.home\nEXTRA = 9\ndef more(value):\n    return value + EXTRA\n",
        pkg__in__home="""
            import pkg.rules
            from pkg import rules
            from flux_actors.behaviour.behaviour import Behaviour
            class Thermostat(Behaviour):
                match = "home/*"
                def on_ask(self, entity, message):
                    return pkg.rules.more(rules.more(message)) + pkg.VERSION
        """,
        script="from pkg.home import Thermostat\n" + PACK,
    )
    python(author, "script.py", "code")
    assert told_elsewhere(tmp_path, author / "code")[0] == "Thermostat home/* 39"


def test_class_of_a_repl_travels(author: Path, tmp_path: Path) -> None:
    write(author, repl=f"exec({HOME + PACK!r}, {{}})\n")
    python(author, "repl.py", "code")
    assert told_elsewhere(tmp_path, author / "code")[0] == "Thermostat home/* 51"


def test_class_of_a_test_travels(tmp_path: Path) -> None:
    class Thermostat(Behaviour):
        match = "home/*"

        def on_ask(self, entity: object, message: int) -> int:
            return added(message)

    data = tmp_path / "code"
    data.write_bytes(pack(Thermostat))
    assert told_elsewhere(tmp_path, data) == ["Thermostat home/* 21", "False"]


def added(value: int) -> int:
    return value + 1


def test_what_is_installed_travels_by_its_name(author: Path, tmp_path: Path) -> None:
    write(
        author,
        script="""
            import json, msgspec
            from flux_actors.behaviour.behaviour import Behaviour
            class Thermostat(Behaviour):
                match = "home/*"
                def on_ask(self, entity, message):
                    return msgspec.json.decode(json.dumps([message]))
        """
        + PACK.replace("\n", "\n            "),
    )
    python(author, "script.py", "code")
    assert (author / "code").stat().st_size < 2_000
    assert told_elsewhere(tmp_path, author / "code")[0] == "Thermostat home/* [20]"


def test_versions_of_one_class_share_nothing() -> None:
    class Thermostat(Behaviour):
        match = "home/*"
        limit = 30

        def on_ask(self, entity: object, message: object) -> int:
            return self.limit

    first = load(pack(Thermostat))
    Thermostat.limit = 40
    second = load(pack(Thermostat))
    assert first is not Thermostat
    assert (first().on_ask(None, None), second().on_ask(None, None)) == (30, 40)  # type: ignore[arg-type]


def test_digest_tells_one_code_from_another() -> None:
    class Thermostat(Behaviour):
        match = "home/*"

    data = pack(Thermostat)
    assert len(digest_of(data)) == 64
    assert digest_of(data) == digest_of(bytes(data))
    assert digest_of(data) != digest_of(data + b".")


def test_class_that_holds_a_lock_is_refused_with_advice() -> None:
    import threading  # noqa: PLC0415 - it belongs to this test

    class Locked(Behaviour):
        match = "home/*"
        lock = threading.Lock()

    with pytest.raises(Refused, match=r"Locked cannot travel.*make that in __init__"):
        pack(Locked)


def test_class_that_holds_large_data_is_refused() -> None:
    class Large(Behaviour):
        match = "home/*"
        table = bytes(9 << 20)

    with pytest.raises(Refused, match=r"Large has \d+ bytes"):
        pack(Large)


def test_code_of_something_else_is_refused() -> None:
    with pytest.raises(Refused, match="no behaviour"):
        load(pack(dict))  # type: ignore[arg-type]


def test_packing_leaves_no_trace_in_the_pickler() -> None:
    from ray import cloudpickle  # noqa: PLC0415 - it takes a second

    class Thermostat(Behaviour):
        match = "home/*"

    before = cloudpickle.list_registry_pickle_by_value()
    pack(Thermostat)
    assert cloudpickle.list_registry_pickle_by_value() == before
