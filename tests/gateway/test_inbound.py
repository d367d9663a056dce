"""What follows from a message of a phone, decided without a door; and how an account asks for what came."""

from pathlib import Path
from typing import Any

import pytest

from chappe.capabilities import KNOWN
from chappe.core.centre import InboundMessages, ListInbound, TakeInbound
from chappe.core.ids import IdMaker
from chappe.core.model import Account, Carrier, Coding, Concatenation, Inbound
from chappe.core.phonebook import BlockOrigin
from chappe.gateway.directory import Forwarding
from chappe.gateway.feed import Step
from chappe.gateway.gateway_file import GatewayFileError, parse
from chappe.gateway.inbound import (
    CONTENT_MAX,
    NUMBER_MAX,
    REFERENCE_MAX,
    InboundDesk,
    Planner,
    block_change,
    checked,
    inbound_dialect,
    number_of,
    storable_read,
)
from chappe.store import schema
from chappe.store.inbox import PATIENCE_MS, TEXT_MAX
from gateway.middle import BY_NAME, WORLD, Middle, Time, play

PHONE, NUMBER = "447700900123", "447700900001"
URL, EMAIL, FORWARD = "http://a.example/in", "a@a.example", "447700900777"


def an_inbound(text: str = "Hello", **changes: Any) -> Inbound:
    fields: dict[str, Any] = {"reference": "5", "originator": PHONE, "recipient": NUMBER, "received_ms": 1}
    return Inbound(text=text, **(fields | changes))


def an_account(**changes: Any) -> Account:
    return Account(id=7, name="alice", numbers=changes.pop("numbers", (NUMBER,)), **changes)


class OneOwner:
    """A directory with one number."""

    carriers: tuple[Carrier, ...] = ()

    def __init__(self, account: Account, **ways: str) -> None:
        fields = {"url": account.inbound_url, "email": account.inbound_email, "phone": account.inbound_phone} | ways
        self.one = Forwarding(account=account, **fields)

    def owner(self, number: str) -> Account | None:
        return self.one.account if number in self.one.account.numbers else None

    def forwarding(self, number: str) -> Forwarding | None:
        return self.one if self.owner(number) else None


ALL = {"inbound_url": URL, "inbound_email": EMAIL, "inbound_phone": FORWARD}
PLANS: list[tuple[dict[str, str], dict[str, str], list[tuple[str, str, str]]]] = [
    # what the account names, what the number names instead, the forwards: kind, dialect, a place of their own
    ({}, {}, []),
    (ALL, {}, [("inbound", "proovl", ""), ("mail", "", ""), ("phone", "", "")]),
    ({"inbound_email": EMAIL}, {}, [("mail", "", "")]),
    (ALL, {"url": "", "email": "b@b.example", "phone": ""}, [("mail", "", "b@b.example")]),
    ({}, {"url": URL, "email": "", "phone": FORWARD}, [("inbound", "proovl", URL), ("phone", "", FORWARD)]),
]


@pytest.mark.parametrize("named, instead, forwards", PLANS)
def test_where_a_message_goes(
    named: dict[str, str], instead: dict[str, str], forwards: list[tuple[str, str, str]]
) -> None:
    """To all that the number names, or else its account; a place of the account's own is looked up when it is time."""
    directory = OneOwner(an_account(**named), **instead)
    planner = Planner(directory=lambda: directory, dialects=BY_NAME, clock=Time(), ids=IdMaker(lambda bits: 1))
    follows = planner.plan(an_inbound())
    assert follows.account_id == 7
    assert [(one.kind, one.dialect, one.url) for one in follows.drafts] == forwards
    assert {one.message_id for one in follows.drafts} <= {5}
    assert len({one.id for one in follows.drafts}) == len(forwards)
    nobody = planner.plan(an_inbound(recipient="447700900999"))
    assert (nobody.account_id, nobody.drafts, nobody.block) == (0, (), None)


@pytest.mark.parametrize(
    "chosen, receipts, spoken",
    [
        ("", "", "proovl"),
        ("smscentre", "proovl", "smscentre"),
        ("", "smscentre", "smscentre"),
        ("", "smsfox", "proovl"),  # has no words for messages that come in
        ("smsfox", "smscentre", "smscentre"),
        ("unknown", "", "proovl"),
    ],
)
def test_in_whose_words(chosen: str, receipts: str, spoken: str) -> None:
    """In the dialect that the account chose, or that of its receipts, or Proovl's: the first that can say it."""
    assert inbound_dialect(an_account(inbound_dialect=chosen, receipt_dialect=receipts), BY_NAME) == spoken


