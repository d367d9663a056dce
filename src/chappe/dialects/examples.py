"""Requests to try a dialect with, and shell lines that make them; the south halves know how each is written."""

import shlex
from base64 import b64decode, b64encode

import msgspec

from chappe.core.model import Secret, Submission
from chappe.dialects.base import Dialect, HttpRequest, Upstream

TEXT = "Hello from chappe"


def first_request(
    dialect: Dialect, origin: str, login: str, password: str, recipient: str, originator: str = "Demo", text: str = TEXT
) -> HttpRequest:
    """The first request with which this dialect's south half would send a message there; with the name and password
    where that would have keys from a log-in before it (smsend 4.2)."""
    upstream = Upstream(url=origin, login=login, password=Secret(password))
    submission = Submission(
        recipients=(recipient,), text=text, originator=originator, reference="first", takes_part=True
    )
    request = next(dialect.south.submit(upstream, submission))
    if dialect.south.log_in is None:
        return request
    basic = b"Basic " + b64encode(f"{login}:{password}".encode())
    return msgspec.structs.replace(request, headers=(*request.headers, (b"authorization", basic)))


def curl(request: HttpRequest) -> str:
    """A shell line that makes this request; `echo` ends the answer's line, which most providers leave open."""
    words = ["curl", request.url]
    for name, value in request.headers:
        if name == b"authorization" and value.startswith(b"Basic "):
            words += ["-u", b64decode(value[6:]).decode()]
        elif (name, value) != (b"content-type", b"application/x-www-form-urlencoded"):
            words += ["-H", f"{name.decode()}: {value.decode()}"]
    if request.body:
        words += ["-d", request.body.decode()]
    return shlex.join(words) + "; echo"
