"""Numbers for rent: who gets one, who pays, where its messages go, and what carriers lend."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from chappe.carriers.http import HttpCarrier
from chappe.core.centre import Call, Outcome, Refusal, Refused
from chappe.core.model import Account, Carrier
from chappe.core.numbers import (
    ListNumbers,
    ListOffers,
    Number,
    Numbers,
    RentNumber,
    ReturnNumber,
    SetNumber,
    months_later,
)
from chappe.core.sessions import Authenticate
from chappe.dialects.base import Failure, HttpRequest, Reply, run
from chappe.gateway import numbers as module
from chappe.gateway.number_stock import NumberStock, Wholesaler, marked_up, markup_of
from chappe.gateway.numbers import NumberDesk
from chappe.store import schema
from gateway.middle import PROOVL, START_MS, WORLD, Middle, play

RENTAL_WORLD = (
    WORLD
    + """
[[account]]
name = "bob"
password = "battery staple"
balance = "5.00"

[[carrier]]
name = "up"
kind = "proovl"
url = "https://up.example"
login = "us"
password = "secret"
options = { numbers = "on", numbers_markup = "50", public_url = "https://us.example/" }

[[number]]
number = "447700900002"
price = "2.00"

[[number]]
number = "447700900003"
price = "1.00"

[[number]]
number = "390612345678"
price = "1.50"
"""
)
DEAR, CHEAP, ITALIAN, LENT = "447700900002", "447700900003", "390612345678", "33611111111"
HOUR_S = 3_600
MONTH_S = (months_later(START_MS, 1) - START_MS) / 1000


class Lender:
    """A message centre that lends numbers, in Proovl's words: what it offers, and what we rent there."""

    def __init__(self) -> None:
        self.offered = {LENT: 1_000_000}
        self.lent: dict[str, str] = {}  # number -> where its messages go
        self.refusal: Refused | None = None
        self.failure: Failure | None = None  # instead of its answer
        self.before_answer: Callable[[], None] = lambda: None
        self.asked: list[type[Call]] = []

    async def send(self, request: HttpRequest, timeout_s: float) -> Reply:
        response = run(PROOVL.north.paths[request.path](request), self.answer)
        self.before_answer()
        return self.failure or response

    def answer(self, call: Call) -> Outcome:
        if isinstance(call, Authenticate):
            return US
        self.asked.append(type(call))
        if self.refusal is not None:
            return self.refusal
        match call:
            case ListOffers():
                return Numbers(items=tuple(self.number(one) for one in self.offered if one not in self.lent))
            case ListNumbers():
                return Numbers(items=tuple(map(self.number, self.lent)))
            case RentNumber(number=number) if number in self.offered and number not in self.lent:
                self.lent[number] = ""
                return self.number(number)
            case ReturnNumber(number=number) if number in self.lent:
                del self.lent[number]
                return self.number(number)
            case SetNumber(number=number, url=url) if number in self.lent:
                self.lent[number] = url or ""
                return self.number(number)
        return Refused(Refusal.NOT_FOUND)

    def number(self, number: str) -> Number:
        return Number(number=number, country="FR", price_micros=self.offered[number])


US = Account(id=1, name="us")


class Scene:
    """The gateway's middle with a desk for numbers, and a carrier that lends."""

    def __init__(self, middle: Middle) -> None:
        self.middle = middle
        self.lender = Lender()
        self.desk = NumberDesk(
            store=middle.store,
            directory=lambda: middle.directory.current,
            wholesaler=self.wholesaler,
            follow=lambda: middle.directory.refresh(middle.store),
            clock=middle.time,
            ids=middle.ids,
        )
        self.stock = NumberStock(middle.store, lambda: middle.directory.current, self.wholesaler)

    def wholesaler(self, carrier: Carrier) -> Wholesaler | None:
        is_lending = carrier.is_active and carrier.options.get("numbers") == "on"
        return HttpCarrier(carrier, PROOVL.south, self.lender.send) if is_lending else None

    async def ask(self, call: Call) -> Any:
        return await self.middle.result(self.asking(call))

    async def asking(self, call: Call) -> Outcome:
        return await self.desk.answers[type(call)](call, PROOVL, "")

    async def rent(self, number: str = "", country: str = "", name: str = "alice") -> Any:
        return await self.ask(RentNumber(self.middle.account(name), number, country))

    async def restock(self) -> None:
        await self.middle.result(self.stock.run_once())

    async def renew(self) -> None:
        await self.middle.result(self.desk.renew_once())

    async def offers(self, country: str = "") -> list[tuple[str, int]]:
        found = await self.ask(ListOffers(account=self.middle.alice, country=country))
        return [(one.number, one.price_micros) for one in found.items]

    def spent(self) -> int:
        return self.middle.money()[0]

    def owner(self, number: str) -> str:
        owner = self.middle.directory.current.owner(number)
        return owner.name if owner else ""