TWO = (NUMBER, "447700900002")
WORDS: list[tuple[str, dict[str, Any], bool | None, tuple[str, ...]]] = [
    # the text, the account, whether it blocks (None = nothing happens), under which originators
    ("STOP", {}, True, ("",)),
    (" stop\n", {}, True, ("",)),
    ("Stop", {"numbers": TWO}, True, (NUMBER,)),
    ("START", {}, False, ("", NUMBER)),
    ("start", {"numbers": TWO}, False, ("", NUMBER)),
    ("STOP now", {}, None, ()),
    ("STOPP", {}, None, ()),
    ("", {}, None, ()),
    ("straße", {"stop_words": ("STRASSE",)}, True, ("",)),
    ("STOP", {"stop_words": ()}, None, ()),
    ("both", {"stop_words": ("both",), "start_words": ("both",)}, True, ("",)),
]


@pytest.mark.parametrize("text, changes, is_blocked, originators", WORDS)
def test_stop_words(text: str, changes: dict[str, Any], is_blocked: bool | None, originators: tuple[str, ...]) -> None:
    """The whole text, in any letter case, blocks its phone or takes that back, under the number it was written to."""
    change = block_change(an_account(**changes), an_inbound(text), 9)
    if is_blocked is None:
        assert change is None
        return
    assert change is not None
    assert (change.numbers, change.is_blocked, change.originators) == ((PHONE,), is_blocked, originators)
    assert (change.origin, change.account_id, change.now_ms) == (BlockOrigin.STOP, 7, 9)


@pytest.mark.parametrize(
    "written, read",
    [
        ("+44 7700 900123", PHONE),
        ("00447700900123", PHONE),
        ("12345", "12345"),
        ("ACME", "ACME"),
        ("07700 900123", "07700 900123"),
        (
            " a name that is far too long for any phone to show ",
            "a name that is far too long for any phone"[:NUMBER_MAX],
        ),
        ("", ""),
    ],
)
def test_numbers_are_read_leniently(written: str, read: str) -> None:
    """Numbers become digits however they are written; what is none is kept as it came, within limits."""
    assert number_of(written) == read


def test_what_a_carrier_brings_is_bounded() -> None:
    """Text and reference are cut, what no database keeps is taken out, and the time is ours where there is none."""
    brought = an_inbound("a\0" + "b" * TEXT_MAX, reference="r" * 1000, received_ms=0)
    one = checked(brought, 42)
    assert (one.text, len(one.reference), one.received_ms) == ("a" + "b" * (TEXT_MAX - 1), REFERENCE_MAX, 42)
    assert checked(an_inbound("\ud83d"), 42).text == "\ufffd"
    contents = [checked(an_inbound(content="x" * length), 42).content for length in (CONTENT_MAX, CONTENT_MAX + 1)]
    assert contents == ["x" * CONTENT_MAX, ""]
    assert checked(an_inbound(coding=Coding.BINARY), 42).coding is Coding.BINARY


def test_what_is_read_together_can_be_kept() -> None:
    """What no database keeps is left out of segments that are read together, as of each by itself."""
    read = storable_read(lambda contents: ("\0".join(contents), Coding.TEXT))
    assert read(["a", "b"]) == ("ab", Coding.TEXT)


@pytest.mark.parametrize(
    "total, position, is_part",
    [(2, 1, True), (255, 255, True), (1, 1, False), (2, 3, False), (2, 0, False), (256, 1, False), (0, 0, False)],
)
def test_what_is_a_segment(total: int, position: int, is_part: bool) -> None:
    """A segment is one of two to 255 at a place among them; anything else that claims so is a message."""
    place = Concatenation(reference=1, total=total, position=position)
    assert (checked(an_inbound(concatenation=place), 1).concatenation is not None) == is_part


# In the gateway file

FILE_KEYS = """
inbound_email = "Alice.Smith+sms@example.com"
inbound_phone = "+44 7700 900777"
inbound_dialect = "smscentre"
stop_words = ["STOP", "ARRÊT"]
start_words = []
"""


def test_the_file_says_where_messages_go(tmp_path: Path) -> None:
    """What the gateway file says about messages from phones is what the gateway knows; without it, STOP and START."""

    async def script(middle: Middle) -> None:
        alice = middle.alice
        assert (alice.inbound_email, alice.inbound_phone) == ("Alice.Smith+sms@example.com", FORWARD)
        assert (alice.inbound_dialect, alice.stop_words, alice.start_words) == ("smscentre", ("STOP", "ARRÊT"), ())
        middle.configure(WORLD)
        await middle.open()
        assert (middle.alice.inbound_email, middle.alice.stop_words) == ("", ("STOP",))
        assert middle.alice.start_words == ("START",)

    play(tmp_path, script, WORLD + FILE_KEYS)


