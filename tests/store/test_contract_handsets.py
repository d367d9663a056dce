"""Phones of simulated carriers: what was last sent to each and written by each, of whoever looks and of no others."""

from typing import Any

from sqlalchemy import insert

from chappe.core.ids import first_id
from chappe.core.model import TEST_CARRIER, State
from chappe.store import schema
from chappe.store.handsets import BUBBLES_MAX, Bubble
from store.givens import ACCOUNT, NOW_MS, House, a_message

OTHER, REAL = 8, 1
PHONE, SECOND = "447700900123", "447700900456"
BASE = first_id(NOW_MS)
SIMULATED = (TEST_CARRIER.id, 5)


def accept(house: House, number: int, **changes: Any) -> None:
    house.accept(a_message(BASE + number, **{"carrier_id": 5, "recipient": PHONE, "text": f"t{number}", **changes}))


def write(house: House, number: int, **changes: Any) -> None:
    plain = {
        "id": BASE + number,
        "account_id": ACCOUNT,
        "recipient": "447700900001",
        "originator": PHONE,
        "text": f"t{number}",
        "carrier_id": TEST_CARRIER.id,
        "received_ms": NOW_MS,
    }
    with house.store.database.engine.begin() as connection:
        connection.execute(insert(schema.inbound).values(**plain | changes))


def phones(house: House, accounts: frozenset[int] | None) -> list[tuple[str, int]]:
    found = house.store.ask(lambda transaction: house.store.handsets.phones(transaction, accounts, SIMULATED))
    return [(one.phone, one.id - BASE) for one in found]


def conversation(house: House, phone: str, accounts: frozenset[int] | None) -> list[Bubble]:
    return house.store.ask(
        lambda transaction: house.store.handsets.conversation(transaction, phone, accounts, SIMULATED)
    )


def test_each_phone_stands_with_its_last_message(house: House) -> None:
    """Phones come with the newest of what they got and wrote, the newest phone first; real carriers' are no phones."""
    accept(house, 1)
    write(house, 2)
    accept(house, 3, recipient=SECOND, carrier_id=TEST_CARRIER.id)
    accept(house, 4, recipient="447700900789", carrier_id=REAL)
    write(house, 5, originator="447700900788", carrier_id=REAL)
    for accounts in (None, frozenset({ACCOUNT})):
        assert phones(house, accounts) == [(SECOND, 3), (PHONE, 2)]
    assert phones(house, frozenset()) == []
    assert phones(house, frozenset({OTHER})) == []


def test_a_conversation_goes_in_its_order(house: House) -> None:
    """What was sent to a phone and written by it stands in the order it came, with states, of accounts in sight."""
    house.fund(OTHER, 1_000_000)
    accept(house, 1, text="Ciao <b>🙂", originator="ACME")
    write(house, 2)
    accept(house, 3, account_id=OTHER)
    write(house, 4, account_id=OTHER)
    write(house, 5, account_id=0)
    write(house, 6, originator=SECOND)
    accept(house, 7, carrier_id=REAL)
    assert [one.id - BASE for one in conversation(house, PHONE, None)] == [1, 2, 3, 4, 5]
    first, answer = conversation(house, PHONE, frozenset({ACCOUNT}))
    assert (first.is_out, first.text, first.other, first.state) == (True, "Ciao <b>🙂", "ACME", State.QUEUED)
    assert (answer.is_out, answer.text, answer.other, answer.state) == (False, "t2", "447700900001", None)
    assert first.made_ms == NOW_MS
    assert conversation(house, "447700900999", None) == []
    assert conversation(house, PHONE, frozenset({99})) == []


def test_a_long_conversation_ends_with_the_newest(house: House) -> None:
    """Of a long conversation the last part is shown."""
    for number in range(BUBBLES_MAX + 5):
        write(house, number)
    shown = [one.id - BASE for one in conversation(house, PHONE, frozenset({ACCOUNT}))]
    assert shown == list(range(5, BUBBLES_MAX + 5))
