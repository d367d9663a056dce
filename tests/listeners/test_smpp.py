"""The SMPP door of a whole gateway on real sockets: binds, what they may ask, what they hear, and who is kept out."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest
import smpplib.consts  # type: ignore[import-untyped]
import smpplib.gsm  # type: ignore[import-untyped]
from smpplib.client import Client  # type: ignore[import-untyped]
from smpplib.pdu import PDU  # type: ignore[import-untyped]

from chappe.clock import SystemClock
from chappe.core.model import Inbound
from chappe.listeners.smpp import SmppLimits
from chappe.listeners.tls import make_self_signed
from chappe.settings import Settings
from chappe.smpp.connection import Timers
from chappe.smpp.pdu import (
    Address,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResponse,
    CancelSm,
    DataSm,
    EnquireLink,
    EnquireLinkResponse,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResponse,
    ReplaceSm,
    Status,
    SubmitMulti,
    SubmitMultiResponse,
    SubmitSm,
    SubmitSmResponse,
    Unbind,
    UnbindResponse,
    encode,
)
from chappe.smpp.tlv import Tag, find, number
from chappe.store import schema
from listeners.esmes import Peer, a_submit, bound, peer, with_smpplib
from whole import PATIENCE_S, all_are, apply, ask, eventually, get, rows, run, serving, settings_in, states

SCHEDULED = "000001000000000R"  # in a day (7.1.1)


def world(alice: str = "", more: str = "") -> str:
    return f"""
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "a long password"
smpp_password = "secret8"
balance = "10.00"
numbers = ["447700900001"]
{alice}
{more}
"""


def here(folder: Path, **changes: Any) -> Settings:
    return settings_in(folder, smpp="127.0.0.1:0", **changes)


def parts_of(text: bytes, reference: int = 7, total: int = 2) -> list[SubmitSm]:
    """A text as so many parts with user data headers."""
    size = -(-len(text) // total)
    return [
        a_submit(
            bytes((5, 0, 3, reference, total, index + 1)) + text[index * size : (index + 1) * size],
            esm_class=0x40,
            registered_delivery=1,
        )
        for index in range(total)
    ]


def words(one: Any) -> dict[str, str]:
    """The fields of a receipt's text (appendix B)."""
    text = one.short_message.decode("latin-1")
    return dict(field.split(":", 1) for field in text.split(" ") if ":" in field)


def id_in(pdu: Pdu) -> str:
    assert isinstance(pdu.body, SubmitSmResponse)
    assert (pdu.status, bool(pdu.body.message_id)) == (Status.OK, True)
    return pdu.body.message_id


# Binding


def test_a_bind_is_an_account(tmp_path: Path) -> None:
    """Who knows the account's short password is bound; our name and the version of the interface go back."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app, peer(app.smpp_port) as one:
            answer = await one.bind()
            assert isinstance(answer.body, BindTransceiverResponse)
            assert (answer.status, answer.body.system_id) == (Status.OK, "chappe")
            assert find(answer.body.tlvs, Tag.SC_INTERFACE_VERSION) == b"\x34"

    run(story())


def test_an_old_client_is_told_no_version(tmp_path: Path) -> None:
    """Who binds with an interface older than 3.4 gets an answer without optional parameters."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app, peer(app.smpp_port) as one:
            old = BindTransceiver(system_id="alice", password="secret8", interface_version=0x33)
            answer = await one.ask(old)
            assert (answer.status, answer.body) == (Status.OK, BindTransceiverResponse("chappe"))

    run(story())


@pytest.mark.parametrize(
    "system_id, password, status",
    [
        ("alice", "wrong", Status.INVALID_PASSWORD),
        ("alice", "", Status.INVALID_PASSWORD),
        ("nobody", "secret8", Status.INVALID_PASSWORD),
        ("bob", "bobs", Status.OK),  # has no short password: its password is one
        ("remote", "secret8", Status.INVALID_PASSWORD),  # may not bind from here
    ],
)
def test_who_may_bind(tmp_path: Path, system_id: str, password: str, status: Status) -> None:
    """A wrong name, a wrong password, and the right ones of an account that must come from elsewhere look the same."""
    more = """
[[account]]
name = "bob"
password = "bobs"
smpp_networks = ["127.0.0.0/8"]

[[account]]
name = "remote"
password = "secret8"
smpp_networks = ["192.0.2.0/24"]
"""

    async def story() -> None:
        async with serving(here(tmp_path), world(more=more)) as app, peer(app.smpp_port) as one:
            answer = await one.bind(system_id=system_id, password=password)
            assert answer.status == status
            if status is not Status.OK:
                assert await one.is_closed()

    run(story())


