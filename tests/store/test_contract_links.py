"""How the ways to the carriers are: each node's last word on each carrier, beside what is open there."""

from sqlalchemy import insert

from chappe.core.centre import Uncertain
from chappe.store import schema
from chappe.store.engine import Store
from chappe.store.links import CarrierFigures, CarrierRow, LinkBook, Tidings
from store.givens import CARRIER, NOW_MS, House, a_message, after, result

UP = CarrierFigures(state="up", binds=2, binds_wanted=2, troubles={"throttled": 3}, receipt_p50_ms=800)
DOWN = CarrierFigures(state="down", detail="connection refused")


def tell(store: Store, figures: CarrierFigures, now_ms: int = NOW_MS) -> None:
    result(store, store.commit(store.links.tell, Tidings(CARRIER, figures, now_ms)))


def carriers(house: House) -> list[CarrierRow]:
    with house.database.transaction() as transaction:
        return LinkBook(house.database, house.store.node).carriers(transaction)


def configure(house: House) -> None:
    with house.database.engine.begin() as connection:
        for carrier_id, name, is_active in ((CARRIER, "acme", 1), (CARRIER + 1, "idle", 1), (CARRIER + 2, "gone", 0)):
            row = {"id": carrier_id, "name": name, "kind": "smpp", "settings": "{}", "is_active": is_active}
            connection.execute(insert(schema.carrier).values(password_sealed="", **row))


def test_what_each_node_said_last_is_told(house: House) -> None:
    """Every active carrier is there; of each node its last word, with the instant at which it was said."""
    configure(house)
    other = house.new_store()
    tell(house.store, DOWN)
    tell(house.store, UP, NOW_MS + 5)
    tell(other, DOWN, NOW_MS + 1)
    acme, idle = carriers(house)
    assert [(one.told_ms, one.is_running, one.figures) for one in acme.told] == [
        (NOW_MS + 5, True, UP),
        (NOW_MS + 1, True, DOWN),
    ]
    assert (acme.name, idle.name, idle.told) == ("acme", "idle", ())


def test_what_is_open_is_counted_by_carrier(house: House) -> None:
    """Messages that wait, that somebody is sending and that are in doubt are counted apart."""
    configure(house)
    house.accept(*(a_message(number) for number in range(1, 8)))
    claimed = house.claim(count_max=3)
    result(house.store, house.store.record(after(claimed[0], Uncertain())))
    acme, idle = carriers(house)
    assert (acme.waiting, acme.sending, acme.doubtful) == (4, 2, 1)
    assert (idle.waiting, idle.sending, idle.doubtful) == (0, 0, 0)


def test_the_rows_of_nodes_that_are_gone_go(house: House) -> None:
    """A node that left is no longer running, and its rows go when another node tells something."""
    configure(house)
    other = house.new_store()
    tell(other, UP)
    other.leave(NOW_MS)
    assert [one.is_running for one in carriers(house)[0].told] == [False]
    tell(house.store, DOWN)
    assert [one.figures for one in carriers(house)[0].told] == [DOWN]
