"""Code that travels: a class of behaviour as bytes, and back, in a process that cannot import its module.

A class is packed **by value**, with all it refers to in its own module, and in other modules that are no
installed packages: those lie on the author's machine alone. What is installed (the standard library,
site-packages, Flux itself) is packed by reference and must be installed where it runs.

Whoever loads code runs it. It comes from the code store alone, into which only admins deploy.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from flux_actors import limits
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.errors import Refused

_OWN_PACKAGES: Final = frozenset({"flux_actors", "flux_api", "flux_cluster", "flux_bench"})
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")
_LEFT_OUT: Final = frozenset({"__builtins__", "__loader__", "__spec__", "__cached__"})  # of a module
_PICKLER: Final = "ray.cloudpickle"
_PICKLER_MODULE: Final = "ray.cloudpickle.cloudpickle"
# Where the makers of cloudpickle take the mark by which they know a class again.
_MARK_PLACES: Final = {"_make_skeleton_class": 4, "_make_skeleton_enum": 5, "_make_typevar": 5}
_NOT_PACKED: Final = (TypeError, ValueError, AttributeError, RecursionError, pickle.PicklingError)
_DIGEST_BYTES: Final = 32
_packing = threading.Lock()  # which modules go by value is one list for the whole process


def pack(cls: type[Behaviour]) -> bytes:
    """Return a class as bytes.

    Raises:
        Refused: it refers to something that cannot travel, such as an open file or a lock; it is too large.
    """
    from ray import cloudpickle  # noqa: PLC0415 - a second, which those who only load code do not pay

    base: Any = cloudpickle.CloudPickler  # it is not typed

    class Pickler(base):  # type: ignore[misc]
        """Packs modules such that they may refer to one another."""

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is ModuleType and _travels(obj):
                state = {name: value for name, value in vars(obj).items() if name not in _LEFT_OUT}
                return ModuleType, (obj.__name__,), state, None, None, fill_module
            return super().reducer_override(obj)

    packed = io.BytesIO()
    try:
        with _packing, _by_value(cls, cloudpickle):
            Pickler(packed).dump(cls)
    except _NOT_PACKED as error:
        raise Refused(
            f"{cls.__name__} cannot travel: {str(error)[:300]}. It refers to something that belongs to this "
            "process, such as a lock, a connection or an open file; make that in __init__ or in a handler"
        ) from None
    if packed.tell() > limits.behaviour_code_bytes_max:
        raise Refused(
            f"{cls.__name__} has {packed.tell()} bytes, and {limits.behaviour_code_bytes_max} may travel. "
            "It refers to large data: load that in __init__, where it runs"
        )
    return packed.getvalue()


def digest_of(data: bytes) -> str:
    """Return the name of packed code, by which it can be checked."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def load(data: bytes) -> type[Behaviour]:
    """Return the class of `pack`: a new one each time, so versions never share anything.

    Raises:
        Refused: the bytes are no behaviour.
        Exception: what loading raises, such as `ModuleNotFoundError` for a package that is missing.
    """
    cls = _Unpickler(io.BytesIO(data)).load()
    if not (isinstance(cls, type) and issubclass(cls, Behaviour)):
        raise Refused("this code holds no behaviour")
    return cls


def fill_module(module: ModuleType, state: dict[str, Any]) -> None:
    """Give a module that was packed by value what it holds; packed code calls this by its name."""
    vars(module).update(state)


class _Unpickler(pickle.Unpickler):
    """Reads what cloudpickle wrote, without importing all of Ray: that takes a second and 60 MB."""

    def find_class(self, module: str, name: str) -> Any:
        if module != _PICKLER and not module.startswith(f"{_PICKLER}."):
            return super().find_class(module, name)
        found = getattr(_makers(), name)
        return _unmarked(found, _MARK_PLACES[name]) if name in _MARK_PLACES else found


def _unmarked(make: Callable[..., Any], place: int) -> Callable[..., Any]:
    """Return a maker of classes that makes a new one each time.

    Cloudpickle gives the same class for all that was packed from one: then a second version, packed after
    an attribute was set, would change the first one too.
    """

    def make_anew(*arguments: Any) -> Any:
        return make(*arguments[:place], None, *arguments[place + 1 :])

    return make_anew


@lru_cache(maxsize=1)
def _makers() -> ModuleType:
    """Return the module of cloudpickle that rebuilds things; it needs nothing else of Ray."""
    loaded = sys.modules.get(_PICKLER_MODULE)
    if loaded is not None:
        return loaded
    ray = importlib.util.find_spec("ray")
    folder = Path(*(ray.submodule_search_locations or ())[:1]) if ray is not None else Path()
    path = folder / "cloudpickle" / "cloudpickle.py"
    spec = importlib.util.spec_from_file_location("flux_makers", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _by_value(cls: type, cloudpickle: Any) -> Iterator[None]:
    """Have the modules that are nowhere installed packed by value, and that of the class in any case."""
    before = cloudpickle.list_registry_pickle_by_value()
    chosen = [
        module
        for name, module in list(sys.modules.items())
        if name not in before and getattr(module, "__name__", "") == name
        if _travels(module) or (name == cls.__module__ and not _is_given(name))
    ]
    for module in chosen:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in chosen:
            cloudpickle.unregister_pickle_by_value(module)


def _travels(module: ModuleType) -> bool:
    """Whether a module lies on this machine alone."""
    file = getattr(module, "__file__", None)
    return (
        isinstance(file, str)
        and file.endswith(".py")
        and not any(part in file for part in _INSTALLED)
        and not _is_given(module.__name__)
    )


def _is_given(name: str) -> bool:
    """Whether a module is there wherever Flux is."""
    package = name.partition(".")[0]
    return package in _OWN_PACKAGES or package in sys.stdlib_module_names
