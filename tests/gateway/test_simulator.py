"""Test mode and the simulator: what costs nothing and reaches nobody, and phones that are played."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from chappe.carriers.simulated import SimulatedCarrier
from chappe.core.centre import Accepted, Outcome, Refusal, Refused, Verdict
from chappe.core.fates import FATES, LATE_MAX_S, NAMED, Fate, fate_named
from chappe.core.model import TEST_CARRIER, Account, Carrier, Inbound, Receipt, Submission
from chappe.core.people import EVERYTHING, Sight
from chappe.core.phonebook import BlockOrigin
from chappe.dialects.base import Dialect
from chappe.gateway.inbound import InboundDesk, Planner, phone_way
from chappe.gateway.simulator import FATES_MAX, NUMBERS_MAX, SimulatorDesk, reply_number
from chappe.store import schema
from chappe.store.blocks import BlockChange
from chappe.store.callbacks import DueCallback
from chappe.store.inbox import Kept
from gateway.middle import BY_NAME, PROOVL, WORLD, Middle, play

REAL = WORLD.replace('name = "sim"\nkind = "simulated"', 'name = "acme"\nkind = "simulated"').replace(
    'carriers = ["sim"]', 'carriers = ["acme"]'
)
NO_ROUTES = """
[[account]]
name = "alice"
password = "correct horse"
senders = ["ACME"]
"""
FORWARDED = REAL.replace('numbers = ["447700900001"]', 'numbers = ["447700900001"]\ninbound_phone = "447700900555"')
WIRED = REAL.replace('kind = "simulated"', 'kind = "smsfox"\nurl = "http://127.0.0.1:1/"\nlogin = "a"\npassword = "b"')
PHONE, NUMBER = "447700900123", "447700900001"


def in_test_mode(account: Account) -> Account:
    return msgspec.structs.replace(account, is_test=True)


async def submit(
    middle: Middle, recipient: str = PHONE, text: str = "Hello", dialect: Dialect = PROOVL, **more: Any
) -> Outcome:
    submission = Submission(recipients=(recipient,), text=text, originator="ACME", **more)
    return await middle.result(middle.intake.submit(in_test_mode(middle.alice), submission, dialect))


def test_a_test_message_reaches_no_carrier_and_costs_nothing(tmp_path: Path) -> None:
    """What a test account submits is delivered by the simulated carrier, for nothing, and its customer is called."""

    async def script(middle: Middle) -> None:
        accepted = await submit(middle)
        assert isinstance(accepted, Accepted)
        assert accepted.tickets[0].price_micros == 0
        await middle.settle()
        assert middle.states() == ["delivered"]
        assert middle.scripts["acme"].asked == []
        assert middle.message()["carrier_id"] == TEST_CARRIER.id
        assert [row["phase"] for row in middle.rows(schema.entry)] == ["credit"]
        assert middle.money() == (0, 0)
        assert middle.words_called() == ["Sent", "Delivered"]

    play(tmp_path, script, REAL, ["acme"])


def test_a_refusal_in_test_mode_falls_back_on_nobody(tmp_path: Path) -> None:
    """A test message that its carrier refuses is rejected: no real carrier is tried after it."""

    async def script(middle: Middle) -> None:
        await submit(middle, "447700909002")
        await submit(middle, "447700909003")
        await middle.pass_time(70, step_s=5)
        assert middle.states() == ["rejected", "sending"]
        assert middle.scripts["acme"].asked == []
        assert middle.money() == (0, 0)

    play(tmp_path, script, REAL, ["acme"])


def test_a_scheduled_test_message_stays_a_test(tmp_path: Path) -> None:
    """A test message that waits for its time goes to the simulated carrier when it comes, also charged late."""

    async def script(middle: Middle) -> None:
        await submit(middle, scheduled_ms=middle.time.now_ms() + 60_000, is_charged_late=True)
        assert middle.states() == ["scheduled"]
        await middle.pass_time(65, step_s=5)
        assert middle.states() == ["delivered"]
        assert middle.scripts["acme"].asked == []
        assert middle.money() == (0, 0)

    play(tmp_path, script, REAL, ["acme"])


def test_a_test_message_is_checked_like_any_other(tmp_path: Path) -> None:
    """Wrong numbers, foreign senders, blocked phones and numbers without a route are refused in test mode too."""

    async def script(middle: Middle) -> None:
        change = BlockChange(
            account_id=middle.alice.id, numbers=("447700900666",), is_blocked=True, now_ms=middle.time.now_ms()
        )
        change_done = middle.store.commit(middle.store.blocks.change, change)
        await middle.settle()
        assert change_done.done()
        await middle.result(middle.blacklist.follow())
        for recipient, reason in (
            ("12", Refusal.BAD_RECIPIENT),
            ("447700900666", Refusal.BLOCKED),
            ("33612345678", Refusal.NO_ROUTE),
        ):
            assert await submit(middle, recipient) == Refused(reason)
        foreign = Submission(recipients=(PHONE,), text="Hello", originator="Bank")
        refused = await middle.result(middle.intake.submit(in_test_mode(middle.alice), foreign, PROOVL))
        assert refused == Refused(Refusal.BAD_ORIGINATOR)
        assert middle.states() == []

    play(tmp_path, script, REAL.replace('prefix = ""', 'prefix = "44"'), ["acme"])


def test_a_gateway_without_routes_can_be_tested(tmp_path: Path) -> None:
    """Where nothing is configured yet but an account without money, a test message is delivered all the same."""

    async def script(middle: Middle) -> None:
        assert isinstance(await submit(middle), Accepted)
        await middle.settle()
        assert middle.states() == ["delivered"]

    play(tmp_path, script, NO_ROUTES)


def test_a_virtual_account_can_be_tested(tmp_path: Path) -> None:
    """In test mode also a virtual account's message has a fate."""

    async def script(middle: Middle) -> None:
        await submit(middle, "447700909001")
        await middle.settle()
        assert middle.states() == ["undeliverable"]

    play(tmp_path, script, REAL.replace("senders", "virtual = true\nsenders"))