def test_whoever_guesses_is_slowed_down(tmp_path: Path) -> None:
    """After some wrong passwords even the right one must wait, from that network alone."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app:
            for _ in range(5):
                async with peer(app.smpp_port) as guesser:
                    await guesser.bind(password="wrong")
            async with peer(app.smpp_port) as same, peer(app.smpp_port, source="127.0.0.2") as other:
                assert (await same.bind()).status == Status.BIND_FAILED
                assert (await other.bind()).status == Status.OK

    run(story())


def test_binds_have_a_limit(tmp_path: Path) -> None:
    """One bind more than the account may have is refused, until another one goes."""

    async def story() -> None:
        async with serving(here(tmp_path), world("smpp_binds = 1")) as app:
            async with bound(app.smpp_port, "transmitter") as first:
                async with peer(app.smpp_port) as second:
                    assert (await second.bind("receiver")).status == Status.BIND_FAILED
                assert isinstance((await first.ask(Unbind())).body, UnbindResponse)
                assert await first.is_closed()

            async def is_free() -> bool:
                async with peer(app.smpp_port) as third:
                    return (await third.bind()).status == Status.OK

            await eventually(is_free)

    run(story())


def test_the_port_takes_tls(tmp_path: Path) -> None:
    """Where there is a certificate the same port takes TLS from the first octet, and SMPP in the clear."""
    certificate, key = make_self_signed(tmp_path / "tls")
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False

    async def story() -> None:
        settings = here(tmp_path, tls_certificate=str(certificate), tls_key=str(key))
        async with (
            serving(settings, world()) as app,
            peer(app.smpp_port, tls=context) as sealed,
            peer(app.smpp_port) as clear,
        ):
            for one in (sealed, clear):
                assert (await one.bind()).status == Status.OK
                id_in(await one.ask(a_submit()))

    run(story())


def test_an_account_that_ends_is_unbound(tmp_path: Path) -> None:
    """Once an account is no more, its next request is refused and its bind ended."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            apply(settings, world().replace('name = "alice"', 'name = "other"').replace("447700900001", "447700900002"))

            async def is_refused() -> bool:
                with contextlib.suppress(asyncio.IncompleteReadError):
                    return (await one.ask(a_submit())).status != Status.OK
                return True

            await eventually(is_refused)
            assert await one.is_closed()

    run(story())


@pytest.mark.parametrize(
    "before, after",
    [
        ('name = "alice"', 'name = "other"'),
        ("smpp_binds = 4", 'smpp_networks = ["192.0.2.0/24"]'),
    ],
)
def test_who_may_not_be_bound_any_more_is_unbound(tmp_path: Path, before: str, after: str) -> None:
    """A bind that says nothing ends too, once its account is no more or may not bind from there."""

    async def story() -> None:
        settings = here(tmp_path)
        text = world("smpp_binds = 4")
        async with serving(settings, text) as app, bound(app.smpp_port) as one:
            apply(settings, text.replace(before, after).replace("447700900001", "447700900002"))
            assert isinstance((await one.read()).body, Unbind)
            assert await one.is_closed()

    run(story())


# Submitting


def test_a_message_is_submitted_and_receipted(tmp_path: Path) -> None:
    """submit_sm is one message at its price; the receipt that was asked for comes to the bind, as text and as TLVs."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            message_id = id_in(await one.ask(a_submit(registered_delivery=1)))
            [receipt] = await one.hear(1)
            assert (words(receipt)["id"], words(receipt)["stat"]) == (message_id, "DELIVRD")
            assert find(receipt.tlvs, Tag.RECEIPTED_MESSAGE_ID) == message_id.encode() + b"\0"
            assert (receipt.source, receipt.destination, receipt.esm_class) == ("447700900123", "ACME", 0x04)
            [row] = rows(settings, schema.message)
            assert (str(row["id"]), row["text"], row["dialect"]) == (message_id, "Hello", "smpp")
            assert row["price_micros"] == 10_000

    run(story())


@pytest.mark.parametrize(
    "registered_delivery, recipient, stats",
    [
        (0, "447700900123", []),
        (1, "447700900123", ["DELIVRD"]),
        (1, "447709009001", ["UNDELIV"]),
        (2, "447700900123", []),
        (2, "447709009001", ["UNDELIV"]),
        (0x11, "447700900123", ["ENROUTE", "DELIVRD"]),
    ],
)
def test_registered_delivery_is_honoured(
    tmp_path: Path, registered_delivery: int, recipient: str, stats: list[str]
) -> None:
    """Nothing, every outcome, failures alone, and notifications on the way: each hears what it asked for (5.2.17)."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app, bound(app.smpp_port) as one:
            wanted = a_submit(registered_delivery=registered_delivery, destination=recipient)
            message_id = id_in(await one.ask(wanted))
            await all_are(app.settings, "delivered", "undeliverable")
            last_id = id_in(await one.ask(a_submit(registered_delivery=1)))
            while not one.delivered or words(one.delivered[-1])["id"] != last_id:
                await one.hear(len(one.delivered) + 1)
            told = [words(each)["stat"] for each in one.delivered if words(each)["id"] == message_id]
            assert told == stats

    run(story())


