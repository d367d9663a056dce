"""Requests that must be refused, and the exact answer to each: data for every test that has a gateway to ask.

The rows hold for the whole gateway, set up as in WORLD (the form of a gateway file). Where a request is wrong in
several ways, its name says so, and the answer shows which check comes first.
"""

from base64 import b64encode
from typing import NamedTuple
from urllib.parse import quote_plus

import msgspec

from chappe.dialects.base import FORM_HEADERS, Headers, HttpRequest, HttpResponse, json_response, plain

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = "44"
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "correct horse"
balance = "100.00"
senders = ["ACME"]
numbers = ["447700900001"]

[[account]]
name = "broke"
password = "battery staple"
balance = "0.00"
senders = ["ACME"]
numbers = ["447700900003"]
"""


class WrongRequest(NamedTuple):
    """One row: which dialect, what is wrong, the request, and what must come back."""

    dialect: str
    name: str
    request: HttpRequest
    response: HttpResponse


Fields = dict[str, str | bytes]
MULTIPART: Headers = ((b"content-type", b"multipart/form-data; boundary=x"),)
JSON: Headers = ((b"content-type", b"application/json"),)


def form(fields: Fields, more: str = "") -> bytes:
    """The fields as a form; `more` is put behind it as it is."""
    return "&".join(f"{name}={quote_plus(value)}" for name, value in fields.items()).encode() + more.encode()


def multipart(fields: Fields) -> bytes:
    parts = (
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value!s}\r\n' for name, value in fields.items()
    )
    return ("".join(parts) + "--x--\r\n").encode()


def post(path: str, body: bytes, headers: Headers = FORM_HEADERS, method: str = "POST") -> HttpRequest:
    return HttpRequest(method=method, path=path, headers=headers, body=body)


def without(fields: Fields, name: str) -> Fields:
    return {key: value for key, value in fields.items() if key != name}


def numbers(count: int) -> str:
    return ",".join(str(447_700_000_000 + index) for index in range(count))


# SMSFox: the code, what is wrong, and the request

FOX: Fields = {"login": "alice", "pwd": "correct horse", "phones": "447700900002", "msg": "Hello", "sender": "ACME"}
FOX_BROKE: Fields = FOX | {"login": "broke", "pwd": "battery staple"}


def fox(more: str = "", **changed: str | bytes) -> HttpRequest:
    return post("/en/api/", form(FOX | changed, more))


SMSFOX_ROWS: list[tuple[str, str, HttpRequest]] = [
    ("03", "nothing at all", post("/en/api/", b"")),
    ("03", "no login", post("/en/api/", form(without(FOX, "login")))),
    ("03", "no password", post("/en/api/", form(without(FOX, "pwd")))),
    ("03", "an unknown account", fox(login="nobody")),
    ("03", "a wrong password", fox(pwd="wrong horse")),
    ("03", "the right password, then another: the last counts", fox("&pwd=wrong")),
    ("03", "a password in another charset", fox(pwd=b"correct\xa0horse")),
    ("03", "a password with a NUL behind it", fox(pwd="correct horse\0")),
    ("03", "a JSON body", post("/en/api/", b'{"login": "alice", "pwd": "correct horse"}', JSON)),
    ("03", "a form in UTF-16", post("/en/api/", form(FOX).decode().encode("utf-16"))),
    (
        "03",
        "multipart without its boundary",
        post("/en/api/", multipart(FOX), ((b"content-type", b"multipart/form-data"),)),
    ),
    ("03", "wrong in every way", fox(login="nobody", phones="x", msg="", sender="\0")),
    ("02", "the method PUT", post("/en/api/", form(FOX), method="PUT")),
    ("02", "the method DELETE", HttpRequest(method="DELETE", path="/api", query=form(FOX))),
    ("02", "no phones", post("/en/api/", form(without(FOX, "phones")))),
    ("02", "nothing between the separators", fox(phones=" , ; ")),
    ("02", "no text", post("/en/api/", form(without(FOX, "msg")))),
    ("02", "an empty text", fox(msg="")),
    ("02", "a text, then an empty one: the last counts", fox("&msg=")),
    ("02", "801 characters", fox(msg="a" * 801)),
    ("02", "801 characters that are none of ASCII", fox(msg="й" * 801)),
    ("02", "801 characters as multipart", post("/en/api/", multipart(FOX | {"msg": "a" * 801}), MULTIPART)),
    ("02", "an id of 65 characters", fox(id="1" * 65)),
    ("02", "10,001 phones", fox(phones=numbers(10_001))),
    ("02", "100,000 phones", fox(phones=numbers(100_000))),
    ("02", "a body of 9 MiB", fox(msg="a" * (9 << 20))),
    ("02", "801 characters, to no number", fox(msg="a" * 801, phones="12")),
    ("04", "a number of two digits", fox(phones="12")),
    ("04", "a number of 16 digits", fox(phones="4477009000021234")),
    ("04", "a number of letters", fox(phones="nobody")),
    ("04", "a number of Arabic digits", fox(phones="٤٤٧٧٠٠٩٠٠٠٠٢")),
    ("04", "a number of bytes that are no text", fox(phones=b"\xff\xfe\x81")),
    ("04", "a number with a NUL inside", fox(phones="447700\0900002")),
    ("04", "one number that is good and one that is not", fox(phones="447700900002,12")),
    ("04", "a bad number, from a sender that is not allowed", fox(phones="12", sender="BANK")),
    ("06", "a sender that is not the account's", fox(sender="BANK")),
    ("06", "a sender that is too long for any", fox(sender="ACME ACME ACME")),
    ("06", "a number of another account as sender", fox(sender="447700900003")),
    ("06", "a sender that is not allowed, to a country without a route", fox(sender="BANK", phones="390612345678")),
    ("07", "a country without a route", fox(phones="390612345678")),
    ("07", "one number with a route and one without", fox(phones="447700900002;390612345678")),
    ("07", "a country without a route, and no money", post("/en/api/", form(FOX_BROKE | {"phones": "390612345678"}))),
    ("05", "no money", post("/en/api/", form(FOX_BROKE))),
    ("05", "enough money for one segment, to 10,000 phones of two", fox(phones=numbers(10_000), msg="a" * 161)),
]

# Proovl: the line, what is wrong, and the request

PRO: Fields = {
    "user": "alice",
    "token": "correct horse",
    "route": "1",
    "from": "447700900001",
    "to": "447700900002",
    "text": "Hello",
}
PRO_BROKE: Fields = PRO | {"user": "broke", "token": "battery staple", "from": "447700900003"}


def pro(more: str = "", **changed: str | bytes) -> HttpRequest:
    return post("/api/send.php", form(PRO | {name.rstrip("_"): value for name, value in changed.items()}, more))


def pro_broke(**changed: str | bytes) -> HttpRequest:
    return post("/api/send.php", form(PRO_BROKE | changed))


def check(**fields: str | bytes) -> HttpRequest:
    return ask("/api/check.php", **fields)


def ask(path: str, **fields: str | bytes) -> HttpRequest:
    return HttpRequest(method="GET", path=path, query=form(dict(fields)))


def about_number(path: str, **changed: str) -> HttpRequest:
    return ask(path, user="alice", token="correct horse", **{"number": "447700900003"} | changed)


PROOVL_ROWS: list[tuple[str, str, HttpRequest]] = [
    ("Error;Authorization error", "nothing at all", post("/api/send.php", b"")),
    ("Error;Authorization error", "no user", post("/api/send.php", form(without(PRO, "user")))),
    ("Error;Authorization error", "no token", post("/api/send.php", form(without(PRO, "token")))),
    ("Error;Authorization error", "an unknown user", pro(user="nobody")),
    ("Error;Authorization error", "a wrong token", pro(token="wrong horse")),
    ("Error;Authorization error", "the right token, then another: the last counts", pro("&token=wrong")),
    ("Error;Authorization error", "a token in another charset", pro(token=b"correct\xa0horse")),
    ("Error;Authorization error", "a JSON body", post("/api/send.php", b'{"user": "alice"}', JSON)),
    ("Error;Authorization error", "a form in UTF-16", post("/api/send.php", form(PRO).decode().encode("utf-16"))),
    ("Error;Authorization error", "wrong in every way", pro(user="nobody", to="x", from_="", text="", route="9")),
    ("Error;Authorization error", "the method PUT", post("/api/send.php", form(PRO), method="PUT")),
    ("Error;Invalid number", "no receiver", post("/api/send.php", form(without(PRO, "to")))),
    ("Error;Invalid number", "nothing between the commas", pro(to=" , ,")),
    ("Error;Invalid number", "a number of two digits", pro(to="12")),
    ("Error;Invalid number", "a number of 16 digits", pro(to="4477009000021234")),
    ("Error;Invalid number", "a number of letters", pro(to="nobody")),
    ("Error;Invalid number", "numbers split by a semicolon", pro(to="447700900002;447700900004")),
    ("Error;Invalid number", "a number of bytes that are no text", pro(to=b"\xff\xfe\x81")),
    ("Error;Invalid number", "one number that is good and one that is not", pro(to="447700900002,12")),
    ("Error;Invalid number", "a bad number, from a sender that is not allowed", pro(to="12", from_="447700900003")),
    ("Error;Invalid number", "10,001 receivers", pro(to=numbers(10_001))),
    ("Error;Invalid request", "100,000 receivers", pro(to=numbers(100_000))),
    ("Error;Invalid request", "a body of 9 MiB", pro(text="a" * (9 << 20))),
    ("Error;Invalid sender", "no sender", post("/api/send.php", form(without(PRO, "from")))),
    ("Error;Invalid sender", "a blank as sender", pro(from_=" ")),
    ("Error;Invalid sender", "a number of another account as sender", pro(from_="447700900003")),
    ("Error;Invalid sender", "a name that is not the account's", pro(from_="BANK")),
    ("Error;Empty text", "no text", post("/api/send.php", form(without(PRO, "text")))),
    ("Error;Empty text", "an empty text", pro(text="")),
    ("Error;Empty text", "a text, then an empty one: the last counts", pro("&text=")),
    ("Error;Text too long", "a text of more than 255 parts", pro(text="a" * 40_000)),
    ("Error;Invalid route", "a route that does not exist", pro(route="3")),
    ("Error;Invalid route", "a route in words", pro(route="standard")),
    ("Error;Invalid route", "a country without a route", pro(to="390612345678")),
    ("Error;Invalid route", "a country without a route, and no money", pro_broke(to="390612345678")),
    ("Error;Insufficient balance", "no money", pro_broke()),
    ("Error;Message not found", "check: nothing at all", check()),
    ("Error;Message not found", "check: no phone", check(id="9001")),
    ("Error;Message not found", "check: no id", check(phone="447700900001")),
    ("Error;Message not found", "check: an unknown id", check(id="9001", phone="447700900001")),
    ("Error;Message not found", "check: an id in hexadecimal", check(id="0x2329", phone="447700900001")),
    ("Error;Message not found", "check: an id below zero", check(id="-1", phone="447700900001")),
    ("Error;Message not found", "check: an id beyond 63 bits", check(id=str(2**63), phone="447700900001")),
    ("Error;Message not found", "check: an id in Arabic digits", check(id="٩٠٠١", phone="447700900001")),
    ("Error;Message not found", "check: an id of 1,000 digits", check(id="9" * 1000, phone="447700900001")),
    ("Error;Authorization error", "balance: nothing at all", ask("/api/balance.php")),
    ("Error;Authorization error", "balance: a wrong token", ask("/api/balance.php", user="alice", token="wrong")),
    ("Error;Authorization error", "numbers: a wrong token", ask("/api/numbers.php", user="alice", token="wrong")),
    ("Error;Authorization error", "buy: nothing at all", ask("/api/buy.php")),
    ("Error;Number not found", "buy: a number that nobody offers", about_number("/api/buy.php")),
    ("Error;Number not found", "buy: a number of letters", about_number("/api/buy.php", number="all")),
    ("Error;Number not found", "buy: a number of 10,000 digits", about_number("/api/buy.php", number="4" * 10_000)),
    ("Error;Number not found", "cancel: a number of another account", about_number("/api/cancel.php")),
    ("Error;Number not found", "cancel: no number", about_number("/api/cancel.php", number="")),
    ("Error;Number not found", "settings: a number of another account", about_number("/api/settings.php", url="x")),
]

# voip-communications: an error, or the entry of each number; what is wrong, and the request

VOIP: Fields = {"from": "447700900001", "to": "447700900002", "msg": "Hello"}
ALICE, BROKE = "alice:correct horse", "broke:battery staple"
VOIP_ROOT = "/api-v2/index.php/"


def basic(credentials: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Basic " + b64encode(credentials.encode())


def voip(credentials: str = ALICE, more: str = "", **changed: str | bytes) -> HttpRequest:
    fields = VOIP | {name.rstrip("_"): value for name, value in changed.items()}
    return post(VOIP_ROOT + "sms/send", form(fields, more), (*FORM_HEADERS, basic(credentials)))


def voip_method(path: str, method: str = "POST", credentials: str = ALICE, **fields: str | bytes) -> HttpRequest:
    return post(VOIP_ROOT + path, form(fields), (*FORM_HEADERS, basic(credentials)), method)


def voip_error(text: str, status: int = 200) -> HttpResponse:
    return json_response({"error": True, "error_message": text}, status)


def voip_log(code: int, text: str, *, to: str = "447700900002", country: str = "GB", **changed: str) -> HttpResponse:
    said = {"from": "447700900001", "msg": "Hello", "type": "2WAYSMS"} | {
        name.rstrip("_"): value for name, value in changed.items()
    }
    entry = {
        "code": code,
        "code_desc": text,
        "from": said["from"],
        "to": to,
        "country": country,
        "msg": said["msg"],
        "delivery_date": "",
        "sale": 0.0,
        "type": said["type"],
        "status": "FAILED",
        "smsid": "",
    }
    return json_response({"send_log": [entry]})


VOIP_UNAUTHORISED = json_response(
    {"error": True, "error_message": "Invalid API credentials"},
    401,
    ((b"www-authenticate", b'Basic realm="api-v2", charset="UTF-8"'),),
)
VOIP_INVALID = voip_error("Invalid request")
VOIP_NOT_FOUND = voip_error("Message not found")
ITALY = {"to": "390612345678", "country": "IT"}

VOIPCOM_ROWS: list[tuple[HttpResponse, str, HttpRequest]] = [
    (VOIP_UNAUTHORISED, "nothing at all", post(VOIP_ROOT + "sms/send", b"")),
    (VOIP_UNAUTHORISED, "a login in the fields", post(VOIP_ROOT + "sms/send", form(VOIP | FOX))),
    (VOIP_UNAUTHORISED, "an unknown account", voip("nobody:correct horse")),
    (VOIP_UNAUTHORISED, "a wrong password", voip("alice:wrong horse")),
    (VOIP_UNAUTHORISED, "a password with a colon behind it", voip(ALICE + ":")),
    (VOIP_UNAUTHORISED, "no password", voip("alice:")),
    (VOIP_UNAUTHORISED, "a name alone", voip("alice")),
    (VOIP_UNAUTHORISED, "no name", voip(":correct horse")),
    (VOIP_UNAUTHORISED, "wrong in every way", voip("nobody:", to="x", msg="", from_="\0")),
    (VOIP_INVALID, "the method PUT", post(VOIP_ROOT + "sms/send", form(VOIP), (basic(ALICE),), "PUT")),
    (VOIP_INVALID, "the method DELETE", post(VOIP_ROOT + "sms/send", form(VOIP), (basic(ALICE),), "DELETE")),
    (voip_error("Invalid request", 404), "a method that does not exist", voip_method("sms/sent")),
    (voip_error("Invalid request", 404), "the phone app's login", voip_method("cms/login", username="alice")),
    (voip_error("Invalid request", 404), "the root alone", voip_method("")),
    (voip_error("Invalid number"), "no number", voip(to="")),
    (voip_error("Invalid number"), "nothing between the separators", voip(to=" , , ")),
    (voip_error("Invalid number"), "a number, then none: the last counts", voip(more="&to=")),
    (voip_error("Too many numbers"), "10,001 numbers", voip(to=numbers(10_001))),
    (voip_error("Too many numbers"), "1,001 times 10,000 characters", voip(to=numbers(1_001), msg="a" * 10_000)),
    (VOIP_INVALID, "100,000 numbers", voip(to=numbers(100_000))),
    (VOIP_INVALID, "a body of 9 MiB", voip(msg="a" * (9 << 20))),
    (VOIP_INVALID, "a date that is none", voip(delivery_date="whenever")),
    (VOIP_INVALID, "a date of 10,000 characters", voip(delivery_date="now " * 2_500)),
    (voip_error("Invalid number"), "a date that is none, to nobody", voip(delivery_date="whenever", to="")),
    (voip_log(406, "Empty message", msg=""), "no text", voip(msg="")),
    (voip_log(406, "Empty message", msg=""), "a text, then an empty one: the last counts", voip(more="&msg=")),
    (voip_log(400, "Invalid number", to="12", country=""), "a number of two digits", voip(to="12")),
    (voip_log(400, "Invalid number", to="nobody", country=""), "a number of letters", voip(to="nobody")),
    (voip_log(400, "Message too long", msg="a" * 40_000), "more than 255 pieces", voip(msg="a" * 40_000)),
    (voip_log(403, "Sender not allowed", from_="BANK"), "a sender that is not the account's", voip(from_="BANK")),
    (
        voip_log(403, "Sender not allowed", from_="447700900003"),
        "a number of another account as sender",
        voip(from_="447700900003"),
    ),
    (voip_log(400, "Destination not available", **ITALY), "a country without a route", voip(to="390612345678")),
    (voip_log(402, "Insufficient balance", from_="447700900003"), "no money", voip(BROKE, from_="447700900003")),
    (
        voip_log(402, "Insufficient balance", from_="ACME", type="BULKSMS"),
        "no money, in the bulk class",
        voip(BROKE, from_=""),
    ),
    (VOIP_UNAUTHORISED, "summary: a wrong password", voip_method("sms/summary", credentials="alice:wrong")),
    (VOIP_UNAUTHORISED, "chat: no password", voip_method("sms/chat", credentials="alice:")),
    (voip_error("Invalid number"), "chat: with nobody", voip_method("sms/chat", internal="447700900001")),
    (voip_error("Invalid number"), "chat: with a name", voip_method("sms/chat", external="ACME")),
    (VOIP_INVALID, "delete: no id", voip_method("sms/delete")),
    (VOIP_INVALID, "delete: 101 ids", voip_method("sms/delete", smsid=",".join(["1"] * 101))),
    (VOIP_NOT_FOUND, "delete: an id that is not ours", voip_method("sms/delete", smsid="9001")),
    (VOIP_NOT_FOUND, "delete: an unknown id", voip_method("sms/delete", smsid="900165920080000000000009001")),
    (VOIP_NOT_FOUND, "delete: an id beyond 63 bits", voip_method("sms/delete", smsid="0000ffffffff000009999999999")),
    (VOIP_NOT_FOUND, "delete: 1,000 digits", voip_method("sms/delete", smsid="9" * 1000)),
    (VOIP_NOT_FOUND, "DELETE: an unknown id", voip_method("sms/scheduled", "DELETE", smsid="x")),
]

# SMS Centre: the line, what is wrong, and the request

SMSC: Fields = {"login": "alice", "psw": "correct horse", "phones": "447700900002", "mes": "Hello", "sender": "ACME"}
SMSC_BROKE: Fields = SMSC | {"login": "broke", "psw": "battery staple"}
SMSC_TEXT: Headers = ((b"content-type", b"text/plain; charset=windows-1251"),)


def smsc(more: str = "", **changed: str | bytes) -> HttpRequest:
    return post("/sys/send.php", form(SMSC | changed, more))


def smsc_ask(script: str, more: str = "", psw: str = "correct horse") -> HttpRequest:
    return post(f"/sys/{script}.php", form({"login": "alice", "psw": psw}, more))


SMSC_ROWS: list[tuple[str, str, HttpRequest]] = [
    ("ERROR = 2 (authorise error)", "nothing at all", post("/sys/send.php", b"")),
    ("ERROR = 2 (authorise error)", "the method PUT", post("/sys/send.php", form(SMSC), method="PUT")),
    ("ERROR = 2 (authorise error)", "the fields as JSON", post("/sys/send.php", b'{"login": "alice"}', JSON)),
    ("ERROR = 2 (authorise error)", "an unknown account", smsc(login="nobody")),
    ("ERROR = 2 (authorise error)", "a wrong password", smsc(psw="wrong horse")),
    ("ERROR = 2 (authorise error)", "a password, then a wrong one: the last counts", smsc("&psw=wrong")),
    ("ERROR = 2 (authorise error)", "no password", post("/sys/send.php", form(without(SMSC, "psw")))),
    ("ERROR = 2 (authorise error)", "a key that there is not, beside a right password", smsc(apikey="wrong")),
    ("ERROR = 2 (authorise error)", "no login: the password is no key", smsc(login="")),
    ("ERROR = 1 (parameters error)", "a charset that there is not", smsc(charset="latin-9")),
    ("ERROR = 1 (parameters error)", "no phones", smsc(phones="")),
    ("ERROR = 1 (parameters error)", "nothing between the separators", smsc(phones=",;,")),
    ("ERROR = 1 (parameters error)", "no text", smsc(mes="")),
    ("ERROR = 1 (parameters error)", "nothing but a comment", smsc(mes="\n~~~\norder 17")),
    ("ERROR = 1 (parameters error)", "1,001 characters", smsc(mes="a" * 1_001)),
    ("ERROR = 1 (parameters error)", "10,001 phones", smsc(phones=numbers(10_001))),
    ("ERROR = 1 (parameters error)", "a body of 9 MiB", smsc(mes="a" * (9 << 20))),
    ("ERROR = 1 (parameters error)", "100,000 phones", smsc(phones=numbers(100_000))),
    ("ERROR = 1 (parameters error)", "an id of 41 characters", smsc(id="a" * 41)),
    ("ERROR = 1 (parameters error)", "an id with a blank inside", smsc(id="a b")),
    ("ERROR = 1 (parameters error)", "a translit that there is not", smsc(translit="3")),
    ("ERROR = 1 (parameters error)", "parts that are no number", smsc(maxsms="many")),
    ("ERROR = 1 (parameters error)", "a cost that there is not", smsc(cost="4")),
    ("ERROR = 1 (parameters error)", "a life of 25 hours", smsc(valid="25")),
    ("ERROR = 1 (parameters error)", "octets that are no digits", smsc(bin="2", mes="xyz")),
    ("ERROR = 1 (parameters error)", "an HLR query", smsc(hlr="1")),
    ("ERROR = 1 (parameters error)", "a call", smsc(call="1")),
    ("ERROR = 1 (parameters error)", "a list without texts", smsc(list="447700900002")),
    ("ERROR = 5 (invalid date)", "a day that there is not", smsc(time="3202261200")),
    ("ERROR = 5 (invalid date)", "a date of 10,000 characters", smsc(time="1" * 10_000)),
    ("ERROR = 7 (invalid number), ID - 17", "a phone of two digits", smsc(phones="12", id="17")),
    ("ERROR = 7 (invalid number)", "a phone of letters", smsc(phones="nobody")),
    ("ERROR = 7 (invalid number)", "a group that there is not", smsc(phones="G5")),
    ("ERROR = 6 (message is denied)", "a sender that is not the account's", smsc(sender="BANK")),
    ("ERROR = 6 (message is denied)", "a number of another account as sender", smsc(sender="447700900003")),
    ("ERROR = 8 (can't to deliver)", "a country without a route", smsc(phones="390612345678")),
    ("ERROR = 3 (no money), ID - 17", "no money", post("/sys/send.php", form(SMSC_BROKE | {"id": "17"}))),
    ("0,-2", "in numbers", smsc(psw="wrong horse", fmt="1")),
    ("ERROR = 2 (authorise error)", "a format that there is not, and a wrong password", smsc(psw="wrong", fmt="9")),
    ("ERROR = 2 (authorise error)", "balance: a wrong password", smsc_ask("balance", psw="wrong horse")),
    ("ERROR = 1 (parameters error)", "status: no id", smsc_ask("status", "&phone=447700900002")),
    ("ERROR = 1 (parameters error)", "status: no phone", smsc_ask("status", "&id=17")),
    ("ERROR = 1 (parameters error)", "status: 501 of them", smsc_ask("status", f"&id=17&phone={numbers(501)}")),
    (
        "ERROR = 1 (parameters error)",
        "status: more ids than phones",
        smsc_ask("status", "&id=1,2&phone=447700900002"),
    ),
    ("Status = -3", "status: an unknown id", smsc_ask("status", "&id=999&phone=447700900002")),
    (
        "ERROR = 5 (delete failed)",
        "del: an unknown id",
        smsc_ask("status", "&id=999&phone=447700900002&del=1"),
    ),
    ("ERROR = 1 (parameters error)", "get: nothing", smsc_ask("get")),
    (
        "ERROR = 1 (parameters error)",
        "get: a year",
        smsc_ask("get", "&get_messages=1&start=01.01.2026&end=31.12.2026"),
    ),
    ("ERROR = 1 (parameters error)", "get: 1,001 rows", smsc_ask("get", "&get_messages=1&cnt=1001")),
    ("ERROR = 1 (parameters error)", "get: a year of answers", smsc_ask("get", "&get_answers=1&hour=8760")),
]

# smsend: status, number and text of the fault; what is wrong, and the request. First what an account keeps

REST = "/API/v1.0/REST/"


def rest(method: str, path: str, body: object = None, *headers: tuple[bytes, bytes]) -> HttpRequest:
    """A request of alice's, or of whoever the headers say, with a JSON body where there is one."""
    path, _, query = path.partition("?")
    octets = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    return HttpRequest(
        method=method,
        path=REST + path,
        query=query.encode(),
        headers=(*JSON, *(headers or (basic(ALICE),))),
        body=octets,
    )


