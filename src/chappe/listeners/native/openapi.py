"""The OpenAPI 3.1 document, made of the table of endpoints and the records it names."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from chappe import __version__
from chappe.core.centre import Refusal
from chappe.core.people import OPERATING
from chappe.dialects.native import (
    PROBLEM_TYPE,
    PROBLEMS,
    ROOT,
    InboundCallback,
    MessageCallback,
    Problem,
)
from chappe.listeners.native.asking import Endpoint
from chappe.listeners.native.table import ENDPOINTS

REF = "#/components/schemas/{name}"
PATH_NAME = re.compile(r"\{([a-z_]+)\}")
ANY = (Refusal.BAD_REQUEST, Refusal.UNAUTHORISED, Refusal.FORBIDDEN, "missing_scope", Refusal.THROTTLED)
TROUBLE = (Refusal.OVERLOADED, Refusal.INTERNAL, "uncertain")
WITH_BODY = ("too_large", "unsupported_media_type")
REPEATED = ("idempotency_key_reused", "idempotency_in_progress", "idempotency_unknown")
GROUPS = {
    "about": "The API itself.",
    "messages": "Sending, and what became of it.",
    "money": "The balance and the statement.",
    "inbound": "What phones wrote.",
    "numbers": "Numbers to receive messages at.",
    "callbacks": "Reports that were made to your URLs.",
    "running": "For whoever runs the gateway.",
    "accounts": "The account and those that it made.",
    "keys": "API keys.",
    "simulator": "Phones that are none, for tests.",
}
DESCRIPTION = """Send SMS and see what became of them. Prove who you are with `Authorization: Bearer KEY`, or with Basic
and an account's name and password. What goes wrong is told as RFC 9457 has it. Instants are RFC 3339, ids decimal
digits in strings, money decimal words beside a currency."""


def endpoint_rows() -> Iterator[tuple[Endpoint, str]]:
    """Each endpoint with its whole path, in the order of the table."""
    for one in ENDPOINTS:
        yield one, ROOT + one.path


@cache
def openapi_document() -> dict[str, Any]:
    schemas = components()
    paths: dict[str, dict[str, Any]] = {}
    for endpoint, path in endpoint_rows():
        paths.setdefault(path, {})[endpoint.method.lower()] = operation(endpoint, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "chappe", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"password": []}],
        "tags": [{"name": name, "description": words} for name, words in GROUPS.items()],
        "paths": paths,
        "webhooks": {
            "message": webhook("What became of a message.", MessageCallback),
            "inbound": webhook("A message from a phone.", InboundCallback),
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key: live_... or test_..."},
                "password": {"type": "http", "scheme": "basic", "description": "An account's name and password."},
            },
        },
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))  # without tuples
    return plain


def components() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(list(records()), ref_template=REF)
    return schemas


def records() -> Iterator[type[Struct]]:
    for one in ENDPOINTS:
        yield from (kind for kind in (one.body, one.answer) if kind is not None)
    yield from (Problem, MessageCallback, InboundCallback)


def operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": operation_id(endpoint),
        "tags": [endpoint.group],
        "responses": dict(responses(endpoint)),
    }
    if words := describe(endpoint):
        told["description"] = words
    if parameters := [*path_parameters(endpoint), *query_parameters(endpoint), *header_parameters(endpoint)]:
        told["parameters"] = parameters
    if endpoint.body is not None:
        content = {"application/json": {"schema": reference(endpoint.body)}}
        told["requestBody"] = {"required": True, "content": content}
    if endpoint.is_public:
        told["security"] = []
    return told


def operation_id(endpoint: Endpoint) -> str:
    words = re.sub(r"[^a-z]+", "_", PATH_NAME.sub(r"by_\1", endpoint.path)).strip("_")
    return f"{endpoint.method.lower()}_{words or 'index'}"


def describe(endpoint: Endpoint) -> str:
    permission = endpoint.permission
    if permission is None:
        return endpoint.description
    whose = ", which only keys of whoever runs the gateway have" if permission in OPERATING else ""
    return f"{endpoint.description} Needs the scope `{permission}`{whose}.".strip()


def reference(kind: type[Struct]) -> dict[str, str]:
    return {"$ref": REF.format(name=kind.__name__)}


def path_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in PATH_NAME.findall(endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def query_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    if endpoint.parameters is None:
        return
    _, found = msgspec.json.schema_components([endpoint.parameters], ref_template=REF)
    schema = found.pop(endpoint.parameters.__name__)
    for name, one in schema["properties"].items():
        plain = inlined(one, found)
        words = plain.pop("description", "")
        if plain.get("default", ...) in (None, "", []):
            del plain["default"]
        yield {"name": name, "in": "query", "required": False, "schema": without_null(plain), "description": words}


def inlined(schema: Any, found: dict[str, Any]) -> Any:
    """The schema of a parameter, with what it refers to in its place."""
    if isinstance(schema, list):
        return [inlined(one, found) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(found[schema["$ref"].rpartition("/")[2]], found)
    return {name: inlined(one, found) for name, one in schema.items()}


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is absent is absent: there is no null in a query."""
    kinds = [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]
    return schema | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})


def header_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    if endpoint.is_repeatable:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Asked again with the same key within 24 hours, nothing is done twice.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }


def responses(endpoint: Endpoint) -> Iterator[tuple[str, Any]]:
    success: dict[str, Any] = {"description": "It was done."}
    if endpoint.answer is not None:
        success["content"] = {"application/json": {"schema": reference(endpoint.answer)}}
    if headers := success_headers(endpoint):
        success["headers"] = headers
    yield str(endpoint.status), success
    by_status: dict[int, list[str]] = {}
    for code in problems_of(endpoint):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        yield str(status), problem_answer(codes)


def success_headers(endpoint: Endpoint) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    headers: dict[str, Any] = {}
    if not endpoint.is_public:
        headers |= {
            "RateLimit": {"description": "How many requests are left, and until when.", **text},
            "RateLimit-Policy": {"description": "How many there are in how many seconds.", **text},
        }
    if endpoint.is_repeatable:
        headers["Idempotency-Replayed"] = {"description": "true: it was answered before.", **text}
    if endpoint.parameters is not None and "cursor" in endpoint.parameters.__struct_fields__:
        headers["Link"] = {"description": 'The next page, as rel="next".', **text}
    return headers


def problems_of(endpoint: Endpoint) -> Iterable[str]:
    codes = list(endpoint.problems) + list(TROUBLE)
    if not endpoint.is_public:
        codes += ANY
    if endpoint.body is not None:
        codes += WITH_BODY
    if endpoint.is_repeatable:
        codes += REPEATED
    return dict.fromkeys(codes)


def problem_answer(codes: Iterable[str]) -> dict[str, Any]:
    words = " ".join(f"`{code}`: {PROBLEMS[code].title}." for code in codes)
    return {"description": words, "content": {PROBLEM_TYPE.decode(): {"schema": reference(Problem)}}}


def webhook(summary: str, kind: type[Struct]) -> dict[str, Any]:
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ]
    return {
        "post": {
            "summary": summary,
            "description": "Signed by Standard Webhooks with the account's secret. Any 2xx is taken for an answer.",
            "parameters": headers,
            "requestBody": {"required": True, "content": {"application/json": {"schema": reference(kind)}}},
            "responses": {"204": {"description": "It was received."}},
        }
    }