def test_ids_may_be_hexadecimal(tmp_path: Path) -> None:
    """An account that wants hexadecimal ids has them in answers and receipts, and asks by them."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world('smpp_ids = "hex"')) as app, bound(app.smpp_port) as one:
            message_id = id_in(await one.ask(a_submit(registered_delivery=1)))
            assert int(message_id, 16) == rows(settings, schema.message)[0]["id"]
            assert words((await one.hear(1))[0])["id"] == message_id
            answer = await one.ask(QuerySm(message_id=message_id, source_ton=5, source="ACME"))
            assert isinstance(answer.body, QuerySmResponse)
            assert (answer.status, answer.body.message_state) == (Status.OK, 2)

    run(story())


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"destination": "12"}, Status.INVALID_DESTINATION),
        ({"source": "a name that is long"}, Status.INVALID_SOURCE),
        ({"short_message": b""}, Status.INVALID_MESSAGE_LENGTH),
        ({"priority_flag": 9}, Status.INVALID_PRIORITY),
        ({"validity_period": "yesterday"}, Status.INVALID_VALIDITY),
        ({"schedule_delivery_time": "x"}, Status.INVALID_SCHEDULE),
        ({"data_coding": 0xEF + 0x10}, Status.OK),  # class 3 in octets
    ],
)
def test_what_is_wrong_has_its_status(tmp_path: Path, changes: dict[str, Any], status: Status) -> None:
    """A request that cannot be is refused by its own status and leaves nothing."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            assert (await one.ask(a_submit(**changes))).status == status
            assert len(states(settings)) == (status is Status.OK)

    run(story())


def test_without_money_nothing_is_taken(tmp_path: Path) -> None:
    """A submission that the balance does not reach for is refused and leaves no row."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world().replace('"10.00"', '"0.00"')) as app, bound(app.smpp_port) as one:
            assert (await one.ask(a_submit())).status == Status.SUBMIT_FAILED
            assert states(settings) == []

    run(story())


def test_many_destinations(tmp_path: Path) -> None:
    """submit_multi reaches whom it can; lists and what is no number are named with their status."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            good, bad = Address(1, 1, "447700900123"), Address(1, 1, "12")
            body = SubmitMulti(
                source_ton=5, source="ACME", destinations=(good, bad, "everybody"), short_message=b"Hello"
            )
            answer = await one.ask(body)
            assert isinstance(answer.body, SubmitMultiResponse)
            assert (answer.status, bool(answer.body.message_id)) == (Status.OK, True)
            assert {(each.address.value, each.status) for each in answer.body.unsuccessful} == {
                ("12", Status.INVALID_DESTINATION),
                ("everybody", Status.INVALID_LIST_NAME),
            }
            assert [row["recipient"] for row in rows(settings, schema.message)] == ["447700900123"]

    run(story())


def test_data_sm_carries_a_long_text_whole(tmp_path: Path) -> None:
    """data_sm with a payload of any length is one message of as many segments as it takes."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            payload = (Tag.MESSAGE_PAYLOAD, b"x" * 400)
            body = DataSm(
                source_ton=5, source="ACME", destination_ton=1, destination_npi=1, destination="447700900123",
                tlvs=(payload,),
            )  # fmt: skip
            assert (await one.ask(body)).status == Status.OK
            assert [(row["text"], row["segments"]) for row in rows(settings, schema.message)] == [("x" * 400, 3)]

    run(story())


# Long messages in parts


def test_parts_become_one_message(tmp_path: Path) -> None:
    """Parts in any order are one message at the price of its segments; each part that asked gets a receipt."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            text = b"abcdefghij" * 25
            first, second = parts_of(text)
            ids = [id_in(await one.ask(part)) for part in (second, first)]
            receipts = await one.hear(2)
            assert {words(each)["id"] for each in receipts} == set(ids)
            [row] = rows(settings, schema.message)
            assert (row["text"], row["segments"], row["price_micros"]) == (text.decode(), 2, 20_000)

    run(story())


