"""SMPP requests and their answers in words, for whoever keeps them: fields by name, texts as text, octets in digits."""

from collections.abc import Iterator

from msgspec import Struct

from chappe.core.centre import Accepted, Outcome
from chappe.core.model import Account
from chappe.dialects.base import HttpRequest, HttpResponse
from chappe.gateway.requests import RequestBook
from chappe.gateway.watching import submission_of
from chappe.smpp.pdu import Body, Pdu, Status

ITEMS_MAX = 100
DEPTH = 3


def keep(
    book: RequestBook, pdu: Pdu, response: Body, status: int, account: Account | None, outcome: Outcome | None
) -> None:
    """Keep a request of an ESME with its answer."""
    name = account.name if account is not None else ""
    book.note(
        HttpRequest(method=command_of(pdu.body), path=f"smpp:{name}", body=words_of(pdu.body).encode()),
        HttpResponse(status=status, body=f"{status_name(status)}\n{words_of(response)}".encode()),
        dialect="smpp",
        account_id=account.id if account is not None else 0,
        submission_id=submission_of(outcome) if isinstance(outcome, Accepted) else 0,
        secrets=(account.token.value,) if account is not None and account.token else (),
        public=(name,),
        is_test=account is not None and account.is_test,
    )


def command_of(body: Body) -> str:
    """`SubmitSm` as submit_sm."""
    name = type(body).__name__
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name).lstrip("_")


def status_name(status: int) -> str:
    try:
        return Status(status).name
    except ValueError:
        return f"0x{status:08X}"


def words_of(record: Struct) -> str:
    return "\n".join(f"{name}: {value}" for name, value in fields_of(record))


def fields_of(record: Struct) -> Iterator[tuple[str, str]]:
    """The fields that say something."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if value not in (b"", 0, (), None):
            yield name, shown(value, DEPTH)


def shown(value: object, depth: int) -> str:
    if isinstance(value, bytes):
        is_text = value.isascii() and value.decode("ascii").isprintable()
        return value.decode("ascii") if is_text else f"hex {value.hex()}"
    if isinstance(value, Struct) and depth:
        pairs = (f"{name}={shown(getattr(value, name), depth - 1)}" for name in value.__struct_fields__)
        return f"({', '.join(pairs)})"
    if isinstance(value, tuple | list) and depth:
        return ", ".join(shown(one, depth - 1) for one in value[:ITEMS_MAX])
    return str(value)
