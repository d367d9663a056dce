"""Takes the secrets out of a request and its answer, so that both can be kept and shown. Pure.

Two nets, because either may have a hole: what stands under a name that secrets have (in a query, a form, JSON, XML, a
header) goes, whatever it is; and every value that was used as a secret while the request was answered goes, under
whatever name, in whatever charset and escape it is written, and its common digests with it. A short secret cannot be
told from any other word, so it is only looked for where a value is nothing else.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import md5, sha1, sha256
from typing import Any
from urllib.parse import quote, quote_plus, unquote_to_bytes

import msgspec
from msgspec import Struct

from chappe.core.model import Secret
from chappe.dialects.base import HttpRequest, text_of

HIDDEN = "***"
LONG = 6  # characters from which on a secret is looked for inside of other values
READ_MAX = 65_536  # bytes of a body that are looked through
RECORDS_DEPTH = 6
ITEMS_MAX = 200  # of a list in a record
JSON_DEPTH = 50
CHARSETS = ("utf-8", "cp1251", "cp1252", "koi8-r", "utf-16-be")
# Names are compared in small letters, without dashes, underscores and dots.
SECRET_NAMES = frozenset(
    {"pass", "key", "apikey", "userpass", "session", "sessionkey", "sessionid", "sid", "auth", "authorization"}
    | {"proxyauthorization", "cookie", "setcookie", "xapikey", "md5", "hash", "digest", "sign", "signature", "pin"}
)
SECRET_PARTS = ("password", "passwd", "passphrase", "pwd", "psw", "secret", "token", "sessionkey", "apikey")
BLANKED = str.maketrans("", "", "-_. ")
JSON_MEMBER = re.compile(r'("((?:[^"\\]|\\.){1,64})"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^\s,}\]"]+)')
XML_ELEMENT = re.compile(r"(<([\w.-]{1,64})[^<>]*>)([^<]*)")
XML_ATTRIBUTE = re.compile(r"""(\s([\w.-]{1,64})\s*=\s*)("[^"]*"|'[^']*')""")
PART_BEGIN = re.compile(r"(\r?\n--)")
PART_BLANK = re.compile(r"(\r?\n\r?\n)")
PART_NAME = re.compile(r'\bname="?([^";\r\n]{0,200})', re.IGNORECASE)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,20}(?= )")


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is a secret."""
    plain = name.strip().lower().translate(BLANKED)
    return plain in SECRET_NAMES or any(part in plain for part in SECRET_PARTS)


def secrets_in(record: object, depth: int = RECORDS_DEPTH) -> Iterator[str]:
    """Every secret that a record holds, at whatever depth."""
    if isinstance(record, Secret):
        yield record.value
    elif isinstance(record, Struct) and depth:
        for name in record.__struct_fields__:
            yield from secrets_in(getattr(record, name), depth - 1)
    elif isinstance(record, tuple | list) and depth:
        for one in record[:ITEMS_MAX]:
            yield from secrets_in(one, depth - 1)


def digests_of(secret: str) -> Iterator[str]:
    """The digests that providers take in place of a password, and sign with."""
    for written in {secret, secret.lower()}:
        for charset in CHARSETS[:2]:
            octets = written.encode(charset, "replace")
            for digest in (md5, sha1, sha256):
                yield digest(octets).hexdigest()


class Hider:
    """Hides these secrets, and what names give away."""

    def __init__(self, secrets: Iterable[str], public: Iterable[str] = ()) -> None:
        """`public` are words that are no secret even where somebody uses them as one, such as a name."""
        words = {one for one in secrets if one.strip()}
        digests = {digest for one in words for digest in digests_of(one)}
        written = {form for one in words if len(one) >= LONG for form in forms_of(one)} | digests
        words |= digests
        self._octets = {encoded for word in words - set(public) for encoded in encodings_of(word)}
        self._long_octets = {octets.lower() for word in words if len(word) >= LONG for octets in encodings_of(word)}
        alternatives = "|".join(map(re.escape, sorted(written, key=len, reverse=True)))
        self._written = re.compile(alternatives, re.IGNORECASE) if written else None

    def is_secret(self, octets: bytes) -> bool:
        """Whether a value is a secret, or has one within."""
        lower = octets.lower()
        return octets.strip() in self._octets or any(one in lower for one in self._long_octets)

    def target(self, request: HttpRequest) -> str:
        path = "/".join(HIDDEN if self._is_segment(each) else each for each in request.path.split("/"))
        query = f"?{self.form(request.query.decode('latin-1'))}" if request.query else ""
        return self.text(f"{path}{query}")

    def _is_segment(self, segment: str) -> bool:
        value = unquote_to_bytes(segment)
        return len(value) >= LONG and self.is_secret(value)

    def headers(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
        return tuple((name.decode("latin-1"), self._header(name.decode("latin-1"), value)) for name, value in headers)

    def _header(self, name: str, value: bytes) -> str:
        written = text_of(value)
        if is_secret_name(name):
            scheme = SCHEME.match(written) if "authorization" in name.lower() else None
            return f"{scheme[0]} {HIDDEN}" if scheme else HIDDEN
        if self.is_secret(unquote_to_bytes(value)):
            return HIDDEN
        return self.text(written)

    def body(self, octets: bytes, content_type: bytes = b"") -> str:
        """A body as text, at most its first 64 KiB: looked through as what it says it is, and as what it looks like."""
        octets = octets[:READ_MAX]
        kind = content_type.lower()
        if b"multipart" in kind:
            written = self.multipart(octets.decode("latin-1"))
            return self.text(written.encode("latin-1").decode("utf-8", "replace"))
        begin = octets.lstrip()[:1]
        if begin in (b"{", b"["):
            return self.text(self.json(octets))
        if b"urlencoded" in kind or looks_like_form(octets):
            return self.text(self.form(octets.decode("latin-1")))
        written = text_of(octets)
        if begin == b"<":
            written = XML_ELEMENT.sub(self._member, XML_ATTRIBUTE.sub(self._member, written))
        return HIDDEN if self.is_secret_alone(octets) else self.text(written)

    def is_secret_alone(self, octets: bytes) -> bool:
        return octets.strip() in self._octets

    def form(self, written: str) -> str:
        """`a=1&b=2`, with what is a secret hidden and the rest as it was written."""
        return "&".join(self._pair(pair) for pair in written.split("&"))

    def _pair(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        plain_name = unquote_to_bytes(name.replace("+", " "))
        if equals and value and is_secret_name(text_of(plain_name)):
            return f"{name}={HIDDEN}"
        readings = {unquote_to_bytes(value.replace("+", " ")), unquote_to_bytes(value)}
        if any(map(self.is_secret, readings)):
            return f"{name}={HIDDEN}"
        return f"{HIDDEN}{equals}{value}" if self.is_secret(plain_name) else pair

    def multipart(self, written: str) -> str:
        """The parts of a form (RFC 7578), each a head, a blank line and a value."""
        return "".join(self._part(piece) for piece in PART_BEGIN.split(written))

    def _part(self, piece: str) -> str:
        head, blank, value = (*PART_BLANK.split(piece, 1), "", "")[:3]
        is_named = any(map(is_secret_name, PART_NAME.findall(head)))
        return head + blank + (HIDDEN if value and (is_named or self.is_secret(value.encode("latin-1"))) else value)

    def json(self, octets: bytes) -> str:
        try:
            read = msgspec.json.decode(octets)
            hidden = self._hidden(read, JSON_DEPTH)
            return text_of(octets) if hidden == read else msgspec.json.encode(hidden).decode()
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return JSON_MEMBER.sub(self._member, text_of(octets))

    def _hidden(self, read: Any, depth: int) -> Any:
        if isinstance(read, dict):
            return {
                (HIDDEN if self.is_secret(name.encode("utf-8", "replace")) else name): HIDDEN
                if is_secret_name(name) and one not in ("", None)
                else self._hidden(one, depth - 1)
                for name, one in read.items()
            }
        if not depth:
            return HIDDEN
        if isinstance(read, list):
            return [self._hidden(one, depth - 1) for one in read]
        is_word = isinstance(read, str | int | float) and not isinstance(read, bool)
        return HIDDEN if is_word and self.is_secret(str(read).encode("utf-8", "replace")) else read

    def _member(self, match: "re.Match[str]") -> str:
        head, name, value = match.groups()
        words = value.strip("\"'")
        is_hidden = bool(words) and (is_secret_name(name) or self.is_secret(words.encode("utf-8", "replace")))
        quotes = value[:1] if value[:1] in ("'", '"') else ""
        return f"{head}{quotes}{HIDDEN}{quotes}" if is_hidden else f"{head}{value}"

    def text(self, written: str) -> str:
        """The last net: every long secret, in every form in which it is usually written."""
        return self._written.sub(HIDDEN, written) if self._written is not None else written


@lru_cache(maxsize=256)  # most of what is kept comes from few
def hider_of(secrets: frozenset[str], public: frozenset[str]) -> Hider:
    """The hider of these secrets, made once."""
    return Hider(secrets, public)


def encodings_of(word: str) -> Iterator[bytes]:
    for charset in CHARSETS:
        try:
            yield word.encode(charset)
        except UnicodeEncodeError:
            continue


def forms_of(word: str) -> Iterator[str]:
    """How a word may stand in a URL, JSON, XML or base64."""
    yield word
    for octets in set(encodings_of(word)):
        yield quote(octets, safe="")
        yield quote(octets)
        yield quote_plus(octets)
        yield base64.b64encode(octets).decode().rstrip("=")
        yield binascii.hexlify(octets).decode()
        yield octets.decode("latin-1")
    yield json.dumps(word)[1:-1]
    yield json.dumps(word, ensure_ascii=False)[1:-1]
    yield html.escape(word)


def looks_like_form(octets: bytes) -> bool:
    first = octets[:200]
    return b"=" in first and not any(blank in first.split(b"=", 1)[0] for blank in (b" ", b"\n", b"<", b"{"))