def test_sar_parts_become_one_message(tmp_path: Path) -> None:
    """Parts that are numbered by TLVs are put together too, and only the one that asked hears of it."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            ids = [
                id_in(
                    await one.ask(
                        a_submit(
                            b"part %d " % position,
                            registered_delivery=int(position == 1),
                            tlvs=(
                                number(Tag.SAR_REFERENCE, 900),
                                number(Tag.SAR_TOTAL, 3),
                                number(Tag.SAR_POSITION, position),
                            ),
                        )
                    )
                )
                for position in (1, 2, 3)
            ]
            [receipt] = await one.hear(1)
            assert words(receipt)["id"] == ids[0]
            assert [row["text"] for row in rows(settings, schema.message)] == ["part 1 part 2 part 3 "]

    run(story())


def test_a_character_cut_in_two_is_whole(tmp_path: Path) -> None:
    """Octets are joined before they are decoded: a character that two parts share arrives."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            octets = "smile \N{GRINNING FACE}!".encode("utf-16-be")
            for index, piece in enumerate((octets[:14], octets[14:])):
                header = bytes((5, 0, 3, 9, 2, index + 1))
                id_in(await one.ask(a_submit(header + piece, esm_class=0x40, data_coding=8)))
            assert [row["text"] for row in rows(settings, schema.message)] == ["smile \N{GRINNING FACE}!"]

    run(story())


def test_a_part_survives_a_restart(tmp_path: Path) -> None:
    """What was answered is kept: the other part may come to the next life of the gateway."""

    async def story() -> None:
        settings = here(tmp_path)
        first, second = parts_of(b"abcdefghij" * 25)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            first_id = id_in(await one.ask(first))
        async with serving(settings) as app, bound(app.smpp_port) as one:
            assert id_in(await one.ask(first)) == first_id  # nobody heard its answer, say
            second_id = id_in(await one.ask(second))
            assert {words(each)["id"] for each in await one.hear(2)} == {first_id, second_id}
            assert len(states(settings)) == 1

    run(story())


def test_a_copy_of_a_scheduled_part_is_one(tmp_path: Path) -> None:
    """A part that comes again with a relative time, which is another instant by now, is a copy all the same."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            first, second = (
                msgspec.structs.replace(part, schedule_delivery_time=SCHEDULED) for part in parts_of(b"abcdefghij" * 25)
            )
            first_id = id_in(await one.ask(first))
            [kept] = rows(settings, schema.submission_part)

            async def is_later() -> bool:
                return bool(SystemClock().now_ms() > kept["received_ms"] + 1000)

            await eventually(is_later)
            assert id_in(await one.ask(first)) == first_id
            id_in(await one.ask(second))
            assert (states(settings), one.delivered) == (["scheduled"], [])

    run(story())


def test_a_long_message_that_is_refused(tmp_path: Path) -> None:
    """Where the money does not reach for the whole, the last part says so, and the first is told by a receipt."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world().replace('"10.00"', '"0.01"')) as app, bound(app.smpp_port) as one:
            first, second = parts_of(b"abcdefghij" * 25)
            first_id = id_in(await one.ask(first))
            assert (await one.ask(second)).status == Status.SUBMIT_FAILED
            [receipt] = await one.hear(1)
            assert (words(receipt)["id"], words(receipt)["stat"]) == (first_id, "REJECTD")
            assert (states(settings), rows(settings, schema.submission_part)) == ([], [])

    run(story())


# Questions


