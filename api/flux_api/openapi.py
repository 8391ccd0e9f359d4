"""The OpenAPI descriptions of routes that read their requests themselves."""

from __future__ import annotations

from typing import Any, Final

from flux_actors import limits


def _only(name: str) -> dict[str, Any]:
    """Return the schema of `{name: true}`."""
    return {
        "type": "object",
        "required": [name],
        "additionalProperties": False,
        "properties": {name: {"type": "boolean", "enum": [True]}},
    }


_PROPERTIES: Final = {"type": "object", "additionalProperties": True}
_ID: Final = {"type": "string", "minLength": 1, "maxLength": 512, "example": "home/hall"}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["stream", "source", "payload"],
    "properties": {
        "stream": {
            "type": "string",
            "pattern": r"^[a-z0-9]+(\.[a-z0-9]+)*$",
            "maxLength": 255,
            "example": "sensors",
        },
        "source": {"type": "string", "minLength": 1, "maxLength": 255, "example": "thermometer-1"},
        "payload": {
            "type": "object",
            "properties": {
                "entity_id": _ID,
                "properties": _PROPERTIES,
                "ttl_ms": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "the entity ends after that time, unless it is renewed; 0 for never",
                },
                "property_ttl_ms": {
                    "type": "object",
                    "additionalProperties": {"type": "integer", "minimum": 0},
                    "description": "these properties become null after that time",
                },
            },
            "example": {"entity_id": "home/hall", "properties": {"celsius": 21.5}},
        },
        "timestamp": {"type": "integer", "minimum": 1, "description": "epoch milliseconds; default now"},
        "eventId": {
            "type": "string",
            "maxLength": 128,
            "description": "makes a retry safe; default a UUIDv7",
        },
        "key": {"type": "string"},
        "schema": {"type": "string"},
        "condition": {
            "description": "it applies only to an entity that stands so; else 412 and nothing changes",
            "oneOf": [
                {
                    "type": "object",
                    "required": ["etag"],
                    "additionalProperties": False,
                    "properties": {"etag": {"type": "string", "example": '"0.17.3"'}},
                },
                _only("absent"),
                _only("present"),
            ],
        },
    },
}
_IDS: Final = {"type": "array", "items": _ID}

EVENT_BODY: Final = _EVENT
BATCH_BODY: Final[dict[str, Any]] = {
    "oneOf": [
        {
            "type": "object",
            "required": ["events"],
            "properties": {"events": {"type": "array", "items": _EVENT, "minItems": 1}},
        },
        {"type": "array", "items": _EVENT, "minItems": 1},
    ]
}
CLAIM_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["entity_id", "holder", "ttl_ms"],
    "properties": {
        "entity_id": _ID,
        "holder": {"type": "string", "minLength": 1, "maxLength": 255, "example": "worker-7"},
        "ttl_ms": {"type": "integer", "minimum": 1, "maximum": limits.ttl_ms_max, "example": 30_000},
        "token": {"type": "integer", "description": "that of the claim that is renewed"},
        "eventId": {"type": "string", "maxLength": 128, "description": "makes a retry safe"},
    },
}
GET_BODY: Final[dict[str, Any]] = {"type": "object", "required": ["ids"], "properties": {"ids": _IDS}}
DELETE_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        "namespace": {"type": "string", "minLength": 1},
        "prefix": {"type": "string", "minLength": 1},
        "entity_ids": _IDS,
    },
}
NAMESPACE_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9_-]{3,32}$", "example": "building-7"},
        "visibility": {"type": "string", "enum": ["public", "private"], "default": "public"},
    },
}
TOKEN_BODY: Final[dict[str, Any]] = {
    "oneOf": [
        {
            "type": "object",
            "required": ["scopes"],
            "additionalProperties": False,
            "properties": {
                "scopes": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "enum": ["read", "write", "admin"]},
                },
                "prefix": {"type": "string", "example": "building-7/kitchen/"},
                "expiresAt": {"type": "string", "format": "date-time"},
            },
        },
        {
            "type": "object",
            "required": ["rotate"],
            "additionalProperties": False,
            "properties": {"rotate": {"type": "boolean", "const": True}},
        },
    ]
}
CONFIG_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "rate_limit_enabled": {"type": "boolean"},
        "rate_limit_per_namespace_per_minute": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
        "body_size_limit_single_bytes": {"type": "integer", "minimum": 1024, "maximum": 8 * 1024 * 1024},
        "body_size_limit_batch_bytes": {"type": "integer", "minimum": 1024, "maximum": 64 * 1024 * 1024},
    },
}

CONNECTOR_TOKEN_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["token"],
    "additionalProperties": False,
    "properties": {
        "token": {"type": "string", "minLength": 1, "maxLength": limits.connector_token_chars_max},
        "settings": {"type": "object", "description": "what a connector of another package asks for"},
    },
}
SOURCE_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name", "url", "poll_interval_secs", "entity_key", "namespace"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": limits.generic_name_chars_max},
        "url": {"type": "string", "format": "uri", "maxLength": limits.generic_url_chars_max},
        "poll_interval_secs": {
            "type": "integer",
            "minimum": limits.generic_interval_s_range[0],
            "maximum": limits.generic_interval_s_range[1],
        },
        "entity_key": {"type": "string", "minLength": 1, "example": "weather"},
        "namespace": {"type": "string", "minLength": 1, "example": "home"},
        "auth_type": {
            "default": "none",
            "oneOf": [
                {"type": "string", "enum": ["none", "bearer"]},
                {
                    "type": "object",
                    "required": ["api_key_header"],
                    "additionalProperties": False,
                    "properties": {"api_key_header": {"type": "string", "example": "X-Api-Key"}},
                },
            ],
        },
        "token": {"type": "string", "description": "required unless auth_type is none"},
        "json_pointer": {"type": "string", "example": "/data/0", "description": "RFC 6901; default all"},
    },
}

