"""Who is asking: log in for a session or an access token, and prove it with two headers from then on (4.2).

Logging in is lenient on purpose: no sample client escapes a password, so what arrives is read in every way in which it
may have been meant (4.17).
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterator

from msgspec import Struct

from chappe.core.centre import Call, Done, Outcome, Refusal, Refused
from chappe.core.model import Account, Secret
from chappe.core.sessions import ChangePassword, OpenAccess, OpenSession, Proof, Session
from chappe.dialects.base import Flow, HttpRequest, HttpResponse, NorthFlow, log_in, plain, text_of, urlencoded_fields
from chappe.dialects.smsend.asking import Asked, refuse, tell
from chappe.dialects.smsend.facts import DASHBOARD, KEYS, KEYS_HIDDEN, LOGIN_FAILED, TRUE_FALSE, USER_KEY

HOST = re.compile(rb"[A-Za-z0-9.:\[\]-]{1,255}")
WRONG = (Refusal.UNAUTHORISED, Refusal.NOT_FOUND)


# Logging in


def open_session(request: HttpRequest) -> NorthFlow:
    """`login`: `USERKEY;SESSIONKEY` (4.2)."""
    return (yield from hand_out(request, OpenSession))


def open_access(request: HttpRequest) -> NorthFlow:
    """`token`: `USERKEY;ACCESSTOKEN` (4.2)."""
    return (yield from hand_out(request, OpenAccess))


def hand_out(request: HttpRequest, kind: Callable[[Account], Call]) -> NorthFlow:
    """Two words and one semicolon: clients put the second into a header as it is (4.2)."""
    account: Account | Refused = Refused(Refusal.UNAUTHORISED)
    for name, password in credentials(request):
        account = yield from log_in(name, password)
        if isinstance(account, Account) or account.reason not in WRONG:
            break
    if not isinstance(account, Account):
        return tell(LOGIN_FAILED) if account.reason in WRONG else refuse(account)
    session = yield kind(account)
    return plain(f"{session.user_key};{session.key.value}") if isinstance(session, Session) else refuse(session)


def credentials(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """Name and password as they were probably meant, then as they may have been: a plus sign is one (4.17)."""
    basic = basic_of(request)
    if basic:
        yield basic
        return
    for query in (request.query, request.query.replace(b"+", b"%2B"))[: 1 + (b"+" in request.query)]:
        fields = {text_of(name).lower(): text_of(value) for name, value in urlencoded_fields(query).items()}
        yield fields.get("username", ""), fields.get("password", "")


def basic_of(request: HttpRequest) -> tuple[str, str] | None:
    """Name and password of `Authorization: Basic` (RFC 7617), which newer clients use (4.2)."""
    scheme, _, encoded = request.header(b"authorization").strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, _, password = text_of(b64decode(encoded.strip(), validate=True)).partition(":")
    except binascii.Error:
        return None
    return name, password


# Proving it afterwards


class Keys(Struct, frozen=True):
    """What a request says of itself. Dashes in the names are for flexible accounts alone (4.2)."""

    user_key: str
    secret: str
    proof: Proof
    has_dashes: bool


def authenticate(request: HttpRequest, *, renews: bool = True) -> Flow[Call, Outcome, Account | Refused]:
    """The account of the two headers; or, which the provider does not offer, of Basic (4.2 [P])."""
    keys = keys_of(request)
    if keys is None:
        return (yield from log_in(*(basic_of(request) or ("", ""))))
    account = yield from log_in(keys.user_key, keys.secret, keys.proof, renews=renews)
    if keys.has_dashes and isinstance(account, Account) and not account.is_flexible:
        return Refused(Refusal.UNAUTHORISED)
    return account


def keys_of(request: HttpRequest) -> Keys | None:
    """The two headers, whatever the letter case of their names; None where the second is missing."""
    headers = {name.lower(): value.strip() for name, value in request.headers if value}
    for key, proof in KEYS:
        for has_dashes in (False, True):
            user_name, key_name = (name.replace("_", "-" if has_dashes else "_").encode() for name in (USER_KEY, key))
            if key_name in headers:
                user_key = headers.get(user_name, b"")
                return Keys(text_of(user_key), text_of(headers[key_name]), proof, has_dashes)
    return None


def check_session(request: HttpRequest) -> NorthFlow:
    """`checksession`: whether it still lives, without renewing it (4.2); without keys there is none to look for."""
    keys, account = keys_of(request), (yield from authenticate(request, renews=False))
    if isinstance(account, Account):
        return plain(TRUE_FALSE[True])
    if account.reason is Refusal.UNAUTHORISED and keys and keys.user_key:
        return plain(TRUE_FALSE[False])
    return tell(KEYS_HIDDEN) if account.reason in WRONG else refuse(account)


def reset_password(asked: Asked) -> NorthFlow:
    """`pwdreset`: whether it was changed (4.3)."""
    password = asked.query.get("password", "")
    if not password:
        return refuse(Refused(Refusal.BAD_REQUEST, "password is missing"))
    outcome = yield ChangePassword(asked.account, Secret(password))
    is_weak = isinstance(outcome, Refused) and outcome.reason is Refusal.BAD_REQUEST
    return plain(TRUE_FALSE[isinstance(outcome, Done)]) if isinstance(outcome, Done) or is_weak else refuse(outcome)


def show_dashboard(asked: Asked) -> NorthFlow:
    """`dashboard`: an address of ours, with a session of its own in it (4.3)."""
    host = asked.request.header(b"host")
    if not HOST.fullmatch(host):
        return refuse(Refused(Refusal.BAD_REQUEST, "no host"))
    session = yield OpenSession(asked.account)
    if not isinstance(session, Session):
        return refuse(session)
    return url_response(asked.request, host.decode(), session)


def url_response(request: HttpRequest, host: str, session: Session) -> HttpResponse:
    is_tls = request.header(b"x-forwarded-proto") == b"https"
    scheme = "https" if is_tls else "http"
    return plain(DASHBOARD.format(scheme=scheme, host=host, user_key=session.user_key, key=session.key.value))