def test_a_scheduled_message_is_asked_for_replaced_and_taken_back(tmp_path: Path) -> None:
    """What waits for its time is on its way, may get another text of the same price, and may be taken back."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            message_id = id_in(await one.ask(a_submit(schedule_delivery_time=SCHEDULED, registered_delivery=1)))
            who: dict[str, Any] = {"message_id": message_id, "source_ton": 5, "source": "ACME"}
            query = await one.ask(QuerySm(**who))
            assert isinstance(query.body, QuerySmResponse)
            assert (query.status, query.body.message_state) == (Status.OK, 1)
            assert (await one.ask(ReplaceSm(**who, short_message=b"Another"))).status == Status.OK
            assert (await one.ask(ReplaceSm(**who, short_message=b"x" * 200))).status == Status.REPLACE_FAILED
            stranger = {**who, "source": "OTHER"}
            assert (await one.ask(ReplaceSm(**stranger, short_message=b"No"))).status == Status.INVALID_MESSAGE_ID
            assert [row["text"] for row in rows(settings, schema.message)] == ["Another"]
            assert (await one.ask(CancelSm(**who))).status == Status.OK
            assert (await one.ask(CancelSm(**who))).status == Status.CANCEL_FAILED
            assert [words(each)["stat"] for each in await one.hear(1)] == ["DELETED"]
            assert states(settings) == ["cancelled"]

    run(story())


def test_a_long_message_is_known_by_any_of_its_parts(tmp_path: Path) -> None:
    """query_sm, replace_sm and cancel_sm find the whole by the id of each part, and nothing by the next one."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            parts = [
                msgspec.structs.replace(part, schedule_delivery_time=SCHEDULED) for part in parts_of(b"abcdefghij" * 25)
            ]
            first, second = [id_in(await one.ask(part)) for part in parts]
            who: dict[str, Any] = {"source_ton": 5, "source": "ACME"}
            for message_id in (first, second):
                answer = await one.ask(QuerySm(message_id=message_id, **who))
                assert isinstance(answer.body, QuerySmResponse)
                assert (answer.status, answer.body.message_state) == (Status.OK, 1)
            behind = str(int(second) + 1)
            assert (await one.ask(QuerySm(message_id=behind, **who))).status == Status.INVALID_MESSAGE_ID
            assert (await one.ask(ReplaceSm(message_id=second, short_message=b"x" * 200, **who))).status == Status.OK
            assert (await one.ask(CancelSm(message_id=second, **who))).status == Status.OK
            assert states(settings) == ["cancelled"]

    run(story())


def test_a_part_is_known_where_the_whole_takes_fewer_segments(tmp_path: Path) -> None:
    """Who cuts a text shorter than need be finds the whole by the last part too, also if none is to be receipted."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app, bound(app.smpp_port) as one:
            parts = [
                msgspec.structs.replace(part, registered_delivery=0) for part in parts_of(b"abcdefghij" * 3, total=3)
            ]
            ids = [id_in(await one.ask(part)) for part in parts]
            for message_id in ids:
                assert (await one.ask(QuerySm(message_id=message_id, source="ACME"))).status == Status.OK
            behind = str(int(ids[-1]) + 1)
            assert (await one.ask(QuerySm(message_id=behind))).status == Status.INVALID_MESSAGE_ID

    run(story())


def test_messages_between_two_addresses_are_taken_back(tmp_path: Path) -> None:
    """cancel_sm without an id takes back what waits from one originator to one recipient, nothing else (4.9)."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            for recipient in ("447700900123", "447700900123", "447700900124"):
                id_in(await one.ask(a_submit(schedule_delivery_time=SCHEDULED, destination=recipient)))
            cancel = CancelSm(source_ton=5, source="ACME", destination_ton=1, destination="447700900123")
            assert (await one.ask(cancel)).status == Status.OK
            assert states(settings) == ["cancelled", "cancelled", "scheduled"]

    run(story())


def test_of_a_message_to_many_one_destination_is_taken_back(tmp_path: Path) -> None:
    """cancel_sm without an id takes back what goes to its destination, and not what goes to others with it."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            many = SubmitMulti(
                source_ton=5,
                source="ACME",
                destinations=(Address(1, 1, "447700900123"), Address(1, 1, "447700900124")),
                schedule_delivery_time=SCHEDULED,
                short_message=b"x",
            )
            assert (await one.ask(many)).status == Status.OK
            cancel = CancelSm(source_ton=5, source="ACME", destination_ton=1, destination="447700900123")
            assert (await one.ask(cancel)).status == Status.OK
            assert states(settings) == ["cancelled", "scheduled"]

    run(story())


def test_messages_of_others_are_not_found(tmp_path: Path) -> None:
    """An account can neither ask for nor take back what is another's."""
    more = '[[account]]\nname = "bob"\npassword = "bobs"\n'

    async def story() -> None:
        settings = here(tmp_path)
        async with (
            serving(settings, world(more=more)) as app,
            bound(app.smpp_port) as one,
            bound(app.smpp_port, system_id="bob", password="bobs") as other,
        ):
            message_id = id_in(await one.ask(a_submit(schedule_delivery_time=SCHEDULED)))
            who: dict[str, Any] = {"message_id": message_id, "source_ton": 5, "source": "ACME"}
            assert (await other.ask(QuerySm(**who))).status == Status.INVALID_MESSAGE_ID
            assert (await other.ask(CancelSm(**who))).status == Status.INVALID_MESSAGE_ID
            assert (await other.ask(ReplaceSm(**who, short_message=b"x"))).status == Status.INVALID_MESSAGE_ID
            assert states(settings) == ["scheduled"]

    run(story())


