"""Any HTTP API that answers JSON: one URL, one entity."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, Final

import msgspec

from flux_actors import limits
from flux_actors.connectors.base import Connector, Context, Found
from flux_actors.connectors.web import parse_url
from flux_actors.domain.entity_id import check_entity_id, check_not_core
from flux_actors.errors import Corrupt, Refused

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)  # a token of RFC 9110
_OURS: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer", "expect"}
    | {"accept-encoding", "if-none-match", "keep-alive", "proxy-authorization", "proxy-connection"}
)
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_FIELDS: Final = frozenset(
    {"name", "url", "poll_interval_secs", "entity_key", "namespace", "auth_type", "token", "json_pointer"}
)
TOKEN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client asked to be polled, without its token."""

    name: str
    url: str
    poll_interval_secs: int
    entity_key: str
    namespace: str
    bearer: bool = False
    header: str | None = None  # of an API key
    json_pointer: str = ""

    @property
    def entity_id(self) -> str:
        """The entity that is written."""
        return f"{self.namespace}/{self.entity_key}"


class Generic(Connector):
    """Polls one URL; its JSON object is the entity's properties, anything else is `{"value": …}`."""

    answer_bytes_max: ClassVar[int] = limits.generic_answer_bytes_max

    def every_s(self, settings: Mapping[str, Any]) -> float:
        """Return the interval that the client asked for."""
        return float(source_of(settings).poll_interval_secs)

    async def poll(self, context: Context) -> AsyncGenerator[Found, None]:
        """Yield the one entity, unless the API says that nothing changed."""
        source = source_of(context.settings)
        answer = await context.get(source.url, _credentials(source, context))
        if answer.unchanged:
            return
        value = pointed_at(answer.json(), source.json_pointer)
        yield source.entity_key, value if isinstance(value, dict) else {"value": value}


def source_of(settings: Mapping[str, Any]) -> Source:
    """Return the source that a configuration holds."""
    return msgspec.convert(dict(settings), Source)


def _credentials(source: Source, context: Context) -> dict[str, str]:
    if source.bearer:
        return context.bearer
    return {} if source.header is None else {source.header: context.token}


def read_source(body: object) -> tuple[Source, str | None]:
    """Return the source and the token of a client's JSON.

    Raises:
        Refused: a field is missing, unknown or does not fit.
    """
    if not isinstance(body, dict):
        raise Refused("a source must be a JSON object")
    unknown = sorted(str(name)[:64] for name in body if name not in _FIELDS)
    if unknown:
        raise Refused(f"unknown field {unknown[0]!r}; the fields are {', '.join(sorted(_FIELDS))}")
    bearer, header, token = _auth(body)
    source = Source(
        name=_text(body, "name", limits.generic_name_chars_max),
        url=str(parse_url(_text(body, "url", limits.generic_url_chars_max))),
        poll_interval_secs=_interval(body.get("poll_interval_secs")),
        entity_key=_text(body, "entity_key", limits.entity_id_bytes_max),
        namespace=_namespace(body),
        bearer=bearer,
        header=header,
        json_pointer=_pointer(body.get("json_pointer")),
    )
    check_not_core(check_entity_id(source.entity_id))
    return source, token


def read_token(value: object) -> str:
    """Return a token that can stand in a header.

    Raises:
        Refused: it cannot; its text is not told.
    """
    if not isinstance(value, str) or not value:
        raise Refused("token is required and must be a non-empty string")
    if len(value) > limits.connector_token_chars_max or not TOKEN.fullmatch(value):
        raise Refused(
            f"token must be at most {limits.connector_token_chars_max} printable ASCII characters, "
            "without spaces around it"
        )
    return value


def pointed_at(value: Any, pointer: str) -> Any:
    """Return the part of a JSON value that a pointer (RFC 6901) names.

    Raises:
        Corrupt: there is no such part.
    """
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise Corrupt(f"the answer has nothing at {pointer[:100]}")
    return value


def _auth(body: dict[str, Any]) -> tuple[bool, str | None, str | None]:
    """Return whether it is a bearer token, the header of an API key, and the credential."""
    kind, token = body.get("auth_type", "none"), body.get("token")
    match kind:
        case "none":
            if token is not None:
                raise Refused('auth_type "none" takes no token; say "bearer" or {"api_key_header": "<name>"}')
            return False, None, None
        case "bearer":
            return True, None, read_token(token)
        case {"api_key_header": str(header)} if len(kind) == 1:
            if not _HEADER.fullmatch(header) or header.lower() in _OURS:
                raise Refused("api_key_header must be the name of a header that a client may set")
            return False, header, read_token(token)
        case _:
            raise Refused('auth_type must be "none", "bearer" or {"api_key_header": "<name>"}')


def _text(body: dict[str, Any], name: str, chars_max: int) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= chars_max:
        raise Refused(f"{name} is required and must be a string of 1 to {chars_max} characters")
    if not value.isprintable():
        raise Refused(f"{name} must hold no control characters")
    return value


def _namespace(body: dict[str, Any]) -> str:
    namespace = _text(body, "namespace", limits.entity_id_bytes_max)
    if "/" in namespace:
        raise Refused("namespace must hold no slash; put what comes behind it into entity_key")
    return namespace


def _interval(value: object) -> int:
    low, high = limits.generic_interval_s_range
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Refused(f"poll_interval_secs is required and must be an integer from {low} to {high}")
    return value


def _pointer(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limits.generic_name_chars_max * 4:
        raise Refused("json_pointer must be a string such as /data/0")
    if value and not value.startswith("/"):
        raise Refused('json_pointer must be empty or begin with "/", such as /data/0')
    return value