@pytest.mark.parametrize(
    "line, words",
    [
        ('inbound_email = "alice"', "inbound_email must be a plain address"),
        ('inbound_email = "a@b.example\\r\\nBcc: c@d.example"', "inbound_email must be a plain address"),
        ('inbound_email = "Alice <a@b.example>"', "inbound_email must be a plain address"),
        ('inbound_phone = "12345"', "inbound_phone must be a number with its country code"),
        ('inbound_dialect = "smsfox"', "inbound_dialect must be one of"),
        ('stop_words = [" STOP"]', "stop_words must have words"),
        ('start_words = ["A", "A"]', "start_words must not name the same thing twice"),
    ],
)
def test_a_wrong_key_is_named(line: str, words: str) -> None:
    """A place or a word that cannot be is refused with its key and what it must be."""
    with pytest.raises(GatewayFileError, match=words):
        parse(WORLD + line, file_name="gateway.toml", known=KNOWN)


# At the desk


def desk_of(middle: Middle) -> InboundDesk:
    async def follow() -> None:
        pass

    middle.store.inbox.plan = Planner(
        directory=lambda: middle.directory.current, dialects=BY_NAME, clock=middle.time, ids=middle.ids
    ).plan
    return InboundDesk(
        store=middle.store,
        clock=middle.time,
        ids=middle.ids,
        feed=middle.feed,
        announce=middle.callbacks.announce,
        follow=follow,
    )


def test_an_account_asks_for_what_came(tmp_path: Path) -> None:
    """An account lists its messages and takes what is new, once; numbers as they are written, and only its own."""

    async def script(middle: Middle) -> None:
        desk = desk_of(middle)
        for index, text in enumerate("abc"):
            one = an_inbound(text, reference=f"r{index}", received_ms=0)
            assert (await middle.result(desk.receive(middle.carrier("sim"), one))).id
            middle.time.now_s += 1
        ids = [str(row["id"]) for row in middle.rows(schema.inbound)]

        async def listed(**which: Any) -> InboundMessages:
            return await middle.result(desk.messages(ListInbound(account=middle.alice, **which)))

        async def taken(*numbers: str, count_max: int = 100) -> list[str]:
            call = TakeInbound(account=middle.alice, numbers=numbers, count_max=count_max)
            return [one.text for one in (await middle.result(desk.take(call))).items]

        everything = await listed()
        assert [(one.text, one.reference) for one in everything.items] == list(zip("cba", reversed(ids), strict=True))
        assert everything.total == 3
        assert [
            one.text for one in (await listed(numbers=(f"+{NUMBER}",), originators=(PHONE,), count_max=1)).items
        ] == ["c"]
        assert (await listed(numbers=("447700900999",))).total == 0
        assert [one.text for one in (await listed(after_id=int(ids[0]))).items] == ["b", "c"]
        assert await taken(f"+{NUMBER}", count_max=2) == ["a", "b"]
        assert await taken(NUMBER, f"+{NUMBER}") == ["c"]
        assert await taken() == ["a", "b", "c"]
        assert await taken() == []
        cursors = middle.rows(schema.inbound_cursor)
        assert await taken("447700900999") == []
        assert await taken("447700900998", NUMBER) == []
        assert middle.rows(schema.inbound_cursor) == cursors

    play(tmp_path, script)


def test_a_sender_of_two_lines_can_be_mailed(tmp_path: Path) -> None:
    """A phone's name with a line break in it, which a mail's subject cannot hold, stands on one line."""

    async def script(middle: Middle) -> None:
        one = an_inbound("Hello", originator="Bob\r\nBcc: x")
        kept = await middle.result(desk_of(middle).receive(middle.carrier("sim"), one))
        [row] = middle.rows(schema.inbound)
        assert (row["id"], row["originator"]) == (kept.id, "Bob Bcc: x")

    play(tmp_path, script)


def test_what_stays_incomplete_is_forwarded(tmp_path: Path) -> None:
    """A message whose segments do not all come reaches its owner after ten minutes, with what there is."""
    world = WORLD.replace("receipt_url", 'inbound_url = "http://alice.example/in"\nreceipt_url')

    async def script(middle: Middle) -> None:
        desk = desk_of(middle)
        place = Concatenation(reference=1, total=3, position=2)
        one = an_inbound("middle", reference="", concatenation=place)
        assert (await middle.result(desk.receive(middle.carrier("sim"), one))).id == 0
        assert await middle.result(desk.join_once()) == 0
        middle.time.now_s += PATIENCE_MS / 1000
        assert await middle.result(desk.join_once()) == 1
        await middle.settle()
        [request] = middle.customers.called
        assert b"&text=%E2%80%A6middle%E2%80%A6" in request.body
        assert middle.feed.counts[Step.INBOUND, "segment"] == middle.feed.counts[Step.INBOUND, "message"] == 1
        assert middle.callback_states() == {"done": 1}

    play(tmp_path, script, world)