def fault(status: int, code: int, text: str) -> HttpResponse:
    return json_response({"result": text, "error_code": code, "error_message": text}, status)


REST_UNAUTHORISED = fault(401, 200, "Unauthorized")
REST_NOT_FOUND = fault(404, 300, "Not found")
BAD_NUMBER = fault(400, 101, "Invalid recipient")


def bad(detail: str) -> HttpResponse:
    return fault(400, 100, f"Bad request: {detail}")


PIN = {"recipient": "447700900002", "messageBody": "%PIN%"}
SHOP = {"login": "shop", "password": "battery99"}
NO_AMOUNT = bad("amount or message-type")
ANNA = {"phoneNumber": "+447700900002"}
SMSEND_BELONGINGS_ROWS: list[tuple[HttpResponse, str, HttpRequest]] = [
    (REST_UNAUTHORISED, "contacts: a wrong password", rest("GET", "contacts", None, basic("alice:wrong"))),
    (REST_UNAUTHORISED, "subaccounts: no login", rest("GET", "subaccounts", None, (b"accept", b"*/*"))),
    (REST_UNAUTHORISED, "contact: no login, and no JSON", rest("POST", "contact", b"{", (b"accept", b"*/*"))),
    (bad("the body is not JSON"), "contact: no JSON", rest("POST", "contact", b"{")),
    (bad("the body is not JSON"), "contact: no body", rest("POST", "contact")),
    (bad("the body is of the wrong kind"), "contact: a list", rest("POST", "contact", [ANNA])),
    (bad("a contact is an object"), "contacts: a list of numbers", rest("POST", "contacts", {"contacts": [1]})),
    (bad("name"), "contact: a name of 41 characters", rest("POST", "contact", ANNA | {"name": "a" * 41})),
    (bad("name"), "contact: a name that is a list", rest("POST", "contact", ANNA | {"name": ["Anna"]})),
    (bad("gender"), "contact: another gender", rest("POST", "contact", ANNA | {"gender": "x"})),
    (bad("birthdate"), "contact: a date that is none", rest("POST", "contact", ANNA | {"birthdate": "soon"})),
    (bad("groupIds"), "contact: a group that is no id", rest("POST", "contact", ANNA | {"groupIds": ["x"]})),
    (bad("groupIds"), "contact: an unknown group", rest("POST", "contact", ANNA | {"groupIds": ["9"]})),
    (REST_NOT_FOUND, "contact: an unknown id", rest("GET", "contact/9001")),
    (REST_NOT_FOUND, "contact: an id in letters", rest("GET", "contact/anna")),
    (REST_NOT_FOUND, "contact: an id of 1,000 digits", rest("GET", "contact/" + "9" * 1000)),
    (REST_NOT_FOUND, "contact: another method", rest("PATCH", "contact/9001")),
    (bad("pageNumber and pageSize are whole numbers from 1"), "contacts: page 0", rest("GET", "contacts?pageNumber=0")),
    (bad("name and description are needed"), "group: no name", rest("POST", "group", {"description": "all"})),
    (bad("name and description are needed"), "group: no description", rest("POST", "group", {"name": "Friends"})),
    (REST_NOT_FOUND, "group: an unknown one changes", rest("PUT", "group/9001", {"name": "a", "description": "b"})),
    (REST_NOT_FOUND, "group: an unknown one goes", rest("DELETE", "group/9001")),
    (REST_NOT_FOUND, "group: an unknown contact joins", rest("POST", "group/9001/contact/9002")),
    (REST_NOT_FOUND, "blacklist: an unknown contact", rest("POST", "contact/add_to_blacklist/9001")),
    (bad("an unknown id"), "blacklist: unknown contacts", rest("POST", "contact/add_to_blacklist_batch", ["9001"])),
    (bad("a list of ids"), "blacklist: contacts in letters", rest("POST", "contact/add_to_blacklist_batch", ["x"])),
    (fault(400, 101, "Invalid recipient: phoneNumber is missing"), "blacklist: nobody", rest("POST", "blacklist/sms")),
    (BAD_NUMBER, "blacklist: an object as a number", rest("POST", "blacklist/smsbatch", [{}])),
    (BAD_NUMBER, "blacklist: 10,001 numbers", rest("POST", "blacklist/smsbatch", ["+447700900002"] * 10_001)),
    (bad("from, to or origins"), "blacklist: a time that is none", rest("GET", "blacklist/sms?from=soon")),
    (bad("timezone"), "blacklist: a zone that is none", rest("GET", "blacklist/sms?timezone=../../etc/passwd")),
    (bad("alias is missing"), "alias: none", rest("POST", "alias", {})),
    (bad("company-name"), "alias: one key of eleven", rest("POST", "alias", {"alias": {"alias": "ACME"}})),
    (REST_NOT_FOUND, "alias: an unknown id", rest("GET", "alias/9001")),
    (REST_NOT_FOUND, "alias: an unknown one goes", rest("DELETE", "alias/9001")),
    (BAD_NUMBER, "2fa: to nobody", rest("POST", "2fa/request", {"messageBody": "%PIN%"})),
    (bad("senderName, messageBody or expiry"), "2fa: for ever", rest("POST", "2fa/request", PIN | {"expiry": 10**9})),
    (bad("recipient and pin are needed"), "2fa: no code", rest("POST", "2fa/verify", {"recipient": "447700900002"})),
    (bad("login"), "subaccount: no login", rest("POST", "subaccount", {"password": "battery99"})),
    (bad("password"), "subaccount: no password", rest("POST", "subaccount", {"login": "shop"})),
    (bad("city"), "subaccount: a city of 257 characters", rest("POST", "subaccount", SHOP | {"city": "a" * 257})),
    (REST_NOT_FOUND, "subaccount: an unknown id", rest("GET", "subaccount/9001")),
    (REST_NOT_FOUND, "subaccount: an unknown one changes", rest("PUT", "subaccount/9001", {"city": "York"})),
    (REST_NOT_FOUND, "subaccount: somebody else's account", rest("GET", "subaccount/1")),
    (bad("password"), "subaccount: a short password", rest("PUT", "subaccount/9001/changepwd", {"password": "short"})),
    (REST_NOT_FOUND, "subaccount: an unknown one's password", rest("PUT", "subaccount/9001/changepwd", SHOP)),
    (REST_NOT_FOUND, "subaccount: an unknown one's credit", rest("GET", "subaccount/9001/credit")),
    (REST_NOT_FOUND, "credit: to an unknown one", rest("POST", "subaccount/9001/credit", {"amount": 1})),
    (NO_AMOUNT, "credit: no amount", rest("POST", "subaccount/9001/credit", {})),
    (NO_AMOUNT, "credit: less than nothing", rest("POST", "subaccount/9001/credit", {"amount": -1})),
    (NO_AMOUNT, "credit: an amount that is no number", rest("POST", "subaccount/9001/credit", {"amount": "NaN"})),
    (REST_NOT_FOUND, "purchases: of an unknown one", rest("GET", "subaccount/9001/purchase")),
    (REST_NOT_FOUND, "purchases: an unknown one goes", rest("DELETE", "subaccount/9001/purchase/9002")),
    (REST_NOT_FOUND, "e-mail lists, which are not ours", rest("POST", "list", {})),
]

