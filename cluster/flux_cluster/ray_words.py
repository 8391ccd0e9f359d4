"""What Ray says of a fault, as one line."""

from __future__ import annotations

from ray.exceptions import RayActorError, RayTaskError


def words_of(error: Exception) -> str:
    """Return what an error says, without its name; of many lines those that tell what it is."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [""]
    match error:
        case RayTaskError():  # begins with where it happened and ends with what
            return lines[-1]
        case RayActorError():  # says line by line which actor it was, and at last why it died
            return "; ".join(lines)
        case _:
            return lines[0]