def test_a_test_is_no_duplicate_of_what_is_meant(tmp_path: Path) -> None:
    """The same text is accepted from an account after its test, where a dialect refuses what was asked a moment ago."""

    async def script(middle: Middle) -> None:
        dialect = next(one for one in BY_NAME.values() if one.north.duplicate_s)
        assert isinstance(await submit(middle, dialect=dialect), Accepted)
        assert isinstance(await middle.submit(PHONE, dialect=dialect), Accepted)
        assert await submit(middle, dialect=dialect) == Refused(Refusal.DUPLICATE)

    play(tmp_path, script)


# Fates


class Phones:
    """A desk over a gateway in the middle, and a simulated carrier that asks it."""

    def __init__(self, middle: Middle, *, is_demo: bool = False) -> None:
        middle.store.inbox.plan = Planner(
            directory=lambda: middle.directory.current, dialects=BY_NAME, clock=middle.time, ids=middle.ids
        ).plan
        inbox = InboundDesk(
            store=middle.store,
            clock=middle.time,
            ids=middle.ids,
            feed=middle.feed,
            announce=middle.callbacks.announce,
            follow=middle.blacklist.follow,
        )
        self.desk = SimulatorDesk(middle.store, lambda: middle.directory.current, inbox, is_demo=is_demo)
        for dispatcher in middle.fleet.dispatchers:
            if dispatcher.carrier is TEST_CARRIER:
                dispatcher.centre = carrier_of(middle, dispatcher.carrier, self.desk)


def carrier_of(middle: Middle, carrier: Carrier, desk: SimulatorDesk) -> SimulatedCarrier:
    def emit(receipt: Receipt) -> None:
        middle.receipts.receive(carrier, receipt)

    return SimulatedCarrier(emit, lambda _bits: 7, chosen=desk.take_fate)


CHOSEN = [
    ("delivered", "447700900123", 0, "delivered"),
    ("delivered", "447700909001", 0, "delivered"),  # stronger than the ending
    ("undeliverable", PHONE, 0, "undeliverable"),
    ("refused", PHONE, 0, "rejected"),
    ("no_answer", PHONE, 60, "sending"),
    ("expired", PHONE, 0, "expired"),
    ("throttled", PHONE, 5, "delivered"),
    ("early_receipt", PHONE, 0, "delivered"),
    ("receipt_twice", PHONE, 0, "delivered"),
    ("late", PHONE, 59, "sent"),
    ("late", PHONE, 61, "delivered"),
    ("no_receipt", PHONE, 60, "sent"),
]