# What an account hears


def test_receipts_wait_for_a_bind(tmp_path: Path) -> None:
    """Receipts for an account that only transmits lie, over a restart too, until a receiver binds; then all come."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port, "transmitter") as one:
            ids = [id_in(await one.ask(a_submit(registered_delivery=1))) for _ in range(20)]
            await all_are(settings, "delivered")
        async with serving(settings) as app, bound(app.smpp_port, "receiver") as one:
            assert sorted(words(each)["id"] for each in await one.hear(20)) == sorted(ids)

            async def all_done() -> bool:
                return {row["state"] for row in rows(settings, schema.callback)} == {"done"}

            await eventually(all_done)

    run(story())


def test_what_a_lost_link_left_is_delivered_again(tmp_path: Path) -> None:
    """A receipt whose answer never came is delivered through the next bind."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app:
            async with bound(app.smpp_port) as one:
                message_id = id_in(await one.ask(a_submit(registered_delivery=1)))
                assert (await one.read()).body.command_id == 0x05  # deliver_sm, to which nobody answers
            async with bound(app.smpp_port, "receiver") as next_one:
                [receipt] = await next_one.hear(1)
                assert words(receipt)["id"] == message_id

    run(story())


@pytest.mark.parametrize(
    "status, state, attempt",
    [(Status.PERMANENT_ERROR, "failed", 1), (Status.REJECTED, "failed", 1), (Status.TEMPORARY_ERROR, "pending", 1)],
)
def test_what_an_esme_answers_counts(tmp_path: Path, status: Status, state: str, attempt: int) -> None:
    """A receipt that is refused for good is not delivered again; one that is refused for now waits for its time."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            one.deliver_status = status
            id_in(await one.ask(a_submit(registered_delivery=1)))
            await one.hear(1)

            async def is_closed() -> bool:
                [row] = rows(settings, schema.callback)
                return (row["state"], row["attempt"], row["node_id"], row["detail"]) == (
                    state,
                    attempt,
                    0,
                    f"0x{status:08x}",
                )

            await eventually(is_closed)

    run(story())


def test_binds_of_an_account_share_what_it_hears(tmp_path: Path) -> None:
    """Two receivers of one account get each receipt once between them."""

    async def story() -> None:
        settings = here(tmp_path)
        async with (
            serving(settings, world()) as app,
            bound(app.smpp_port, "receiver") as left,
            bound(app.smpp_port, "receiver") as right,
            bound(app.smpp_port, "transmitter") as one,
        ):
            ids = [id_in(await one.ask(a_submit(registered_delivery=1))) for _ in range(10)]
            async with asyncio.TaskGroup() as group:
                group.create_task(left.hear(5))
                group.create_task(right.hear(5))
            heard = [words(each)["id"] for each in left.delivered + right.delivered]
            assert sorted(heard) == sorted(ids)

    run(story())


@pytest.mark.parametrize("key", ["smpp_receiver = true", 'inbound_dialect = "smpp"'])
def test_messages_from_phones_come_to_binds(tmp_path: Path, key: str) -> None:
    """A message to the account's number comes to its bind where the account says so, long ones in parts."""

    async def story() -> None:
        async with serving(here(tmp_path), world(key)) as app, bound(app.smpp_port) as one:
            carrier = app._directory.current.carriers[0]
            inbound = Inbound(
                reference="r1", originator="447700900123", recipient="447700900001", text="abcdefghij" * 20
            )
            await app._inbox.receive(carrier, inbound)
            parts = await one.hear(2)
            assert [(each.source, each.destination, each.esm_class) for each in parts] == [
                ("447700900123", "447700900001", 0x40)
            ] * 2
            assert b"".join(each.short_message[6:] for each in parts).decode() == inbound.text

    run(story())


