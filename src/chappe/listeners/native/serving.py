"""From a request's bytes to an endpoint and back: who asks, how often they may, whether they may do this, what they
ask, and whether it was asked before under the same Idempotency-Key."""

import asyncio
import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import scrypt
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
import structlog
from msgspec import Struct

from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account, Secret
from chappe.core.people import Caller, Permission, Sight
from chappe.core.sessions import Authenticate
from chappe.dialects.native import BODY_MAX, JSON_TYPE, NATIVE, PROBLEM_TYPE, PROBLEMS, FieldError, Problem, problem_of
from chappe.gateway.desks import Desks, Unavailable
from chappe.gateway.idempotency import KEY_MAX, Answer, Conflict, Settled, is_key
from chappe.listeners.http import HungUp, Receive, Scope, Send, read_body
from chappe.listeners.keeping import Notes, notes_of
from chappe.listeners.native.asking import Answered, Asked, Endpoint, Problematic, refused
from chappe.listeners.native.limits import Limits
from chappe.listeners.native.shapes import MadeKey, WebhookSecret

log = structlog.get_logger()

Headers = tuple[tuple[str, str], ...]
IDEMPOTENCY_KEY = b"idempotency-key"
CONFLICTS = {
    Conflict.OTHER_REQUEST: "idempotency_key_reused",
    Conflict.IN_PROGRESS: "idempotency_in_progress",
    Conflict.UNKNOWN: "idempotency_unknown",
}
# Refusals that another attempt may well get past, so that they are not the answer for a day.
PASSING = frozenset({401, 403, 408, 409, 425, 429})
UNDONE = PASSING | {PROBLEMS[Refusal.UNREACHABLE].status}  # of the others of 500 and more nobody knows
ENCODER = msgspec.json.Encoder()
PARAMETERS_MAX = 50
ABOUT_FIELD = re.compile(r"Object (?:contains unknown|missing required) field `([^`]{1,100})`").match


class Told(NamedTuple):
    """An answer as it goes out."""

    status: int
    headers: Headers
    body: bytes


class PathApp:
    """All the methods of one path."""

    def __init__(self, serving: "Serving", endpoints: Iterable[Endpoint]) -> None:
        self._serving = serving
        self._endpoints = {one.method: one for one in endpoints}
        self._allow = ", ".join([*self._endpoints, *(["HEAD"] if "GET" in self._endpoints else [])])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        endpoint = self._endpoints.get("GET" if method == "HEAD" else method)
        try:
            told = (
                await self._serving.tell(endpoint, scope, receive)
                if endpoint is not None
                else of_problem(problem_of("method_not_allowed"), (("allow", self._allow),))
            )
        except HungUp:
            return
        await put(send, told._replace(body=b"") if method == "HEAD" else told)


async def nowhere(_scope: Scope, _receive: Receive, send: Send) -> None:
    await put(send, of_problem(problem_of(Refusal.NOT_FOUND)))


async def put(send: Send, told: Told) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.headers]
    if told.status != 204:
        headers.append((b"content-length", str(len(told.body)).encode()))
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": told.body})


def of_problem(problem: Problem, headers: Headers = (), retry_after_s: float | None = None) -> Told:
    added = [("content-type", PROBLEM_TYPE.decode())]
    if problem.status == 401:
        added.append(("www-authenticate", 'Bearer realm="chappe"'))
    if retry_after_s and not any(name == "retry-after" for name, _ in headers):
        added.append(("retry-after", str(max(1, round(retry_after_s)))))
    return Told(problem.status, (*added, *headers), ENCODER.encode(problem))