@pytest.mark.parametrize(("fate", "recipient", "passing_s", "state"), CHOSEN)
def test_the_next_message_has_the_chosen_fate(
    tmp_path: Path, fate: str, recipient: str, passing_s: float, state: str
) -> None:
    """What was chosen for a number befalls the next message to it, and only that."""

    async def script(middle: Middle) -> None:
        desk = Phones(middle).desk
        assert isinstance(desk.set_fate(EVERYTHING, f"+{recipient}", fate), Fate)
        await submit(middle, recipient)
        await middle.pass_time(passing_s, step_s=max(0.5, passing_s / 10))
        assert middle.states() == [state]
        assert desk.take_fate(middle.alice.id, recipient) is None

    play(tmp_path, script)


def test_every_fate_has_a_name_and_an_ending() -> None:
    """The table of names and the table of endings hold the same fates; the first one needs no ending."""
    assert list(FATES) == [f"90{number:02d}" for number in range(1, 11)]
    assert list(FATES.values()) == list(NAMED.values())[1:]


@pytest.mark.parametrize(
    ("name", "late_s", "delay_s"),
    [
        ("late", None, 60.0),
        ("late", 2.5, 2.5),
        ("late", LATE_MAX_S + 1, None),
        ("late", 0.0, None),
        ("lost", None, None),
    ],
)
def test_a_late_receipt_is_as_late_as_it_is_told(name: str, late_s: float | None, delay_s: float | None) -> None:
    """The seconds of a late fate can be named, within a day; what is no fate is none."""
    fate = fate_named(name, late_s)
    assert (fate.delay_s if fate else None) == delay_s


def test_fates_are_kept_apart_and_bounded(tmp_path: Path) -> None:
    """A fate is its account's, fates of one number come in their order, and neither numbers nor fates pile up."""

    async def script(middle: Middle) -> None:
        desk = Phones(middle).desk
        mine, yours = Sight(frozenset({1})), Sight(frozenset({2}))
        desk.set_fate(mine, PHONE, "expired")
        desk.set_fate(mine, PHONE, "refused")
        assert desk.take_fate(2, PHONE) is None
        assert desk.waiting_fates(1, PHONE) == (NAMED["expired"], NAMED["refused"])
        assert [desk.take_fate(1, PHONE) for _ in range(3)] == [NAMED["expired"], NAMED["refused"], None]
        assert desk.set_fate(yours, PHONE, "refused", account_id=1) == Refused(Refusal.NOT_FOUND)
        assert desk.set_fate(Sight(frozenset()), PHONE, "refused") == Refused(Refusal.NOT_FOUND)
        assert desk.set_fate(Sight(frozenset({1, 2})), PHONE, "refused") == Refused(Refusal.NOT_FOUND)
        for bad in ("", "phone", "١٢٣٤٥٦٧٨", "9" * 40, "<b>"):
            assert desk.set_fate(mine, bad, "refused") == Refused(Refusal.BAD_RECIPIENT)
        assert desk.set_fate(mine, PHONE, "<b>") == Refused(
            Refusal.BAD_REQUEST, f"no such fate; there are {', '.join(NAMED)}"
        )
        for _ in range(FATES_MAX):
            desk.set_fate(mine, PHONE, "expired")
        refused = desk.set_fate(mine, PHONE, "expired")
        assert isinstance(refused, Refused)
        assert refused.reason is Refusal.OVERLOADED
        for number in range(NUMBERS_MAX):
            desk.set_fate(mine, f"4477{number:08d}", "expired")
        assert desk.take_fate(1, PHONE) is None

    play(tmp_path, script)


# Phones that write


