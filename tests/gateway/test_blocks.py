"""The blacklist at its desk: what may be put on it, that it holds at once, and that every server follows it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chappe.core.centre import Accepted, Call, Done, Outcome, Refusal, Refused
from chappe.core.model import Submission
from chappe.core.phonebook import (
    Block,
    BlockContacts,
    BlockNumbers,
    BlockOrigin,
    Blocks,
    Contact,
    ListBlocks,
    PutContacts,
    UnblockNumbers,
)
from chappe.gateway import blocks
from chappe.gateway.blocks import Blacklist, BlockDesk
from chappe.gateway.phonebook import PhonebookDesk
from chappe.gateway.submission import Intake
from chappe.store import schema
from gateway.middle import PROOVL, WORLD, YES, Middle, play

ONE, TWO, THREE = "447700900001", "447700900002", "447700900003"
BOB = '\n[[account]]\nname = "bob"\npassword = "b"\nbalance = "1.00"\n'


class Desk:
    """The desk on a gateway, and the list it keeps."""

    def __init__(self, middle: Middle, blacklist: Blacklist | None = None) -> None:
        self.middle = middle
        self.blacklist = blacklist or Blacklist(middle.store)
        self.desk = BlockDesk(middle.store, middle.time, self.blacklist)

    async def ask(self, call: Call) -> Outcome:
        answer: Any = self.desk.answers[type(call)](call, PROOVL, "")
        return await self.middle.result(answer)

    async def block(self, *numbers: str, account: str = "alice") -> Outcome:
        return await self.ask(BlockNumbers(account=self.middle.account(account), numbers=numbers))

    async def unblock(self, *numbers: str) -> Outcome:
        return await self.ask(UnblockNumbers(self.middle.alice, numbers))

    async def listed(self, **which: Any) -> list[str]:
        found = await self.ask(ListBlocks(account=self.middle.alice, **which))
        assert isinstance(found, Blocks)
        return [one.number for one in found.items]

    def is_blocked(self, number: str, account: str = "alice", originator: str = "ACME") -> bool:
        return self.blacklist.is_blocked(self.middle.account(account).id, number, originator)


def test_a_blocked_number_is_not_written_to(tmp_path: Path) -> None:
    """What an account blocks is refused from the next message on, for that account alone, until it is unblocked."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        intake = Intake(
            store=middle.store,
            directory=lambda: middle.directory.current,
            clock=middle.time,
            ids=middle.ids,
            wake=lambda _, *, is_urgent=True: None,
            feed=middle.feed,
            is_blocked=desk.blacklist.is_blocked,
        )

        async def send(account: str) -> Outcome:
            submission = Submission(recipients=(ONE,), text="Hello", originator="ACME")
            return await middle.result(intake.submit(middle.account(account), submission, PROOVL))

        assert await desk.block(f"+{ONE}", "0044 7700 900002", ONE) == Done(2)
        assert await send("alice") == Refused(Refusal.BLOCKED)
        assert isinstance(await send("bob"), Accepted)
        assert await desk.unblock(ONE, THREE) == Done(1)
        assert isinstance(await send("alice"), Accepted)
        assert desk.is_blocked(TWO)

    play(tmp_path, script, WORLD + BOB)


@pytest.mark.parametrize("is_late", [False, True], ids=["paid at once", "paid when sent"])
def test_what_waits_for_a_blocked_number_does_not_leave(is_late: bool, tmp_path: Path) -> None:
    """What was scheduled before its recipient was blocked is rejected when its time comes, and costs nothing."""

    async def script(middle: Middle) -> None:
        carrier = middle.scripts["sim"]
        carrier.always = YES
        in_an_hour: dict[str, Any] = {"scheduled_ms": middle.time.now_ms() + 3_600_000, "is_charged_late": is_late}
        await middle.submit(ONE, **in_an_hour)
        await middle.submit(TWO, **in_an_hour)
        assert await Desk(middle, middle.blacklist).block(ONE) == Done(1)
        await middle.pass_time(3_700, step_s=100)
        assert [asked.recipients for asked in carrier.asked] == [(TWO,)]
        rejected, _ = middle.rows(schema.message)
        assert (rejected["state"], rejected["detail"]) == ("rejected", "blocked")
        assert middle.states() == ["rejected", "sent"]
        assert middle.money() == (10_000, 0)

    play(tmp_path, script, scripts=("sim",))