class Serving:
    def __init__(self, desks: Desks) -> None:
        self._desks = desks
        self._limits = Limits(desks.clock, desks.api_rate)

    async def tell(self, endpoint: Endpoint, scope: Scope, receive: Receive) -> Told:
        """The whole answer. Raises HungUp."""
        about: list[tuple[str, str]] = []  # what every answer says, whatever it is
        try:
            return await self._answer(endpoint, scope, receive, about)
        except Problematic as problematic:
            return of_problem(problematic.problem, tuple(about), problematic.retry_after_s)
        except Unavailable:
            return of_problem(problem_of(Refusal.OVERLOADED), tuple(about), 1.0)
        except HungUp:
            raise
        except Exception:
            log.exception("request_broke", path=endpoint.path, method=endpoint.method)
            return of_problem(problem_of("uncertain"), tuple(about))

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive, about: list[tuple[str, str]]) -> Told:
        notes, network = notes_of(scope), scope["client"][0] if scope.get("client") else ""
        if endpoint.is_public:
            asked = Asked(desks=self._desks, caller=NOBODY, network=network, path=scope.get("path_params", {}))
            return told_of(endpoint, await endpoint.handler(asked))
        headers = dict(reversed([(name.lower(), value) for name, value in scope["headers"]]))
        caller = await self._caller(headers.get(b"authorization", b""), network)
        notes.account_id = caller.account.id if caller.account is not None else 0
        is_free, limits = self._limits.take(bucket_of(caller))
        about.extend(limits)
        if not is_free:
            raise Problematic(Refusal.THROTTLED)
        permission = endpoint.permission
        if permission is not None and not caller.may(permission):
            raise Problematic("missing_scope", missing(permission, caller))
        key = key_of(headers.get(IDEMPOTENCY_KEY)) if endpoint.is_repeatable else ""
        parameters = read_parameters(endpoint, scope["query_string"])
        octets = await octets_of(endpoint, headers, receive)
        asked = Asked(
            desks=self._desks,
            caller=caller,
            network=network,
            path=scope.get("path_params", {}),
            body=read(octets, endpoint.body) if endpoint.body is not None else None,
            parameters=parameters,
        )
        told = (
            await self._once(endpoint, asked, key, scope, octets)
            if key
            else told_of(endpoint, await endpoint.handler(asked), notes)
        )
        note_submission(endpoint, told, notes)
        return told._replace(headers=(*told.headers, *about))

    async def _caller(self, proof: bytes, network: str) -> Caller:
        """Who asks. Raises Problematic."""
        scheme, _, word = proof.decode("latin-1").strip().partition(" ")
        if scheme.lower() == "bearer":
            found = await self._desks.keys.authenticate(Secret(word.strip()), network)
            if isinstance(found, Refused):
                raise refused(found)
            return found
        if scheme.lower() != "basic":
            raise Problematic(Refusal.UNAUTHORISED, "send `Authorization: Bearer KEY`, or Basic with an account's name")
        name, password = credentials_of(word)
        outcome = await self._desks.front.answer(Authenticate(name, Secret(password)), NATIVE, network)
        if isinstance(outcome, Account):
            return self._desks.keys.caller_with_password(outcome)
        raise refused(outcome if isinstance(outcome, Refused) else Refused(Refusal.INTERNAL))

    async def _once(self, endpoint: Endpoint, asked: Asked, key: str, scope: Scope, octets: bytes) -> Told:
        """The one answer for this key. What test keys ask has keys of its own."""
        account = asked.account
        if isinstance(getattr(asked.body, "password", None), str):  # what is kept of it must not give that away
            octets = await asyncio.to_thread(scrypt, octets, salt=key.encode(), n=1 << 14, r=8, p=1)
        request = b"\n".join((endpoint.method.encode(), scope["path"].encode("utf-8", "surrogatepass"), octets))
        ids_count = endpoint.counts_ids(asked.body) if endpoint.counts_ids is not None else 0

        async def carry_out(first_id: int) -> Settled:
            about_ids = msgspec.structs.replace(asked, first_id=first_id) if ids_count else asked
            try:
                told = told_of(endpoint, await endpoint.handler(about_ids))
            except Problematic as problematic:
                told = of_problem(problematic.problem, (), problematic.retry_after_s)
            is_final = told.status < 500 and told.status not in PASSING
            return Settled(
                Answer(status=told.status, headers=told.headers, body=told.body.decode()),
                is_final,
                told.status in UNDONE,
            )

        mode = "test" if account.is_test else "live"
        answer = await self._desks.answers.once(account.id, f"{mode} {key}", request, ids_count, carry_out)
        if isinstance(answer, Conflict):
            raise Problematic(CONFLICTS[answer])
        again: Headers = (("idempotency-replayed", "true"),) if answer.is_replayed else ()
        return Told(answer.status, (*answer.headers, *again), answer.body.encode())


NOBODY = Caller(name="", permissions=frozenset(), sight=Sight(frozenset()))


def bucket_of(caller: Caller) -> tuple[int, int]:
    """Whose requests are counted together: an account's, or an operator's key's."""
    return (caller.account.id, 0) if caller.account is not None else (0, caller.key_id)


