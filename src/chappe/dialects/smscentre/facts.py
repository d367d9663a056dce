"""What is known of the provider, as tables that both halves read; a value that turns out wrong is changed here alone.

Figures such as 2.1 are paragraphs of docs/dialects/smscentre.md. What is inferred, recalled or our own choice there
([I], [R], [P]) bears the word "ours".
"""

import re
from typing import NamedTuple

from chappe.core.centre import Outcome, Refusal, Refused
from chappe.core.model import VIRTUAL, Coding, Report, State

# Addresses and limits

SEND, STATUS, BALANCE, GET = "/sys/send.php", "/sys/status.php", "/sys/balance.php", "/sys/get.php"  # 1.1
REST_SENDS = ("/rest/send/", "/rest/send")  # 2.9; without its slash is ours
METHODS = ("GET", "POST")  # 1.1
BODY_MAX = 1 << 20  # bytes: ours
RECIPIENTS_MAX = 10_000  # in one request: ours
TEXT_MAX = 1_000  # characters: 2.1
STATUSES_MAX = 500  # messages asked for in one request: ours
MESSAGES_MAX = 1_000  # rows of get_messages: 4.7
MESSAGES_DEFAULT = 100  # ours
WINDOW_MAX_S = 184 * 86_400  # of get_messages, six months: 4.7
INBOUND_MAX = 10_000  # rows of get_answers: 4.7
INBOUND_HOURS_MAX = 168  # 4.7
DUPLICATE_S = 60  # within which the same is not sent twice: 2.3

# Charsets: what may be asked for, without its dash and in lower case (1.3)


class Charset(NamedTuple):
    name: str  # as answers call it
    codec: str


WINDOWS_1251 = Charset("windows-1251", "cp1251")
UTF_8 = Charset("utf-8", "utf-8")
CHARSETS = {
    "windows1251": WINDOWS_1251,
    "cp1251": WINDOWS_1251,  # ours
    "koi8r": Charset("koi8-r", "koi8-r"),
    "utf8": UTF_8,
}

# Errors


class Fault(NamedTuple):
    """A code and the text that goes with it (1.5)."""

    code: int
    text: str


PARAMETERS = Fault(1, "parameters error")
UNAUTHORISED = Fault(2, "authorise error")
NO_MONEY = Fault(3, "no money")
NO_RECORDS = Fault(3, "record not found")  # the text is ours
IP_BLOCKED = Fault(4, "ip is blocked")
BAD_DATE = Fault(5, "invalid date")  # the text is ours
NOT_DELETED = Fault(5, "delete failed")  # the text is ours
DENIED = Fault(6, "message is denied")
BAD_NUMBER = Fault(7, "invalid number")
UNDELIVERABLE = Fault(8, "can't to deliver")
DUPLICATE = Fault(9, "duplicate request, wait a minute")
TOO_MANY = Fault(9, "too many concurrent requests")

FAULTS: dict[Refusal, Fault] = {  # there is no code for our own trouble: it is "later", since nothing was taken (ours)
    Refusal.BAD_REQUEST: PARAMETERS,
    Refusal.EMPTY_TEXT: PARAMETERS,
    Refusal.TEXT_TOO_LONG: PARAMETERS,
    Refusal.TOO_MANY_RECIPIENTS: PARAMETERS,
    Refusal.UNSUPPORTED: PARAMETERS,
    Refusal.UNAUTHORISED: UNAUTHORISED,
    Refusal.NO_FUNDS: NO_MONEY,
    Refusal.NOT_FOUND: NO_RECORDS,
    Refusal.TOO_LATE: NOT_DELETED,
    Refusal.FORBIDDEN: DENIED,
    Refusal.BAD_ORIGINATOR: DENIED,
    Refusal.BAD_RECIPIENT: BAD_NUMBER,
    Refusal.NO_ROUTE: UNDELIVERABLE,
    Refusal.BLOCKED: UNDELIVERABLE,
    Refusal.DUPLICATE: DUPLICATE,
    Refusal.THROTTLED: TOO_MANY,
    Refusal.OVERLOADED: TOO_MANY,
    Refusal.UNREACHABLE: TOO_MANY,
    Refusal.INTERNAL: TOO_MANY,
}
WITH_ID = frozenset({3, 6, 7, 8})  # the codes that name the message in send.php: 1.5

REFUSALS: dict[int, Refusal] = {  # what a code means to us who send; of 9, the text tells more
    1: Refusal.BAD_REQUEST,
    2: Refusal.UNAUTHORISED,
    3: Refusal.NO_FUNDS,
    4: Refusal.UNAUTHORISED,
    5: Refusal.BAD_REQUEST,
    6: Refusal.FORBIDDEN,
    7: Refusal.BAD_RECIPIENT,
    8: Refusal.NO_ROUTE,
    9: Refusal.THROTTLED,
}
DELETION_REFUSALS = REFUSALS | {3: Refusal.NOT_FOUND, 5: Refusal.TOO_LATE}  # 3.4


def fault_of(outcome: Outcome) -> Fault:
    """The code of a refusal; a login that must wait because others failed is told so (1.5)."""
    if not isinstance(outcome, Refused):
        return FAULTS[Refusal.INTERNAL]
    if outcome.reason is Refusal.UNAUTHORISED and outcome.retry_after_s is not None:
        return IP_BLOCKED
    return FAULTS[outcome.reason]


# What became of a message


class Fate(NamedTuple):
    """A status (3.5) and an error code (3.6)."""

    status: int
    err: int = 0