def test_a_played_phone_writes_to_a_number(tmp_path: Path) -> None:
    """What a played phone writes is kept for the number's owner; strangers' numbers do not exist."""

    async def script(middle: Middle) -> None:
        desk = Phones(middle).desk
        sight = Sight(frozenset({middle.alice.id}))
        kept = await middle.result(desk.receive(sight, f"+{PHONE}", NUMBER, "Ciao <script>é🙂"))
        assert isinstance(kept, Kept)
        [row] = middle.rows(schema.inbound)
        assert (row["originator"], row["recipient"], row["text"]) == (PHONE, NUMBER, "Ciao <script>é🙂")
        assert (row["carrier_id"], row["account_id"]) == (TEST_CARRIER.id, middle.alice.id)
        for foreign in (Sight(frozenset({99})), Sight(frozenset())):
            refused = await middle.result(desk.receive(foreign, PHONE, NUMBER, "Hello"))
            assert isinstance(refused, Refused)
            assert refused.reason is Refusal.NOT_FOUND
        for originator, recipient, text, reason in (
            (PHONE, "447700900002", "Hello", Refusal.NOT_FOUND),
            (PHONE, NUMBER, "", Refusal.EMPTY_TEXT),
            (PHONE, NUMBER, "x" * 100_000, Refusal.BAD_REQUEST),
            (" ", NUMBER, "Hello", Refusal.BAD_ORIGINATOR),
        ):
            refused = await middle.result(desk.receive(sight, originator, recipient, text))
            assert isinstance(refused, Refused)
            assert refused.reason is reason
        assert len(middle.rows(schema.inbound)) == 1

    play(tmp_path, script)


def test_what_a_played_phone_writes_goes_on_to_no_real_phone(tmp_path: Path) -> None:
    """Where a number's messages are sent on to a phone, those of played phones are sent on as tests."""

    async def script(middle: Middle) -> None:
        desk = Phones(middle).desk
        await middle.result(desk.receive(EVERYTHING, PHONE, NUMBER, "Hello"))
        [row] = [one for one in middle.rows(schema.callback) if one["kind"] == "phone"]
        assert msgspec.json.decode(row["payload"], type=Inbound).is_test
        senders: list[Account] = []

        async def take(account: Account, submission: Submission, dialect: Dialect, message_id: int) -> Verdict:
            senders.append(account)
            return Accepted(())

        way = phone_way(lambda: middle.directory.current, take, PROOVL)
        due = DueCallback(**{name: row[name] for name in DueCallback.__struct_fields__ if name in row})
        await way.make(due, middle.alice, "447700900555")
        assert [one.is_test for one in senders] == [True]

    play(tmp_path, script, FORWARDED, ["acme"])


async def is_blocked(middle: Middle) -> bool:
    await middle.result(middle.blacklist.follow())
    return middle.blacklist.is_blocked(middle.alice.id, PHONE, NUMBER)


def test_a_played_phone_blocks_no_real_one(tmp_path: Path) -> None:
    """Where a carrier reaches real phones, a played stop word blocks none, and a played start word unblocks none."""

    async def script(middle: Middle) -> None:
        desk = Phones(middle).desk
        await middle.result(desk.receive(EVERYTHING, PHONE, NUMBER, "STOP"))
        assert not await is_blocked(middle)
        stop = BlockChange(
            account_id=middle.alice.id,
            numbers=(PHONE,),
            is_blocked=True,
            now_ms=1,
            originators=("",),
            origin=BlockOrigin.STOP,
        )
        stopped = middle.store.commit(middle.store.blocks.change, stop)
        await middle.settle()
        await stopped
        await middle.result(desk.receive(EVERYTHING, PHONE, NUMBER, "START"))
        assert await is_blocked(middle)

    play(tmp_path, script, WIRED, ["acme"])


def test_a_played_phone_blocks_itself_where_all_are_played(tmp_path: Path) -> None:
    """Where every carrier is simulated, stop and start words of played phones do what those of real ones do."""

    async def script(middle: Middle) -> None:
        desk = Phones(middle).desk
        await middle.result(desk.receive(EVERYTHING, PHONE, NUMBER, "STOP"))
        assert await is_blocked(middle)
        await middle.result(desk.receive(EVERYTHING, PHONE, NUMBER, "START"))
        assert not await is_blocked(middle)

    play(tmp_path, script)


def test_an_answer_goes_to_a_number_of_the_account() -> None:
    """A phone answers to the number that wrote, where the account has it, else to the account's first."""
    account = Account(id=1, name="alice", numbers=("447700900001", "447700900002"))
    assert reply_number(account, "447700900002") == "447700900002"
    assert reply_number(account, "ACME") == "447700900001"
    assert reply_number(Account(id=2, name="bob"), "ACME") == ""
