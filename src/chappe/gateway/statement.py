"""An account's statement: what was paid in, reserved, spent and given back, with the balance after each line.

It is told from the newest line back, because what an account has now is known and what it had once is not: each
page's cursor carries the balance before its oldest line. A page goes on from what was known when the first was made.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from chappe.clock import Clock
from chappe.core.ids import ID_MAX
from chappe.core.model import Account
from chappe.store.database import Transaction
from chappe.store.engine import Store
from chappe.store.statement import BEHIND_ALL, Key, Line, Totals

__all__ = ["BadCursor", "BalancedLine", "Line", "StatementDesk", "StatementPage", "Totals"]

TIME_MAX_MS = 1 << 52


class BadCursor(ValueError):
    """The cursor is none that a statement's page gave."""


class BalancedLine(Struct, frozen=True, kw_only=True):
    """A line, and what there was after it; of a move, the other account's name; of that and of payments, what was said
    about it."""

    line: Line
    balance: Totals
    other: str = ""
    words: tuple[str, ...] = ()


class StatementPage(Struct, frozen=True, kw_only=True):
    """Lines, newest first: what there was before them and their amounts make up what there was after them."""

    lines: tuple[BalancedLine, ...]
    opening: Totals  # before the oldest of them
    closing: Totals  # after the newest of them
    currency: str
    next_cursor: str | None = None


class Place(Struct, frozen=True, array_like=True):
    """Where a page begins, what there was then, and what is known of: a cursor, read."""

    at_ms: int
    source_id: int
    available_micros: int
    reserved_micros: int
    as_of_ms: int


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    def account(self, account_id: int) -> Account | None: ...


class StatementDesk:
    def __init__(self, store: Store, clock: Clock, directory: Callable[[], Known]) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory

    async def page(
        self, account: Account, from_ms: int = 0, to_ms: int = TIME_MAX_MS, cursor: str = "", count: int = 100
    ) -> StatementPage:
        """The lines from an instant on and before another; a page may have none and still not be the last. Raises
        BadCursor."""
        place = read_cursor(cursor) if cursor else await self._newest(account.id, to_ms)
        before = Key(place.at_ms, place.source_id)
        statements = self._store.statements
        found = await self._store.read(
            lambda transaction: statements.lines(transaction, account.id, from_ms, before, place.as_of_ms, count)
        )
        closing = balance = Totals(available_micros=place.available_micros, reserved_micros=place.reserved_micros)
        lines = []
        for line in found.lines:
            words = tuple(one for one in details_of(line).values() if one)
            lines.append(BalancedLine(line=line, balance=balance, other=self._name(line.other_id), words=words))
            balance = balance.less(Totals(available_micros=line.available_micros, reserved_micros=line.reserved_micros))
        return StatementPage(
            lines=tuple(lines),
            opening=balance,
            closing=closing,
            currency=account.currency,
            next_cursor=written_cursor(found.floor, balance, place.as_of_ms) if found.floor is not None else None,
        )

    async def _newest(self, account_id: int, to_ms: int) -> Place:
        """Where a statement up to an instant begins: what there is now, less what came since."""
        as_of_ms = self._clock.now_ms()
        statements = self._store.statements

        def look(transaction: Transaction) -> tuple[Totals, int | None]:
            balance = statements.balance(transaction, account_id)
            if to_ms >= TIME_MAX_MS:
                return balance, None
            balance = balance.less(statements.others_since(transaction, account_id, to_ms, TIME_MAX_MS))
            since, before_id = statements.since(transaction, account_id, to_ms, ID_MAX, TIME_MAX_MS)
            return balance.less(since), before_id

        balance, before_id = await self._store.read(look)
        while before_id is not None:  # in several reads, so that others are answered in between
            behind = before_id
            since, before_id = await self._store.read(
                lambda transaction, behind=behind: statements.since(  # type: ignore[misc]
                    transaction, account_id, to_ms, behind, as_of_ms
                )
            )
            balance = balance.less(since)
        key = BEHIND_ALL if to_ms >= TIME_MAX_MS else Key(to_ms, 0)
        return Place(key.at_ms, key.source_id, balance.available_micros, balance.reserved_micros, as_of_ms)

    def _name(self, account_id: int) -> str:
        account = self._directory().account(account_id) if account_id else None
        return account.name if account is not None else ""


def details_of(line: Line) -> dict[str, str]:
    return msgspec.json.decode(line.details, type=dict[str, str])


def written_cursor(floor: Key, balance: Totals, as_of_ms: int) -> str:
    values = (floor.at_ms, floor.source_id, balance.available_micros, balance.reserved_micros, as_of_ms)
    return ".".join(map(str, values))


def read_cursor(cursor: str) -> Place:
    try:
        values = [int(one) for one in cursor.split(".")]
        if len(values) != len(Place.__struct_fields__) or any(abs(one) > ID_MAX for one in values):
            raise ValueError
        return msgspec.convert(values, Place)
    except ValueError as error:
        raise BadCursor("this is no cursor of a statement") from error