def test_all_or_none(tmp_path: Path) -> None:
    """A call with a number that is none, an unknown contact, or too many numbers changes nothing."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        assert await desk.block(ONE, "12") == Refused(Refusal.BAD_RECIPIENT)
        assert await desk.unblock("") == Refused(Refusal.BAD_RECIPIENT)
        assert isinstance(await desk.block(*[ONE] * (blocks.NUMBERS_MAX + 1)), Refused)
        assert await desk.ask(BlockContacts(middle.alice, (77,))) == Refused(Refusal.NOT_FOUND)
        assert await desk.block() == Done(0)
        assert await desk.listed() == []

    play(tmp_path, script)


def test_contacts_are_blocked_by_their_numbers(tmp_path: Path) -> None:
    """Of contacts the numbers go on the list; one without a number, or named twice, adds none."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        book = PhonebookDesk(middle.store, middle.time, middle.ids)
        contacts = (Contact(number=ONE), Contact(number=TWO), Contact(email="eve@example.com"))
        made = await middle.result(book.put_contacts(PutContacts(account=middle.alice, contacts=contacts)))
        ids = made.ids  # type: ignore[union-attr]
        assert await desk.ask(BlockContacts(middle.alice, (*ids, ids[0]))) == Done(2)
        assert await desk.ask(BlockContacts(middle.alice, (ids[0], ids[0] + 10**6))) == Refused(Refusal.NOT_FOUND)
        assert set(await desk.listed()) == {ONE, TWO}

    play(tmp_path, script)


def test_the_list_is_shown(tmp_path: Path) -> None:
    """Newest first, by number and origin, with when and by whom each was put there."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        await desk.block(ONE)
        middle.time.now_s += 1
        await desk.ask(BlockNumbers(account=middle.alice, numbers=(TWO,), origin=BlockOrigin.WEB))
        assert await desk.listed() == [TWO, ONE]
        assert await desk.listed(number=f"+{ONE}") == [ONE]
        found = await desk.ask(ListBlocks(account=middle.alice, origins=(BlockOrigin.WEB,)))
        made_ms = middle.time.now_ms()
        assert found == Blocks(items=(Block(number=TWO, origin=BlockOrigin.WEB, made_ms=made_ms),), total=1)

    play(tmp_path, script)


def test_another_server_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that looks again has what others changed, however much that is; one that begins now has all of it."""
    monkeypatch.setattr(blocks, "FOLLOWED_MAX", 3)

    async def script(middle: Middle) -> None:
        desk, other = Desk(middle), Desk(middle)
        numbers = [f"44770090{index:04}" for index in range(10)]
        await desk.block(*numbers)
        await desk.block(ONE, account="bob")
        assert not other.is_blocked(numbers[9])
        await middle.result(asyncio.wait_for(other.blacklist.follow(), None))
        assert all(map(other.is_blocked, numbers))
        await desk.unblock(numbers[3])
        await middle.result(asyncio.wait_for(other.blacklist.follow(), None))
        newest = Desk(middle)
        await middle.result(asyncio.wait_for(newest.blacklist.follow(), None))
        for one in (desk, other, newest):
            assert [number for number in numbers if not one.is_blocked(number)] == [numbers[3]]
            assert one.is_blocked(ONE, "bob")
            assert one.blacklist.count(middle.alice.id) == 9

    play(tmp_path, script, WORLD + BOB)


def test_the_list_of_an_account_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account's own calls fill its list up to a limit, and not beyond."""
    monkeypatch.setattr(blocks, "BLOCKS_MAX", 2)

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        assert await desk.block(ONE, TWO) == Done(2)
        refused = await desk.block(THREE)
        assert isinstance(refused, Refused)
        assert refused.reason is Refusal.FORBIDDEN
        assert not desk.is_blocked(THREE)

    play(tmp_path, script)