def act(folder: Path, script: Callable[[Scene], Coroutine[Any, Any, None]], world: str = RENTAL_WORLD) -> None:
    async def whole(middle: Middle) -> None:
        await script(Scene(middle))

    play(folder, whole, world)


def test_a_number_is_rented_used_and_given_back(tmp_path: Path) -> None:
    """From the offer to the return: it is listed, its owner may send from it, and its messages find their way."""

    async def script(scene: Scene) -> None:
        middle = scene.middle
        assert await scene.offers("gb") == [(CHEAP, 1_000_000), (DEAR, 2_000_000)]
        rented = await scene.rent(f"+{DEAR}")
        assert (rented.number, rented.expires_ms) == (DEAR, months_later(START_MS, 1))
        assert (scene.owner(DEAR), scene.spent()) == ("alice", 2_000_000)
        assert (await scene.ask(ListNumbers(middle.alice))).items == (rented,)
        assert not isinstance(await middle.submit("447700900999", originator=DEAR), Refused)
        set_up = SetNumber(account=middle.alice, number=DEAR, url="https://a.example/in", phone="+44 7700 900111")
        assert (await scene.ask(set_up)).phone == "447700900111"
        forwarding = middle.directory.current.forwarding(DEAR)
        assert forwarding is not None
        assert (forwarding.url, forwarding.email, forwarding.phone) == ("https://a.example/in", "", "447700900111")
        returned = await scene.ask(ReturnNumber(middle.alice, DEAR))
        assert (returned.number, returned.account_id, returned.url) == (DEAR, 0, "")
        assert scene.owner(DEAR) == ""
        assert await scene.ask(ReturnNumber(middle.alice, DEAR)) == Refused(Refusal.NOT_FOUND)
        assert len(await scene.offers()) == 3

    act(tmp_path, script)


def test_the_cheapest_of_a_country_is_rented(tmp_path: Path) -> None:
    """Without a number, the country's cheapest; once it is gone, the next; at last none."""

    async def script(scene: Scene) -> None:
        assert [(await scene.rent(country="gb")).number for _ in range(2)] == [CHEAP, DEAR]
        assert await scene.rent(country="GB") == Refused(Refusal.NOT_FOUND)

    act(tmp_path, script)


def test_two_who_want_the_same_number_at_once(tmp_path: Path) -> None:
    """One has it and pays; who asked for that number hears not_found, who asked for the country gets another."""

    async def script(scene: Scene) -> None:
        middle = scene.middle
        calls = [
            RentNumber(middle.alice, CHEAP),
            RentNumber(middle.account("bob"), CHEAP),
            RentNumber(middle.account("bob"), country="GB"),
        ]

        async def race() -> list[Outcome]:
            return list(await asyncio.gather(*map(scene.asking, calls)))

        first, second, third = await middle.result(race())
        assert isinstance(first, Number)
        assert second == Refused(Refusal.NOT_FOUND)
        assert isinstance(third, Number)
        assert (first.number, third.number) == (CHEAP, DEAR)
        assert scene.spent() == 3_000_000

    act(tmp_path, script)


@pytest.mark.parametrize(
    "wish, reason",
    [
        ({}, Refusal.BAD_REQUEST),
        ({"number": "447700900009"}, Refusal.NOT_FOUND),
        ({"number": "447700900001"}, Refusal.NOT_FOUND),
        ({"number": "no number"}, Refusal.NOT_FOUND),
        ({"number": "\x00"}, Refusal.NOT_FOUND),
        ({"country": "Atlantis"}, Refusal.NOT_FOUND),
        ({"number": "390600000000"}, Refusal.NO_FUNDS),
    ],
)
def test_a_refused_rental_costs_nothing(tmp_path: Path, wish: dict[str, str], reason: Refusal) -> None:
    """What is not offered, what is no number and what is too dear: a reason, no row, no entry, no new configuration."""

    async def script(scene: Scene) -> None:
        before = scene.middle.rows(schema.rented_number), scene.middle.rows(schema.entry)
        revision = scene.middle.directory.current.revision
        refused = await scene.rent(**wish)
        assert refused.reason is reason
        assert (scene.middle.rows(schema.rented_number), scene.middle.rows(schema.entry)) == before
        assert not await scene.middle.result(scene.middle.directory.refresh(scene.middle.store))
        assert scene.middle.directory.current.revision == revision

    act(tmp_path, script, RENTAL_WORLD + '[[number]]\nnumber = "390600000000"\nprice = "100.01"\n')


