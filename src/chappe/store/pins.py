"""One-time codes under way, as keyed digests: one for each account and recipient.

A right guess and the last wrong one both leave the row without tries: a code is used up, not deleted, until it has run
out. So a repeated commit can tell whether it was this very guess that used it. A wrong guess whose commit is repeated
may count twice: rather one try less than one too many.
"""

from collections.abc import Sequence
from hmac import compare_digest

from msgspec import Struct
from sqlalchemy import BigInteger, bindparam, delete, select, tuple_, update

from chappe.core.phonebook import PinVerdict
from chappe.store.database import Database, Prepared, Transaction
from chappe.store.group_commit import Verb
from chappe.store.schema import pin

USED_BY = "used by "  # stands before the id of the guess in place of the digest


class PinDraft(Struct, frozen=True, kw_only=True):
    """A code that was sent; it replaces an older one to the same recipient."""

    account_id: int
    recipient: str
    digest: str
    expires_ms: int
    tries: int


class PinGuess(Struct, frozen=True, kw_only=True):
    id: int
    account_id: int
    recipient: str
    digest: str
    now_ms: int


class PinSweep(Struct, frozen=True):
    """A wish to forget up to `count_max` codes that have run out at `now_ms`."""

    now_ms: int
    count_max: int


class Pins:
    def __init__(self, database: Database) -> None:
        self.put = Verb[PinDraft, None](4, self._put_many)
        self.guess = Verb[PinGuess, PinVerdict | None](4, self._guess_many)
        self.sweep = Verb[PinSweep, int](4, self._sweep_many)
        is_it = (pin.c.account_id == bindparam("account")) & (pin.c.recipient == bindparam("whom"))
        new = database.insert(pin).values(
            account_id=bindparam("account"),
            recipient=bindparam("whom"),
            digest=bindparam("kept"),
            expires_ms=bindparam("until"),
            tries_left=bindparam("tries"),
        )
        self._put = Prepared(
            database,
            new.on_conflict_do_update(
                index_elements=["account_id", "recipient"],
                set_={name: new.excluded[name] for name in ("digest", "expires_ms", "tries_left")},
            ),
        )
        self._find = Prepared(
            database,
            select(pin.c.digest, pin.c.tries_left).where(is_it, pin.c.expires_ms > bindparam("now")).with_for_update(),
        )
        self._count = Prepared(
            database, update(pin).where(is_it).values(digest=bindparam("kept"), tries_left=bindparam("tries"))
        )
        key = (pin.c.account_id, pin.c.recipient)
        expired = (
            select(*key)
            .where(pin.c.expires_ms <= bindparam("now"))
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self._sweep = Prepared(database, delete(pin).where(tuple_(*key).in_(expired)))

    def _put_many(self, transaction: Transaction, drafts: Sequence[PinDraft], is_repeat: bool) -> list[None]:
        for one in sorted(drafts, key=lambda draft: (draft.account_id, draft.recipient)):  # stable: the last one stays
            transaction.run(
                self._put,
                account=one.account_id,
                whom=one.recipient,
                kept=one.digest,
                until=one.expires_ms,
                tries=one.tries,
            )
        return [None] * len(drafts)

    def _guess_many(
        self, transaction: Transaction, guesses: Sequence[PinGuess], is_repeat: bool
    ) -> list[PinVerdict | None]:
        """What each guess, in its order, came to; None where no code is under way."""
        return [self._guess_one(transaction, one, is_repeat) for one in guesses]

    def _guess_one(self, transaction: Transaction, guess: PinGuess, is_repeat: bool) -> PinVerdict | None:
        whose = {"account": guess.account_id, "whom": guess.recipient}
        rows = transaction.rows(self._find, now=guess.now_ms, **whose)
        if not rows:
            return None
        digest, tries_left = rows[0]
        used = f"{USED_BY}{guess.id}"
        if is_repeat and digest == used:
            return PinVerdict(is_right=True, tries_left=0)
        if not tries_left:
            return None
        if compare_digest(digest, guess.digest):
            transaction.run(self._count, kept=used, tries=0, **whose)
            return PinVerdict(is_right=True, tries_left=0)
        transaction.run(self._count, kept=digest, tries=tries_left - 1, **whose)
        return PinVerdict(is_right=False, tries_left=tries_left - 1)

    def _sweep_many(self, transaction: Transaction, sweeps: Sequence[PinSweep], is_repeat: bool) -> list[int]:
        return [transaction.run(self._sweep, now=one.now_ms, count_max=one.count_max) for one in sweeps]