_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "wait": {
        "schema": {"type": "string", "enum": ["applied"]},
        "description": "answer once the write is visible",
    },
    "atomic": {
        "schema": {"type": "boolean"},
        "description": "all events of the batch apply at one position or none does",
    },
    "If-Match": {
        "in": "header",
        "schema": {"type": "string", "example": '"0.17.3"'},
        "description": "it applies only where the entity has this ETag, else 412; * for any",
    },
    "If-None-Match": {
        "in": "header",
        "schema": {"type": "string", "enum": ["*"]},
        "description": "it applies only where there is no entity, else 412",
    },
    "claimed_id": {"name": "entity_id", "required": True, "schema": _ID, "description": "what is claimed"},
    "holder": {"required": True, "schema": {"type": "string"}, "description": "who has the claim"},
    "token": {"schema": {"type": "integer"}, "description": "the token of the claim"},
    "at": {
        "schema": {"type": "string", "example": "2026-01-31T12:00:00Z"},
        "description": "as it was at this time or position; 410 where that is gone",
    },
    "at_least": {"schema": {"type": "string"}, "description": "a Flux-Position the answer must include"},
    "entity": {"schema": _ID, "required": True, "description": "whose events"},
    "since": {
        "schema": {"type": "string", "format": "date-time"},
        "description": "inclusive; default 24 h ago",
    },
    "until": {"schema": {"type": "string", "format": "date-time"}, "description": "exclusive"},
    "limit": {"schema": {"type": "integer", "default": 100}, "description": "clamped to 1 to 500"},
    "page_limit": {
        "name": "limit",
        "schema": {"type": "integer", "minimum": 1},
        "description": "entities of a page; `Link` leads to the next",
    },
    "cursor": {"schema": {"type": "string"}, "description": "where a page begins, as `Link` gave it"},
    "where": {
        "schema": {"type": "string", "example": "battery.level < 0.2 and exists(owner)"},
        "description": "only those of which this holds",
    },
    "fields": {"schema": {"type": "string"}, "description": "only these properties, with commas between"},
    "entity_pattern": {
        "name": "entity",
        "schema": {"type": "array", "items": _ID},
        "explode": True,
        "description": 'whom to watch: ids, "namespace/*" or "*"; default everything',
    },
    "entity_prefix": {
        "name": "prefix",
        "schema": {"type": "string", "pattern": "^(.*/)?$", "example": "home/"},
        "description": "all whose ids begin so; it ends in /",
    },
    "format": {
        "schema": {"type": "string", "enum": ["delta"]},
        "description": "one message per event instead of one per property",
    },
    "initial": {"schema": {"type": "boolean"}, "description": "the present state first"},
    "from": {
        "schema": {"type": "string"},
        "description": "what happened behind this position first, instead of the state",
    },
    "metrics": {"schema": {"type": "boolean"}, "description": "the door's figures every two seconds, too"},
    "Last-Event-ID": {
        "schema": {"type": "string"},
        "description": "the `id` of the last event; counts more than `from`",
    },
    "namespace": {"schema": {"type": "string"}, "description": "only ids of this namespace"},
    "prefix": {"schema": {"type": "string"}, "description": "only ids beginning so"},
    "count": {"schema": {"type": "boolean"}, "description": 'answer {"count": n} instead'},
    "entity_id": {"schema": _ID, "description": "the id, with / raw or as %2F"},
    "name": {"schema": {"type": "string"}, "description": "a connector's name"},
    "source_id": {"schema": {"type": "string"}, "description": "what adding the source answered"},
    "namespace_name": {"name": "name", "schema": {"type": "string"}, "description": "a namespace"},
    "token_id": {"schema": {"type": "string"}, "description": "a token's id, as it was told with the token"},
}
_ERROR: Final[dict[str, Any]] = {
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        }
    }
}


def describe(
    summary: str,
    body: dict[str, Any] | None = None,
    query: list[str] | None = None,
    path: list[str] | None = None,
    headers: list[str] | None = None,
) -> dict[str, Any]:
    """Return the arguments of a route decorator that document it."""
    given = {"query": query, "path": path, "header": headers}
    places = [(name, place) for place, names in given.items() for name in names or []]
    parameters = [
        {"name": name, "in": place} | {**_PARAMETERS[name], **({"required": True} if place == "path" else {})}
        for name, place in places
    ]
    extra: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    responses = {
        "4XX": {"description": "The request must change", **_ERROR},
        "503": {"description": "Try again after Retry-After", **_ERROR},
    }
    return {"summary": summary, "responses": responses, "openapi_extra": extra}
