"""Bugs to plant on purpose: each breaks one promise in one place, and the simulator has to see it.

A plant takes pytest's `monkeypatch`, so that it is pulled out again with the test.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import structs

from chappe.core.centre import Done, Verdict
from chappe.core.ledger import Entry, Kind, entry
from chappe.core.lifecycle import Move, after_doubt
from chappe.core.model import Account, Coding, Inbound, Message, Submission, UncertainPolicy
from chappe.core.numbers import RentNumber
from chappe.dialects.base import Dialect, HttpResponse
from chappe.gateway import callbacks as callback_desk
from chappe.gateway import dispatch, earlier
from chappe.gateway import inbound as inbound_desk
from chappe.gateway.blocks import Blacklist, BlockDesk
from chappe.gateway.dispatch import Dispatcher
from chappe.gateway.fleet import Fleet
from chappe.gateway.inbound import Letter, Planner
from chappe.gateway.numbers import NumberDesk
from chappe.gateway.submission import Intake
from chappe.store import callbacks as callback_rows
from chappe.store import inbox, messages, numbers, receipts, sending
from chappe.store.blocks import BEFORE_ALL, BlockChange, BlockRow
from chappe.store.database import Prepared, Transaction
from chappe.store.engine import Store
from chappe.store.group_commit import GroupCommit
from chappe.store.inbox import Arrival, Consequences, Inbox
from chappe.store.messages import Acceptance, Messages
from chappe.store.money import Ledger
from chappe.store.numbers import NumberRow, Numbers, Renewal, Renewed, Rental
from chappe.store.sending import Claim, Outbox, Sending
from chappe.store.shares import Shares
from chappe.store.tallies import Tallies

Patch = pytest.MonkeyPatch
EVERY = 25  # how rarely a commit is skipped


class Skipped(Exception):
    """Rolls a transaction back."""


def skip_commits(patch: Patch) -> None:
    whole, calls = GroupCommit._commit, iter(range(1, 10**9))

    def commit(self: GroupCommit, items: Any, is_repeat: bool) -> Any:
        if next(calls) % EVERY or self.before_commit is None:
            return whole(self, items, is_repeat)
        settled: list[Any] = []

        def roll_back() -> None:
            raise Skipped

        strike, self.before_commit = self.before_commit, roll_back
        try:
            with self._connection.transaction() as transaction:
                for verb, item, future in items:
                    settled.append((future, verb.run_many(transaction, [item], is_repeat)[0]))
                raise Skipped
        except Skipped:
            return settled
        finally:
            self.before_commit = strike

    patch.setattr(GroupCommit, "_commit", commit)


def answer_before_commit(patch: Patch) -> None:
    def accept(self: Store, item: Acceptance) -> "asyncio.Future[bool]":
        self._commits.put(self._accept, item).add_done_callback(lambda late: late.exception())
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        told.set_result(True)
        return told

    patch.setattr(Store, "accept", accept)


def post_twice(patch: Patch) -> None:
    whole = sending.settlement

    def settlement(one: Sending) -> list[Entry]:
        return [*whole(one), *(structs.replace(each, phase="again") for each in whole(one))]

    patch.setattr(sending, "settlement", settlement)


def let_anybody_record(patch: Patch) -> None:
    rewrite(patch, Outbox, "_move", "message.attempt = batch.attempt AND batch.node = abs(message.node_id)", "1 = 1")


def cancel_what_is_sending(patch: Patch) -> None:
    rewrite(patch, Messages, "_cancel", "IN ('queued', 'scheduled')", "IN ('queued', 'scheduled', 'sending')")


def rewrite(patch: Patch, owner: type[Any], name: str, before: str, after: str) -> None:
    """Change the text of one statement."""
    whole = owner.__init__

    def build(self: Any, *arguments: Any) -> None:
        whole(self, *arguments)
        statement: Prepared = getattr(self, name)
        assert before in statement.sql, statement.sql
        statement.sql = statement.sql.replace(before, after)

    patch.setattr(owner, "__init__", build)


def overwrite_final_states(patch: Patch) -> None:
    patch.setattr(receipts, "after_receipt", lambda current, reported: None if reported is current else reported)


def send_before_it_is_written(patch: Patch) -> None:
    whole = Outbox.claim_many

    def claim_many(self: Outbox, transaction: Transaction, claims: Sequence[Claim], is_repeat: bool) -> Any:
        taken = whole(self, transaction, claims, is_repeat)
        for one in (each for group in taken for each in group):
            transaction._cursor.execute(f"UPDATE message SET state = 'queued' WHERE id = {one.id}")
        return taken

    patch.setattr(Outbox, "claim_many", claim_many)


def never_match_parked_receipts(patch: Patch) -> None:
    patch.setattr(receipts.Receipts, "meet_parked", lambda *_: {})


def keep_callbacks_in_memory(patch: Patch) -> None:
    """A callback is claimed for ever by the life that wrote it."""
    patch.setattr(callback_rows, "FIRST_RETRY_S", 10**9)
    patch.setattr(callback_rows.Callbacks, "release", lambda *_: 0)


def take_any_answer_for_success(patch: Patch) -> None:
    whole = callback_desk.judge

    def judge(*arguments: Any) -> Any:
        result = whole(*arguments)
        return callback_rows.CallbackResult(id=result.id, attempt=result.attempt, state="done", due_ms=result.due_ms)

    patch.setattr(callback_desk, "judge", judge)


def forget_to_void_cancelled(patch: Patch) -> None:
    whole = Messages.cancel_many

    def cancel_many(self: Messages, *arguments: Any) -> list[int]:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Ledger, "write", lambda *_: None)
            return whole(self, *arguments)

    patch.setattr(Messages, "cancel_many", cancel_many)


def grant_everything(patch: Patch) -> None:
    patch.setattr(messages, "grant", lambda _spendable, wishes: [True for _ in wishes])


def forget_repeats_of_acceptance(patch: Patch) -> None:
    whole = Messages.accept_many
    patch.setattr(Messages, "accept_many", lambda self, transaction, items, _: whole(self, transaction, items, False))


def forget_repeats_of_claims(patch: Patch) -> None:
    whole = Outbox._take

    def take(self: Outbox, transaction: Transaction, statements: Any, owner: int, claims: Any, _: bool) -> Any:
        unrepeated = [structs.replace(one, is_repeat=False) for one in claims]
        return whole(self, transaction, statements, owner, unrepeated, False)

    patch.setattr(Outbox, "_take", take)


def forget_lost_claims(patch: Patch) -> None:
    """The database went away with the answer to a claim, and the dispatcher does not ask for it again."""
    whole = Store.claim

    def claim(self: Store, one: Claim) -> "asyncio.Future[list[Message]]":
        return whole(self, structs.replace(one, is_repeat=False))

    patch.setattr(Store, "claim", claim)


def give_up_retired_dispatchers(patch: Patch) -> None:
    async def end(_: Fleet, dispatcher: Dispatcher, run: "asyncio.Task[None]", _timeout_s: float | None) -> None:
        await run
        await dispatcher.drain(1.0)

    patch.setattr(Fleet, "_end", end)


def trust_carriers_not_to_break(patch: Patch) -> None:
    async def ask(self: Dispatcher, message: Message) -> Any:
        return await self.centre.query(str(message.id))

    patch.setattr(Dispatcher, "_ask", ask)


def resend_what_is_on_hold(patch: Patch) -> None:
    def resend(message: Message, policy: UncertainPolicy, now_ms: int) -> Move:
        return after_doubt(message, UncertainPolicy.RESEND, now_ms)

    patch.setattr(dispatch, "after_doubt", resend)


def replace_dispatchers_that_do_not_share(patch: Patch) -> None:
    whole = Fleet.follow

    def follow(self: Fleet, carriers: Any) -> None:
        self._in_hand.clear()
        whole(self, carriers)

    patch.setattr(Fleet, "follow", follow)


def forget_doubtful_messages(patch: Patch) -> None:
    patch.setattr(Outbox, "free", lambda *_: 0)


def rent_for_nothing(patch: Patch) -> None:
    whole = numbers.rent_of
    patch.setattr(numbers, "rent_of", lambda row: structs.replace(whole(row), amount_micros=0))


def keep_what_has_ended(patch: Patch) -> None:
    patch.setattr(NumberRow, "free", lambda self: self)


def forget_who_rented(patch: Patch) -> None:
    """The repeat of a commit that took effect no longer knows the rental."""
    whole = Numbers._rent_many

    def rent(self: Numbers, transaction: Transaction, rentals: Sequence[Rental], is_repeat: bool) -> Any:
        known = [structs.replace(one, rental_id=one.rental_id + is_repeat) for one in rentals]
        return whole(self, transaction, known, is_repeat)

    patch.setattr(Numbers, "_rent_many", rent)


def wait_for_callbacks_of_others(patch: Patch) -> None:
    """A callback waits for an earlier one that another node has made meanwhile."""
    patch.setattr(earlier, "is_overdue", lambda *_: False)


# Schedules


def void_what_was_never_charged(patch: Patch) -> None:
    whole = messages.entries

    def entries(kind: Kind, group: Sequence[Message]) -> list[Entry]:
        if kind is not Kind.VOID:
            return whole(kind, group)
        return [entry(kind, one.id, one.account_id, one.price_micros) for one in group]

    patch.setattr(messages, "entries", entries)


def charge_late_twice(patch: Patch) -> None:
    whole = Outbox._charge_late

    def charge(self: Outbox, transaction: Transaction, claimed: list[Message], now_ms: int) -> list[Message]:
        leaving = whole(self, transaction, claimed, now_ms)
        late = {one.id for one in claimed if one.is_charged_late}
        again = messages.entries(Kind.RESERVE, [one for one in leaving if one.id in late])
        self._ledger.write(transaction, [structs.replace(each, phase="again") for each in again], now_ms)
        return leaving

    patch.setattr(Outbox, "_charge_late", charge)


def charge_late_whatever_is_left(patch: Patch) -> None:
    patch.setattr(sending, "grant", lambda _spendable, wishes: [True for _ in wishes])


def send_what_cannot_be_charged(patch: Patch) -> None:
    patch.setattr(Outbox, "_charge_late", lambda _self, _transaction, claimed, _now_ms: claimed)


def send_before_it_is_due(patch: Patch) -> None:
    for name in ("_take_one", "_take_many"):
        rewrite(patch, Shares, name, "message.due_ms <= :now", "1 = 1")
    rewrite(patch, Shares, "_survey", "<= :now", "> 0")


def cancel_for_every_recipient(patch: Patch) -> None:
    rewrite(patch, Messages, "_cancel", "message.recipient = :recipient", "1 = 1")


def forget_to_recall(patch: Patch) -> None:
    patch.setattr(Messages, "recall_many", lambda _self, _transaction, recalls, _is_repeat: [0 for _ in recalls])


# Messages from phones


def forget_what_came(patch: Patch) -> None:
    def all_are_new(_self: Inbox, _transaction: Transaction, arrivals: Sequence[Arrival]) -> set[int]:
        return {one.id for one in arrivals}

    patch.setattr(Inbox, "_new_references", all_are_new)


def drop_segments_that_wait(patch: Patch) -> None:
    patch.setattr(Inbox, "_write_puzzles", lambda *_: None)


def join_segments_as_they_come(patch: Patch) -> None:
    patch.setattr(
        inbox, "joined_text", lambda segments, *_: ("".join(one.text for one in segments.values()), Coding.TEXT)
    )


def never_join_what_is_incomplete(patch: Patch) -> None:
    patch.setattr(Inbox, "join_many", lambda _self, _transaction, joinings, _is_repeat: [[] for _ in joinings])


def keep_messages_to_ourselves(patch: Patch) -> None:
    """What follows from a message is not written with it."""
    whole = Planner.plan

    def plan(self: Planner, one: Inbound) -> Consequences:
        return structs.replace(whole(self, one), drafts=())

    patch.setattr(Planner, "plan", plan)


def give_strangers_messages_away(patch: Patch) -> None:
    whole = Planner.plan

    def plan(self: Planner, one: Inbound) -> Consequences:
        return structs.replace(whole(self, one), account_id=whole(self, one).account_id or 1)

    patch.setattr(Planner, "plan", plan)


def forward_under_new_ids(patch: Patch) -> None:
    """A message that is tried again goes to the phone again."""

    async def submit(self: Intake, account: Account, submission: Submission, dialect: Dialect, _: int) -> Verdict:
        return await self._keep(account, submission, dialect)

    patch.setattr(Intake, "submit_once", submit)


def cut_mail_short(patch: Patch) -> None:
    whole = inbound_desk.letter_of

    def letter_of(one: Inbound, to: str) -> Letter:
        letter = whole(one, to)
        return letter._replace(text=letter.text[:-8])

    patch.setattr(inbound_desk, "letter_of", letter_of)


def take_silence_for_mailed(patch: Patch) -> None:
    patch.setattr(inbound_desk, "Failure", lambda **_: HttpResponse())


# The blacklist


def forget_blocks_at_the_start(patch: Patch) -> None:
    whole = Blacklist._take_in

    def take_in(self: Blacklist, row: BlockRow) -> None:
        if self._last is not BEFORE_ALL:
            whole(self, row)

    patch.setattr(Blacklist, "_take_in", take_in)


def ignore_stop_words(patch: Patch) -> None:
    patch.setattr(inbound_desk, "block_change", lambda *_: None)


def block_some_time_later(patch: Patch) -> None:
    async def change(self: BlockDesk, change: BlockChange) -> Done:
        return Done(await self._store.commit(self._store.blocks.change, change))

    patch.setattr(BlockDesk, "_change", change)


def send_to_who_said_stop_meanwhile(patch: Patch) -> None:
    patch.setattr(Dispatcher, "_hindrance", lambda *_: None)


# Numbers for rent


def rent_to_two(patch: Patch) -> None:
    whole = Numbers._locked

    async def candidates(self: NumberDesk, call: RentNumber) -> list[NumberRow]:
        row = await self._named(call.number)
        return [row] if row is not None else []

    def rent(self: Numbers, transaction: Transaction, rentals: Sequence[Rental], is_repeat: bool) -> Any:
        def unowned(self: Numbers, transaction: Transaction, names: Any) -> dict[str, NumberRow]:
            rows = whole(self, transaction, names)
            return {name: structs.replace(row, account_id=0) for name, row in rows.items()}

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Numbers, "_locked", unowned)
            return rent_many(self, transaction, rentals, is_repeat)

    rent_many = Numbers._rent_many
    patch.setattr(NumberDesk, "_candidates", candidates)
    patch.setattr(Numbers, "_rent_many", rent)


def pay_months_twice(patch: Patch) -> None:
    whole = Numbers._renew

    def renew(self: Numbers, transaction: Transaction, renewal: Renewal) -> Renewed:
        renewed = whole(self, transaction, renewal)
        again = [structs.replace(numbers.rent_of(row), phase=f"again-{row.months}") for row in renewed.paid]
        self._ledger.write(transaction, again, renewal.now_ms)
        return renewed

    patch.setattr(Numbers, "_renew", renew)


def renew_on_credit(patch: Patch) -> None:
    patch.setattr(numbers, "reaches", lambda *_: True)


def forget_to_count(patch: Patch) -> None:
    whole, calls = Tallies.write, iter(range(1, 10**9))

    def write(self: Tallies, transaction: Transaction) -> None:
        if next(calls) % EVERY:
            whole(self, transaction)

    patch.setattr(Tallies, "write", write)


PLANTS: dict[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        skip_commits,
        answer_before_commit,
        post_twice,
        cancel_what_is_sending,
        overwrite_final_states,
        send_before_it_is_written,
        never_match_parked_receipts,
        keep_callbacks_in_memory,
        take_any_answer_for_success,
        forget_to_void_cancelled,
        grant_everything,
        forget_repeats_of_acceptance,
        resend_what_is_on_hold,
        forget_doubtful_messages,
        give_up_retired_dispatchers,
        trust_carriers_not_to_break,
        replace_dispatchers_that_do_not_share,
        rent_for_nothing,
        keep_what_has_ended,
        wait_for_callbacks_of_others,
        void_what_was_never_charged,
        charge_late_twice,
        charge_late_whatever_is_left,
        send_what_cannot_be_charged,
        send_before_it_is_due,
        cancel_for_every_recipient,
        forget_to_recall,
        forget_what_came,
        drop_segments_that_wait,
        join_segments_as_they_come,
        never_join_what_is_incomplete,
        keep_messages_to_ourselves,
        give_strangers_messages_away,
        forward_under_new_ids,
        cut_mail_short,
        take_silence_for_mailed,
        forget_blocks_at_the_start,
        ignore_stop_words,
        block_some_time_later,
        send_to_who_said_stop_meanwhile,
        rent_to_two,
        pay_months_twice,
        renew_on_credit,
        forget_to_count,
    )
}
# These take tens of histories to be seen.
RARE: dict[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        let_anybody_record,
        forget_repeats_of_claims,
        forget_lost_claims,
        forget_who_rented,
    )
}
