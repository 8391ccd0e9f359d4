"""Trying: whether a behaviour's code loads where it is going to run, before it is deployed.

Handlers run with their runtime_env. `reduce` runs where the log is folded, in a plain process of the shard
without it, so a class that has one must load there as well.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from flux_actors.behaviour.behaviour import described
from flux_actors.behaviour.code import load
from flux_actors.errors import Refused, Unavailable

_LOAD_S: Final = 60.0
_SET_UP_S: Final = 600.0  # pip may have to build what it installs
_WORDS_MAX: Final = 500


class Failure(NamedTuple):
    """Why code could not be loaded."""

    text: str
    missing: str = ""  # the module that is not there


def try_to_load(code: bytes) -> Failure | None:
    """Load code, look at its class and make one; return what went wrong. Runs in a task."""
    try:
        cls = load(code)
        described(cls)
        cls()
    except ModuleNotFoundError as error:
        return Failure(str(error), error.name or "")
    except Exception as error:  # noqa: BLE001 - whatever users' code raises is what is asked for
        return Failure(f"{type(error).__name__}: {error}"[:_WORDS_MAX])
    return None


def try_out(name: str, code: bytes, runtime_env: dict[str, Any] | None, *, reduces: bool) -> None:
    """Return when code has been loaded in a task as it will be to run.

    Raises:
        Refused: it cannot be; the text says what is missing. Unavailable: Ray could not try it in time.
    """
    failure = _tried(code, runtime_env)
    if failure is not None:
        raise Refused(_why(name, failure, runtime_env))
    if reduces and runtime_env:
        failure = _tried(code, None)
        if failure is not None:
            missing = failure.missing or failure.text
            raise Refused(
                f"{name} has reduce, which runs where the log is folded, without the runtime_env, and it "
                f"does not load there: {missing!r} is missing. Import such modules inside of the handlers "
                "that use them, or move reduce into a behaviour that needs none"
            )


def _why(name: str, failure: Failure, runtime_env: dict[str, Any] | None) -> str:
    if not failure.missing:
        return f"{name} does not load on the cluster: {failure.text}"
    hint = "add it to the runtime_env" if runtime_env else 'pass runtime_env={"pip": ["…"]}'
    return (
        f"{name} does not load on the cluster: the module {failure.missing!r} is not installed there; "
        f"{hint}, or install it on every node"
    )


def _tried(code: bytes, runtime_env: dict[str, Any] | None) -> Failure | None:
    import ray  # noqa: PLC0415 - a second, which those who never deploy do not pay
    from ray.exceptions import GetTimeoutError, RayError, RuntimeEnvSetupError  # noqa: PLC0415

    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 1}
    if runtime_env:
        options["runtime_env"] = runtime_env
    task: Any = ray.remote(try_to_load).options(**options)
    try:
        failure: Failure | None = ray.get(task.remote(code), timeout=_SET_UP_S if runtime_env else _LOAD_S)
    except RuntimeEnvSetupError as error:
        raise Refused(f"Ray cannot set the runtime_env up: {_end_of(error)}") from None
    except GetTimeoutError:
        raise Unavailable("Ray did not load the code in time; is the cluster busy?", 10) from None
    except RayError as error:
        raise Refused(f"the process that loaded the code ended: {_end_of(error)}") from None
    return failure


def _end_of(error: Exception) -> str:
    """Return the end of what Ray says: there stands the cause."""
    return str(error).strip()[-_WORDS_MAX:]