# smsend: the messages themselves

REST_SMS: dict[str, object] = {
    "message_type": "N",
    "message": "Hello",
    "recipient": ["+447700900002"],
    "sender": "ACME",
}


def rest_sms(credentials: str = ALICE, *, path: str = "sms", **changed: object) -> HttpRequest:
    return rest("POST", path, REST_SMS | changed, basic(credentials))


BAD_JSON = bad("the body is not JSON")
BAD_KIND = bad("the body is of the wrong kind")
BAD_SENDER = fault(400, 102, "Invalid sender")
NO_TEXT = fault(400, 103, "Empty message")
LONG_TEXT = fault(400, 104, "Message too long")
NO_ROUTE = fault(400, 109, "No route to recipient")
NO_MONEY = fault(400, 110, "Not enough credit")


SMSEND_ROWS: list[tuple[HttpResponse, str, HttpRequest]] = [
    (REST_UNAUTHORISED, "no keys", HttpRequest(method="POST", path=REST + "sms", headers=JSON, body=b"{}")),
    (REST_UNAUTHORISED, "a wrong password", rest_sms("alice:wrong horse")),
    (REST_UNAUTHORISED, "an unknown account", rest_sms("nobody:correct horse")),
    (REST_UNAUTHORISED, "wrong in every way", rest("POST", "sms", b"x", basic("nobody:x"))),
    (
        fault(404, 201, "Wrong credentials"),
        "login: a wrong password",
        HttpRequest(method="GET", path=REST + "login", query=b"username=alice&password=wrong"),
    ),
    (
        fault(404, 201, "Wrong credentials"),
        "token: nothing at all",
        HttpRequest(method="GET", path=REST + "token"),
    ),
    (
        fault(404, 200, "Unauthorized"),
        "checksession: no keys",
        HttpRequest(method="GET", path=REST + "checksession"),
    ),
    (REST_NOT_FOUND, "a path without a row", rest_sms(path="nothing")),
    (REST_NOT_FOUND, "a method without a row", rest("PUT", "sms", REST_SMS)),
    (REST_NOT_FOUND, "an e-mail campaign", rest_sms(path="list")),
    (REST_NOT_FOUND, "an unknown order", rest("GET", "sms/5340BAB747918001")),
    (REST_NOT_FOUND, "an order id beyond 63 bits", rest("GET", "sms/FFFFFFFFFFFFFFFF")),
    (REST_NOT_FOUND, "what is no order id", rest("GET", "sms/a%20b")),
    (REST_NOT_FOUND, "an unknown order, to be deleted", rest("DELETE", "sms/nothing")),
    (
        bad("from and to are yyyyMMddHHmmss, and from is needed"),
        "history: no from",
        rest("GET", "smshistory"),
    ),
    (BAD_JSON, "no body", rest("POST", "sms", b"")),
    (BAD_JSON, "a form", rest("POST", "sms", b"message_type=N&message=Hello")),
    (BAD_JSON, "half a body", rest("POST", "sms", b'{"message_type": "N"')),
    (BAD_JSON, "a body 100,000 lists deep", rest("POST", "sms", b"[" * 100_000)),
    (BAD_JSON, "a body in UTF-16", rest("POST", "sms", '{"message_type": "N"}'.encode("utf-16"))),
    (BAD_KIND, "a list", rest("POST", "sms", b"[]")),
    (BAD_KIND, "a string", rest("POST", "sms", b'"sms"')),
    (fault(400, 100, "Bad request"), "a body of 9 MiB", rest_sms(message="a" * (9 << 20))),
    (bad("message_type"), "no message type", rest_sms(message_type=None)),
    (bad("message_type"), "an unknown message type", rest_sms(message_type="XX")),
    (bad("message"), "a message that is a list", rest_sms(message=["Hello"])),
    (bad("order_id"), "an order id of 33 characters", rest_sms(order_id="x" * 33)),
    (bad("order_id"), "an order id with a blank", rest_sms(order_id="a b")),
    (bad("encoding"), "an encoding that is none", rest_sms(encoding="utf-8")),
    (bad("scheduled_delivery_time"), "a time that is none", rest_sms(scheduled_delivery_time="soon")),
    (bad("scheduled_delivery_timezone"), "a zone that is none", rest_sms(scheduled_delivery_timezone="Mars")),
    (bad("statusnotificationURL"), "a URL that is none", rest_sms(statusnotificationURL="x")),
    (bad("id_landing"), "a landing page", rest_sms(id_landing=1)),
    (NO_TEXT, "no text", rest_sms(message=None)),
    (NO_TEXT, "an empty text", rest_sms(message="")),
    (LONG_TEXT, "1,001 characters", rest_sms(message="a" * 1001)),
    (LONG_TEXT, "451 characters beyond GSM", rest_sms(message="й" * 451)),
    (LONG_TEXT, "161 characters of low quality", rest_sms(message="a" * 161, message_type="LL")),
    (BAD_NUMBER, "no recipient", rest_sms(recipient=None)),
    (BAD_NUMBER, "nobody in the list", rest_sms(recipient=[])),
    (BAD_NUMBER, "a number of two digits", rest_sms(recipient=["12"])),
    (BAD_NUMBER, "a number of letters", rest_sms(recipient="nobody")),
    (BAD_NUMBER, "a number of Arabic digits", rest_sms(recipient=["٤٤٧٧٠٠٩٠٠٠٠٢"])),
    (BAD_NUMBER, "one number that is good and one that is not", rest_sms(recipient=["+447700900002", "12"])),
    (BAD_NUMBER, "a bad number, from a sender that is not allowed", rest_sms(recipient=["12"], sender="BANK")),
    (BAD_NUMBER, "a recipient without a number, with variables", rest_sms(path="paramsms", recipients={"0": {"n": 1}})),
    (fault(400, 105, "Too many recipients"), "10,001 recipients", rest_sms(recipient=numbers(10_001).split(","))),
    (BAD_SENDER, "a sender that is not the account's", rest_sms(sender="BANK")),
    (BAD_SENDER, "a number of another account as sender", rest_sms(sender="447700900003")),
    (NO_ROUTE, "a country without a route", rest_sms(recipient=["+390612345678"])),
    (NO_MONEY, "no money", rest_sms("broke:battery staple", sender="447700900003")),
]