STATUS_NAMES = {  # 3.5
    -3: "Сообщение не найдено",
    -2: "Остановлено",
    -1: "Ожидает отправки",
    0: "Передано оператору",
    1: "Доставлено",
    2: "Прочитано",
    3: "Просрочено",
    4: "Нажата ссылка",
    20: "Невозможно доставить",
    22: "Неверный номер",
    23: "Запрещено",
    24: "Недостаточно средств",
    25: "Недоступный номер",
}
NOT_FOUND = -3

FATES: dict[State, Fate] = {  # which err goes with what is ours
    State.SCHEDULED: Fate(-1),
    State.QUEUED: Fate(-1),
    State.SENDING: Fate(-1),
    State.SENT: Fate(0),
    State.DELIVERED: Fate(1),
    State.EXPIRED: Fate(3),
    State.UNDELIVERABLE: Fate(20),
    State.UNKNOWN: Fate(20, 245),
    State.REJECTED: Fate(20, 255),
    State.CANCELLED: Fate(-2),
}
REJECTIONS: dict[str, Fate] = {  # why a message or a number was refused: ours
    Refusal.BAD_RECIPIENT: Fate(22, 249),
    Refusal.FORBIDDEN: Fate(23, 253),
    Refusal.BLOCKED: Fate(23, 252),
    Refusal.DUPLICATE: Fate(23, 251),
    Refusal.BAD_ORIGINATOR: Fate(23, 254),
    Refusal.NO_FUNDS: Fate(24),
    Refusal.NO_ROUTE: Fate(25, 248),
}
VIRTUAL_FATE = Fate(1, 200)  # 2.8

STATES: dict[int, State] = {  # what a status means to us who send; 6 is spam, 2 and 4 are better than delivered
    -2: State.CANCELLED,
    -1: State.QUEUED,
    0: State.SENT,
    1: State.DELIVERED,
    2: State.DELIVERED,
    3: State.EXPIRED,
    4: State.DELIVERED,
    6: State.DELIVERED,
    20: State.UNDELIVERABLE,
    22: State.REJECTED,
    23: State.REJECTED,
    24: State.REJECTED,
    25: State.REJECTED,
}
WRONG_NUMBERS: dict[int, Refusal] = {  # the status of a number in the list of wrong ones: 2.5
    22: Refusal.BAD_RECIPIENT,
    23: Refusal.FORBIDDEN,
    24: Refusal.NO_FUNDS,
    25: Refusal.NO_ROUTE,
}
REPORTED = frozenset({State.DELIVERED, State.EXPIRED, State.UNDELIVERABLE, State.UNKNOWN, State.REJECTED})  # 5


def fate_of(report: Report) -> Fate:
    if report.reason == VIRTUAL:
        return VIRTUAL_FATE
    if report.state is State.REJECTED:
        return REJECTIONS.get(report.reason, FATES[State.REJECTED])
    return FATES[report.state]


def state_of(fate: Fate) -> State | None:
    """None for a status that is none of a message."""
    special = next((state for state in (State.UNKNOWN, State.REJECTED) if FATES[state] == fate), None)
    return special or STATES.get(fate.status)


# Parameters of send.php

SEPARATORS = ",;"  # between phones: 2.1
CORRECTIONS = ((re.compile("8([0-9]{10})"), r"7\1"),)  # of numbers without a plus sign: 2.1
PUNCTUATION = re.compile(r"[ ()\-.]")  # dropped from numbers: ours
CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")  # 2.1
NO_ID = ("", "0")  # 2.1
NUMERIC_ID_MAX = 2_147_483_647  # a greater one is text: 9
NO_SENDER = ("", ".")  # where it is given: not the account's own (2.1)
DEFAULT_SENDER = "SMSC.RU"  # ours
# Another kind of message than SMS: refused, and never sent as one (2.1)
NOT_SERVED = ("push", "hlr", "ping", "mms", "mail", "soc", "viber", "whatsapp", "tg", "bot", "call")
NOT_SERVED_PREFIXES = ("__CALL__", "__VIBER__", "__SOC__", "__PING__", "__HLR__")  # 2.2
COMMENT = re.compile(r"\r?\n~~~\r?\n")  # the first such line ends the text: that it stands alone is ours (2.2)
BINARY_COMMENT = re.compile(rb"\r?\n~~~\r?\npid: *([0-9]{1,3}), *dcs: *([0-9]{1,3})\s*\Z")  # 2.1
PLAIN_BINARY = (0, 4)  # protocol id and data coding of octets, the only ones we carry
LIST_LINE = re.compile(r"([^:;]*)[:;](.*)", re.DOTALL)  # 2.1
LIST_NUMBERS = re.compile(r"\s*\+?[0-9][0-9 ()+,\-]{5,}[:;]")  # what a line begins with where texts have several: ours
LINE_BREAK = "\\n"  # in a text of `list`: 2.1
MOSCOW_OFFSET_H = 3
ZONES_H = range(-15, 12)  # from Moscow: ours, all that there are; the provider names -1 to 9 (2.1)
PERIOD_H = (0.1, 720.0)  # 2.1
PORTION_MIN = range(1, 1441)  # 2.1
VALID_MIN = range(1, 24 * 60 + 1)  # 2.1

TYPES = {Coding.TEXT: 0, Coding.FLASH: 1, Coding.BINARY: 2}  # of messages, in answers: 2.1

# Amounts and dates

CURRENCIES = {"RUB": "RUR"}  # which go by another name: 4.1
DATE, DATE_TIME = "%d.%m.%Y", "%d.%m.%Y %H:%M:%S"  # 3.2, 4.7

# Callbacks

HASHES = ("md5", "sha1", "crc32")  # 5.1