def test_a_message_from_a_long_name_comes_without_it(tmp_path: Path) -> None:
    """Whoever has a name that no address has room for is left out, and the message comes all the same."""

    async def story() -> None:
        async with serving(here(tmp_path), world("smpp_receiver = true")) as app, bound(app.smpp_port) as one:
            carrier = app._directory.current.carriers[0]
            name = "someone@mail.example.com"
            await app._inbox.receive(
                carrier, Inbound(reference="r1", originator=name, recipient="447700900001", text="Hi")
            )
            [message] = await one.hear(1)
            assert (message.source, message.short_message) == ("", b"Hi")

    run(story())


def test_who_did_not_ask_for_messages_has_none_lying(tmp_path: Path) -> None:
    """For an account that did not say so, messages from phones leave no callbacks to its binds."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            id_in(await one.ask(a_submit(source_ton=1, source="447700900001", destination="99900009010")))

            async def has_come() -> bool:
                return len(rows(settings, schema.inbound)) == 1

            await eventually(has_come)
            assert rows(settings, schema.callback) == []

    run(story())


def test_receipts_of_http_submissions_may_go_to_binds(tmp_path: Path) -> None:
    """With receipt_dialect smpp the receipts of messages in other languages come to the bind."""

    async def story() -> None:
        async with serving(here(tmp_path), world('receipt_dialect = "smpp"')) as app, bound(app.smpp_port) as one:
            fields = {"login": "alice", "pwd": "a long password", "phones": "447700900123", "msg": "Hi"}
            answer = await ask(app.http_port, get("/en/api/", **fields))
            assert answer.body.startswith(b"01")
            [receipt] = await one.hear(1)
            assert (words(receipt)["stat"], receipt.source) == ("DELIVRD", "447700900123")

    run(story())


def test_an_account_is_asked_to_bind(tmp_path: Path) -> None:
    """Where something waits and no bind is there, we connect to the account and ask it to bind as a receiver."""

    async def story() -> None:
        settings = here(tmp_path)
        connected: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.set_result(Peer(reader, writer))

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with serving(settings, world(f'smpp_outbind = "127.0.0.1:{port}"')) as app:
            async with bound(app.smpp_port, "transmitter") as one:
                message_id = id_in(await one.ask(a_submit(registered_delivery=1)))
            async with asyncio.timeout(PATIENCE_S):
                called = await connected
            assert isinstance((await called.read()).body, Outbind)
            assert (await called.ask(BindReceiver(system_id="alice", password="secret8"))).status == Status.OK
            [receipt] = await called.hear(1)
            assert words(receipt)["id"] == message_id
            called.close()
        server.close()

    run(story())


def test_who_cannot_be_reached_lets_nobody_wait(tmp_path: Path) -> None:
    """While one account does not answer, the others are connected to and asked to bind."""
    dead, alive = ('smpp_outbind = "192.0.2.1:1"', 'smpp_outbind = "192.0.2.2:1"')
    bob = f'[[account]]\nname = "bob"\npassword = "secret8"\nbalance = "10.00"\n{alive}\n'

    async def story() -> None:
        asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def connect(place: str, make: Any) -> None:
            if place == "192.0.2.1:1":
                await asyncio.Event().wait()
            if not asked.done():
                asked.set_result(place)
            raise OSError

        async with serving(here(tmp_path), world(dead, bob)) as app:
            app.smpp._connect = connect
            for name in ("alice", "bob"):
                async with bound(app.smpp_port, "transmitter", system_id=name) as one:
                    id_in(await one.ask(a_submit(registered_delivery=1)))
            async with asyncio.timeout(PATIENCE_S):
                assert await asked == "192.0.2.2:1"

    run(story())


def test_binds_are_counted(tmp_path: Path) -> None:
    """/metrics tells how many binds of each kind an account has."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app, bound(app.smpp_port), bound(app.smpp_port, "receiver"):
            page = (await ask(app.http_port, get("/metrics"))).body.decode()
            for kind in ("transceiver", "receiver"):
                assert f'chappe_binds{{account="alice",bind="{kind}"}} 1.0' in page

    run(story())


# Limits and strangers


def test_a_flood_is_throttled(tmp_path: Path) -> None:
    """More requests at once than the window has room for are refused as throttled; the others are taken."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world("smpp_window = 5")) as app, bound(app.smpp_port) as one:
            one.say(b"".join(encode(Pdu(a_submit(), sequence)) for sequence in range(101, 121)))
            statuses = [(await one.answer_to(sequence)).status for sequence in range(101, 121)]
            assert statuses.count(Status.OK) == 5
            assert statuses.count(Status.THROTTLED) == 15
            assert len(states(settings)) == 5

    run(story())


def test_throughput_has_a_cap(tmp_path: Path) -> None:
    """An account with a throughput gets what exceeds it refused as throttled, destination by destination."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world("smpp_throughput = 0.01")) as app, bound(app.smpp_port) as one:
            assert (await one.ask(a_submit())).status == Status.OK
            assert (await one.ask(a_submit())).status == Status.THROTTLED
            many = SubmitMulti(
                source_ton=5, source="A", destinations=(Address(1, 1, "447700900123"),), short_message=b"x"
            )
            assert (await one.ask(many)).status == Status.THROTTLED

    run(story())