def test_an_account_has_so_many_numbers_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is forbidden; a virtual account, which pays nothing, has none at all."""
    monkeypatch.setattr(module, "NUMBERS_MAX", 1)

    async def script(scene: Scene) -> None:
        assert isinstance(await scene.rent(CHEAP), Number)
        assert (await scene.rent(DEAR)).reason is Refusal.FORBIDDEN
        pretending = msgspec.structs.replace(scene.middle.account("bob"), is_virtual=True)
        assert (await scene.ask(RentNumber(pretending, DEAR))).reason is Refusal.UNSUPPORTED

    act(tmp_path, script)


@pytest.mark.parametrize(
    "ways",
    [
        {"url": "ftp://a.example"},
        {"url": "a.example"},
        {"email": "nobody"},
        {"email": "a@b\n"},
        {"email": "a,b@c.example"},
        {"phone": "12"},
    ],
)
def test_messages_go_where_they_can_go(tmp_path: Path, ways: dict[str, str]) -> None:
    """What is no URL, no address or no number is refused and changes nothing; so is a number of somebody else."""

    async def script(scene: Scene) -> None:
        await scene.rent(CHEAP)
        before = scene.middle.rows(schema.rented_number)
        wish = SetNumber(account=scene.middle.alice, number=CHEAP, **ways)
        assert (await scene.ask(wish)).reason is Refusal.BAD_REQUEST
        other = SetNumber(account=scene.middle.account("bob"), number=CHEAP, url="https://b.example")
        assert await scene.ask(other) == Refused(Refusal.NOT_FOUND)
        assert scene.middle.rows(schema.rented_number) == before

    act(tmp_path, script)


def test_a_month_is_paid_for_as_long_as_the_money_reaches(tmp_path: Path) -> None:
    """Bob has money for two months of a number: in the third it goes back, and somebody else may have it."""

    async def script(scene: Scene) -> None:
        middle = scene.middle
        await scene.rent(DEAR, name="bob")
        middle.time.now_s = MONTH_S - HOUR_S - 1
        await scene.renew()
        assert scene.spent() == 2_000_000
        middle.time.now_s = MONTH_S - HOUR_S
        for _ in range(3):
            await scene.renew()
        assert scene.spent() == 4_000_000
        middle.time.now_s = (months_later(START_MS, 2) - START_MS) / 1000
        await scene.renew()
        assert (scene.spent(), scene.owner(DEAR)) == (4_000_000, "")
        assert isinstance(await scene.rent(DEAR), Number)

    act(tmp_path, script)


# What a carrier lends


def test_a_carriers_number_is_rented_there_and_here(tmp_path: Path) -> None:
    """In the pool with its markup; rented, it is rented there too and its messages come to us; it goes back there."""

    async def script(scene: Scene) -> None:
        await scene.restock()
        assert await scene.offers("FR") == [(LENT, 1_500_000)]
        assert isinstance(await scene.rent(LENT), Number)
        key = scene.middle.carrier("up").callback_key
        assert scene.lender.lent == {LENT: f"https://us.example/carrier/{key}"}
        assert (scene.owner(LENT), scene.spent()) == ("alice", 1_500_000)
        await scene.restock()
        assert (scene.owner(LENT), await scene.offers("FR")) == ("alice", [])
        await scene.ask(ReturnNumber(scene.middle.alice, LENT))
        assert scene.lender.lent == {}
        assert await scene.offers("FR") == []
        await scene.restock()
        assert await scene.offers("FR") == [(LENT, 1_500_000)]

    act(tmp_path, script)


def test_a_number_that_ended_goes_back_to_its_carrier(tmp_path: Path) -> None:
    """When the last paid month is over, we stop paying for it too."""

    async def script(scene: Scene) -> None:
        await scene.restock()
        bob = scene.middle.account("bob")
        assert isinstance(await scene.ask(RentNumber(bob, LENT)), Number)
        await scene.ask(RentNumber(bob, DEAR))  # so that what is left is less than another month
        await scene.ask(RentNumber(bob, CHEAP))
        scene.middle.time.now_s = MONTH_S
        await scene.renew()
        assert LENT not in scene.lender.lent

    act(tmp_path, script)


@pytest.mark.parametrize(
    "refusal, failure, reason",
    [
        (Refused(Refusal.NOT_FOUND), None, Refusal.NOT_FOUND),
        (Refused(Refusal.NO_FUNDS), None, Refusal.UNREACHABLE),
        (None, Failure(is_certain=True, detail="refused"), Refusal.UNREACHABLE),
        (None, Failure(is_certain=False, detail="no answer"), Refusal.UNREACHABLE),
    ],
)
def test_without_the_carriers_yes_nobody_pays(
    tmp_path: Path, refusal: Refused | None, failure: Failure | None, reason: Refusal
) -> None:
    """Whether it says no or nothing: the number is nobody's here, no money moves, and the log tells of it."""

    async def script(scene: Scene) -> None:
        await scene.restock()
        scene.lender.refusal, scene.lender.failure = refusal, failure
        with capture_logs() as logs:
            assert (await scene.rent(LENT)).reason is reason
        assert (scene.owner(LENT), scene.spent()) == ("", 0)
        assert [line["event"] for line in logs] == ["number_not_lent"]
        assert LENT not in str(logs)

    act(tmp_path, script)