ROWS: dict[str, list[tuple[HttpResponse, str, HttpRequest]]] = {
    "smsfox": [(plain(code), name, request) for code, name, request in SMSFOX_ROWS],
    "proovl": [(plain(line), name, request) for line, name, request in PROOVL_ROWS],
    "voipcom": VOIPCOM_ROWS,
    "smsend": SMSEND_BELONGINGS_ROWS + SMSEND_ROWS,
    "smscentre": [
        (HttpResponse(headers=SMSC_TEXT, body=line.encode()), name, request) for line, name, request in SMSC_ROWS
    ],
}

WRONG_REQUESTS: list[WrongRequest] = [
    WrongRequest(dialect, name, request, response) for dialect, rows in ROWS.items() for response, name, request in rows
]


class RightRequest(NamedTuple):
    """What the wrong ones of a dialect are made from, and how its answer begins."""

    dialect: str
    request: HttpRequest
    start: bytes


RIGHT_REQUESTS: list[RightRequest] = [
    RightRequest("smsfox", post("/en/api/", form(FOX)), b"01"),
    RightRequest("proovl", post("/api/send.php", form(PRO)), b"Sent;"),
    RightRequest("voipcom", voip(), b'{"send_log":[{"code":200,"code_desc":"",'),
    RightRequest("smsend", rest_sms(), b'{"result":"OK","order_id":"'),
    RightRequest("smscentre", smsc(), b"OK - 1 SMS, ID - "),
]