def test_binds_share_a_throughput(tmp_path: Path) -> None:
    """What an account may submit in a second is counted over all its binds, also those that come later."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world("smpp_throughput = 0.01")) as app, bound(app.smpp_port) as one:
            assert (await one.ask(a_submit())).status == Status.OK
            async with bound(app.smpp_port) as other:
                assert (await other.ask(a_submit())).status == Status.THROTTLED

    run(story())


def test_only_binds_may_submit(tmp_path: Path) -> None:
    """Requests without a bind, and submissions of a receiver, are refused; the link stands."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app:
            async with peer(app.smpp_port) as one:
                assert (await one.ask(a_submit())).status == Status.INCORRECT_BIND_STATE
                assert (await one.bind("receiver")).status == Status.OK
                assert (await one.ask(a_submit())).status == Status.INCORRECT_BIND_STATE
                assert isinstance((await one.ask(EnquireLink())).body, EnquireLinkResponse)
            assert states(app.settings) == []

    run(story())


def test_rubbish_ends_the_link(tmp_path: Path) -> None:
    """Octets that cannot be SMPP are answered with generic_nack, and the connection is closed."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app, peer(app.smpp_port) as one:
            one.say(b"GET / HTTP/1.1\r\n\r\n")
            assert isinstance((await one.read()).body, GenericNack)
            assert await one.is_closed()

    run(story())


def test_strangers_have_limits(tmp_path: Path) -> None:
    """One address has so many connections and no more; those who do not bind in time are let go."""

    async def story() -> None:
        async with serving(here(tmp_path), world()) as app:
            app.smpp._limits = SmppLimits(per_address_max=20, timers=Timers(session_init_s=0.2))
            async with contextlib.AsyncExitStack() as stack:
                idle = [await stack.enter_async_context(peer(app.smpp_port)) for _ in range(25)]
                for one in idle[:20]:
                    one.say(b"\0")  # a trickle
                assert all(await asyncio.gather(*(one.is_closed() for one in idle)))
                assert app.smpp.refused_count == 5

            async def are_gone() -> bool:
                return app.smpp.connections_count == 0

            await eventually(are_gone)
            async with bound(app.smpp_port) as one:
                id_in(await one.ask(a_submit()))

    run(story())


def test_stopping_takes_leave(tmp_path: Path) -> None:
    """A gateway that stops answers what was asked, unbinds, and closes when that was answered."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, bound(app.smpp_port) as one:
            asked = [one.send(a_submit()) for _ in range(20)]
            first = await one.read()
            stopping = asyncio.create_task(app.smpp.stop(PATIENCE_S))
            heard = [first, *[await one.read() for _ in range(20)]]
            [leave] = [pdu for pdu in heard if isinstance(pdu.body, Unbind)]
            answers = {pdu.sequence: pdu.status for pdu in heard if isinstance(pdu.body, SubmitSmResponse)}
            assert sorted(answers) == asked
            assert len(states(settings)) == list(answers.values()).count(Status.OK)
            one.say(encode(Pdu(UnbindResponse(), leave.sequence)))
            assert await one.is_closed()
            await stopping

    run(story())


# Other people's clients


def test_smpplib_sends_a_long_text_and_hears_of_it(tmp_path: Path) -> None:
    """smpplib binds, sends a long text in UCS-2 in parts, and gets a receipt for each part."""
    text = "Καλημέρα κόσμε " * 12

    def story(client: Client, received: list[PDU]) -> int:
        parts, coding, esm_class = smpplib.gsm.make_parts(text)
        for part in parts:
            client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
                source_addr="ACME",
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                destination_addr="447700900123",
                short_message=part,
                data_coding=coding,
                esm_class=esm_class,
                registered_delivery=True,
            )
        while len(received) < 2 * len(parts):
            client.read_once()
        return len(parts)

    async def living() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app:
            count = await with_smpplib(app.smpp_port, story)
            [row] = rows(settings, schema.message)
            assert (row["text"], row["segments"]) == (text, count)

    run(living())