def missing(permission: Permission, caller: Caller) -> str:
    if permission is Permission.SIMULATE:
        return "only test keys (and the demo) may use the simulator"
    return f"this needs the scope {permission}" if caller.key_id else f"no account may do this: {permission}"


def credentials_of(word: str) -> tuple[str, str]:
    """Name and password of RFC 7617. Raises Problematic."""
    try:
        name, colon, password = base64.b64decode(word, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        name, colon, password = "", "", ""
    if not colon or not password:
        raise Problematic(Refusal.UNAUTHORISED)
    return name, password


def key_of(header: bytes | None) -> str:
    """An Idempotency-Key; the quotes of its draft are no part of it. Raises Problematic."""
    if header is None:
        return ""
    key = header.decode("latin-1").strip()
    if len(key) > 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not is_key(key):
        detail = f"has 1 to {KEY_MAX} printable ASCII characters"
        raise Problematic(Refusal.BAD_REQUEST, "", FieldError("Idempotency-Key", detail))
    return key


# What is asked


async def octets_of(endpoint: Endpoint, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The body. Raises Problematic, HungUp."""
    if endpoint.body is None:
        return b""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != JSON_TYPE:
        raise Problematic("unsupported_media_type", "send it as `Content-Type: application/json`")
    octets = await read_body(receive, BODY_MAX)
    if octets is None:
        raise Problematic("too_large", f"a body has at most {BODY_MAX} bytes")
    return octets


def read(octets: bytes, kind: type[Struct]) -> Struct:
    """The body as its record. Raises Problematic, which names the field that is wrong."""
    try:
        return msgspec.json.decode(octets, type=kind)
    except msgspec.ValidationError as error:
        raise Problematic(Refusal.BAD_REQUEST, "", field_error(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problematic(Refusal.BAD_REQUEST, "the body is no JSON: " + str(error)[:200]) from None


def field_error(error: msgspec.ValidationError) -> FieldError:
    words, _, where = str(error).partition(" - at `")
    pointer = pointer_of(where.removesuffix("`"))
    named = ABOUT_FIELD(words)
    return FieldError(f"{pointer}/{named[1]}", words) if named else FieldError(pointer, words)


def pointer_of(where: str) -> str:
    """`$.messages[3].to` as the JSON Pointer /messages/3/to."""
    return where.removeprefix("$").replace("[", "/").replace("]", "").replace(".", "/").replace("/...", "")


@lru_cache
def arrays_of(kind: type[Struct]) -> frozenset[str]:
    """The parameters that may be given several times."""
    return frozenset(one.encode_name for one in msgspec.structs.fields(kind) if one.default == ())


def read_parameters(endpoint: Endpoint, query: bytes) -> Struct | None:
    """The query as its record. Raises Problematic."""
    kind = endpoint.parameters
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise Problematic(Refusal.BAD_REQUEST, "there are too many parameters") from None
    if kind is None:
        if pairs:
            raise Problematic(Refusal.BAD_REQUEST, "", FieldError(pairs[0][0][:100], "is no parameter of this"))
        return None
    arrays, values = arrays_of(kind), dict[str, Any]()
    for name, value in pairs:
        if name in arrays:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise Problematic(Refusal.BAD_REQUEST, "", FieldError(name, "is given more than once"))
        else:
            values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        found = field_error(error)
        name = found.pointer.removeprefix("/")
        raise Problematic(Refusal.BAD_REQUEST, "", FieldError(name, found.detail)) from None


# What is answered


def told_of(endpoint: Endpoint, answered: Any, notes: Notes | None = None) -> Told:
    body, headers = answered if isinstance(answered, Answered) else (answered, ())
    if notes is not None and isinstance(body, MadeKey | WebhookSecret):
        notes.secrets.add(body.key if isinstance(body, MadeKey) else body.secret)
    if body is None:
        return Told(endpoint.status, headers, b"")
    return Told(endpoint.status, (("content-type", JSON_TYPE.decode()), *headers), ENCODER.encode(body))


class Sent(Struct):
    id: str = ""


def note_submission(endpoint: Endpoint, told: Told, notes: Notes) -> None:
    """Which submission a request led to, for whoever keeps requests."""
    if endpoint.counts_ids is not None and told.status == endpoint.status:
        notes.submission_id = int(msgspec.json.decode(told.body, type=Sent).id or 0)