def test_a_number_that_the_commit_refused_goes_back(tmp_path: Path) -> None:
    """Money that went while the carrier was asked: the number is returned there, and its price is not taken."""

    async def script(scene: Scene) -> None:
        await scene.restock()
        table = schema.balance

        def spend_it_all() -> None:
            with scene.middle.database.engine.begin() as connection:
                connection.execute(table.update().where(table.c.account_id == 2).values(limit_micros=10**12))

        scene.lender.before_answer = spend_it_all
        assert (await scene.rent(LENT, name="bob")).reason is Refusal.NO_FUNDS
        assert scene.lender.lent == {}
        assert scene.lender.asked[-2:] == [RentNumber, ReturnNumber]

    act(tmp_path, script)


def test_a_number_that_left_the_pool_meanwhile_goes_back(tmp_path: Path) -> None:
    """Another node's round sees that the carrier no longer offers it, and drops it while we are renting it there."""

    async def script(scene: Scene) -> None:
        await scene.restock()
        table = schema.rented_number

        def drop() -> None:
            with scene.middle.database.engine.begin() as connection:
                connection.execute(table.delete().where(table.c.number == LENT))

        scene.lender.before_answer = drop
        assert await scene.rent(LENT) == Refused(Refusal.NOT_FOUND)
        assert (scene.lender.lent, scene.spent()) == ({}, 0)

    act(tmp_path, script)


def test_what_we_pay_for_and_nobody_has_is_told_loudly(tmp_path: Path) -> None:
    """A yes whose answer was lost: seen in two rounds it is an error in the log; a number of the file's is none."""

    async def script(scene: Scene) -> None:
        await scene.restock()
        scene.lender.failure = Failure(is_certain=False, detail="no answer")
        await scene.rent(LENT)
        scene.lender.failure = None
        with capture_logs() as first:
            await scene.restock()
        with capture_logs() as second:
            await scene.restock()
        assert first == []
        assert [(line["event"], line["count"]) for line in second] == [("numbers_paid_for_nobody", 1)]
        assert LENT not in str(second)
        scene.middle.configure(RENTAL_WORLD + f'[[number]]\nnumber = "{LENT}"\nprice = "1"\ncarrier = "up"\n')
        with capture_logs() as third:
            await scene.restock()
        assert third == []

    act(tmp_path, script)


def test_what_a_carrier_took_from_us_is_told(tmp_path: Path) -> None:
    """A number that a customer pays for and that the carrier no longer lists is an error in the log."""

    async def script(scene: Scene) -> None:
        await scene.restock()
        await scene.rent(LENT)
        scene.lender.lent.clear()
        with capture_logs() as logs:
            await scene.restock()
        assert [line["event"] for line in logs] == ["numbers_lost_at_carrier"]

    act(tmp_path, script)


def test_a_carrier_that_no_longer_lends_has_nothing_in_the_pool(tmp_path: Path) -> None:
    """Its offers go; what an account's file numbers hold was never among them."""

    async def script(scene: Scene) -> None:
        scene.lender.offered["447700900001"] = 1
        await scene.restock()
        assert [number for number, _ in await scene.offers()] == [CHEAP, LENT, ITALIAN, DEAR]
        scene.middle.configure(RENTAL_WORLD.replace('numbers = "on", ', ""))
        await scene.middle.open()
        await scene.restock()
        assert LENT not in dict(await scene.offers())

    act(tmp_path, script)


@pytest.mark.parametrize(
    "markup, price", [("", None), ("50", 1_500_002), ("0.1", 1_001_002), ("0", 1_000_001), ("-5", None), ("x", None)]
)
def test_a_markup_is_a_percentage(markup: str, price: int | None) -> None:
    """Rounded up to the micro; what is no percentage lends nothing rather than for the wrong price."""
    found = markup_of(Carrier(id=1, name="up", kind="proovl", options={"numbers_markup": markup}))
    assert (None if found is None else marked_up(1_000_001, found)) == price
