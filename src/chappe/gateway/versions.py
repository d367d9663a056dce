"""Who changed what in the configuration and when; changing an entry of it, and going back to what was.

A change is proposed first (what it would do, for people) and then carried out, in one transaction with the version that
tells of it. Plans are made and passwords hashed in a thread. Going back to a version makes a new one: accounts and
carriers that are not in it are ended, not deleted, those that are return; balances, rentals, subaccounts, and passwords
that accounts have chosen themselves stay as they are.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from msgspec import Struct

from chappe.clock import Clock
from chappe.core.routing import RoutingTable
from chappe.gateway.accounts import drop_oldest
from chappe.gateway.configuration import (
    TRIES_MAX,
    Change,
    Planned,
    Writing,
    account_wish,
    as_it_is,
    carrier_wish,
    changes_of,
    overtaken,
    plan,
    sameness,
    stored_numbers,
    stored_routes,
)
from chappe.gateway.directory import account_settings, route_of
from chappe.gateway.edits import Edit, EditError, Overlapped, Wanted, wanted_of
from chappe.gateway.gateway_file import AccountWish, GatewayFile, Known, StoredSecret
from chappe.gateway.secrets import Sealer
from chappe.store.configuration import AccountRow, StoredConfiguration
from chappe.store.database import StoreError, Transaction
from chappe.store.engine import Store
from chappe.store.versions import Overtaken, Standing, VersionRow, Versions, standing_of

PAGE_MAX = 200
REMARK_MAX = 500  # characters
AUTHOR_MAX = 200
OWN_CHANGES_MAX, OWN_CHANGES_S = 20, 3_600.0
OWN_ACCOUNTS_MAX = 10_000  # that are remembered

Result = TypeVar("Result")
Changes = list[Change]


class Version(Struct, frozen=True, kw_only=True):
    """A change that was made."""

    revision: int
    made_ms: int
    author: str
    remark: str
    changes: tuple[Change, ...]


class NoVersion(EditError):
    """There is no version of this revision (any more)."""


Listed = list[Version]


def version_of(row: VersionRow) -> Version:
    return Version(
        revision=row.revision,
        made_ms=row.made_ms,
        author=row.author,
        remark=row.remark,
        changes=tuple(msgspec.json.decode(row.changes, type=list[Change])),
    )


def mark_of_changes(changes: Sequence[Change]) -> str:
    """Changes with what they say."""
    return hashlib.sha256(msgspec.json.encode(changes)).hexdigest()[:16]


# Plans


def planned_edit(stored: StoredConfiguration, edit: Edit, known: Known, sealer: Sealer) -> Planned:
    """Raises EditError."""
    wanted: Wanted = wanted_of(stored, edit, known)
    changes = plan(stored, wanted.file, sameness(sealer), wanted.touched)
    return Planned(stored=stored, wanted=wanted.file, changes=tuple(changes))


def planned_return(stored: StoredConfiguration, then: Standing, now: Standing, sealer: Sealer) -> Planned:
    """What it takes to come back to what stood then; `now` is what stands at the newest version."""
    wanted = wishes_of(stored, then, kept_passwords(stored, now))
    same_urls = msgspec.structs.replace(stored, disabled_urls=frozenset())  # nobody asked to call those again
    changes = plan(same_urls, wanted, sameness(sealer))
    return Planned(stored=stored, wanted=wanted, changes=tuple(changes))


def kept_passwords(stored: StoredConfiguration, now: Standing) -> set[str]:
    """Accounts that have a password of their own choice: known as such, or set since the newest version."""
    live = standing_of(stored).accounts
    news = {
        name
        for name, row in live.items()
        if name in now.accounts and row.password_hash != now.accounts[name].password_hash
    }
    return news | (now.own_passwords & live.keys())


def wishes_of(stored: StoredConfiguration, then: Standing, kept: set[str]) -> GatewayFile:
    """What stood then, as wishes; the names of carriers are those that their ids have always had."""
    was = msgspec.structs.replace(
        stored,
        routes=tuple(then.routes[name] for name in sorted(then.routes)),
        pool=tuple(then.numbers[name] for name in sorted(then.numbers)),
    )
    return GatewayFile(
        accounts=tuple(account_then(row, is_kept=row.name in kept) for row in then.accounts.values()),
        carriers=tuple(carrier_wish(row, StoredSecret(sealed=row.password_sealed)) for row in then.carriers.values()),
        routes=tuple(stored_routes(was).values()),
        numbers=tuple(stored_numbers(was).values()),
    )


def account_then(row: AccountRow, *, is_kept: bool) -> AccountWish:
    password = None if is_kept else StoredSecret(hashed=row.password_hash, sealed=row.token_sealed)
    settings = account_settings(row)
    smpp_password = StoredSecret(hashed=settings.smpp_password_hash)
    return account_wish(row, password, smpp_password, StoredSecret(sealed=settings.webhook_secret_sealed))


def version_at(versions: Versions, transaction: Transaction, revision: int) -> Standing:
    """Raises NoVersion."""
    if versions.find(transaction, revision) is None:
        raise NoVersion({"": f"there is no version {revision}"})
    return versions.standing(transaction, revision)


class Configured(Struct, frozen=True, kw_only=True):
    """The configuration as a form needs it: every entry, its passwords None."""

    revision: int
    file: GatewayFile
    stored: StoredConfiguration


class VersionDesk:
    """`follow` makes this node's directory current."""

    def __init__(
        self, *, store: Store, sealer: Sealer, known: Known, clock: Clock, follow: Callable[[], Awaitable[object]]
    ) -> None:
        self.known = known
        self._store = store
        self._versions = store.versions
        self._sealer = sealer
        self._clock = clock
        self._follow = follow
        self._thread = ThreadPoolExecutor(1, "chappe-configuration")
        self._own_changes: dict[str, list[float]] = {}  # when accounts changed themselves

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # What was

    async def list(self, before: int = 0, count: int = 50) -> Listed:
        """The newest first, of smaller revisions than `before` (0 = all)."""
        before, count = before or 1 << 62, min(max(1, count), PAGE_MAX)
        rows = await self._store.read(lambda transaction: self._versions.page(transaction, before, count))
        return [version_of(row) for row in rows]

    async def show(self, revision: int) -> Version | None:
        row = await self._store.read(lambda transaction: self._versions.find(transaction, revision))
        return version_of(row) if row is not None else None

    def routing_at(self, transaction: Transaction, made_ms: int) -> RoutingTable | None:
        """The routes in force at an instant; None where no version reaches back so far."""
        revision = self._versions.in_force(transaction, made_ms)
        if not revision:
            return None
        return RoutingTable(map(route_of, self._versions.standing(transaction, revision).routes.values()))

    # What is

    async def configured(self) -> Configured:
        """Put together where it is read, in a thread: ten thousand accounts take a while."""

        def look(transaction: Transaction) -> Configured:
            stored = self._load(transaction)
            return Configured(revision=stored.revision, file=as_it_is(stored), stored=stored)

        return await self._store.read(look)

    def _load(self, transaction: Transaction) -> StoredConfiguration:
        return self._store.configuration.load(transaction, with_pool=True)

    # What shall be

    async def propose(self, edit: Edit) -> Changes:
        """What an edit would do. Raises EditError."""
        return changes_of((await self._plan_edit(edit)).changes)

    async def carry_out(self, edit: Edit, author: str, remark: str = "", *, is_own: bool = False) -> Changes:
        """Do it; what was done. Raises EditError, and Overlapped where the entry is not as it was seen. `is_own`: an
        account changes itself, which it may do now and then only: each time is a version that drives out another."""
        if is_own:
            self._count_own(edit.name)
        return await self._carry_out(lambda: self._plan_edit(edit), author, remark)

    def _count_own(self, name: str) -> None:
        now_s = self._clock.monotonic_s()
        latest = [at_s for at_s in self._own_changes.pop(name, ()) if now_s - at_s < OWN_CHANGES_S]
        is_too_often = len(latest) >= OWN_CHANGES_MAX
        drop_oldest(self._own_changes, OWN_ACCOUNTS_MAX)
        self._own_changes[name] = latest if is_too_often else [*latest, now_s]
        if is_too_often:
            raise EditError({"": f"there were {OWN_CHANGES_MAX} changes within the last hour; try again later"})

    async def propose_roll_back(self, revision: int) -> Changes:
        """What going back to a version would do. Raises NoVersion."""
        return changes_of((await self._plan_return(revision)).changes)

    async def roll_back(self, revision: int, author: str, remark: str = "", *, seen: str = "") -> Changes:
        """Go back to a version; what that did. `seen` is the mark of the changes that were looked at; empty = whatever
        it takes. Raises NoVersion, and Overlapped where it would do something else by now."""

        async def planned() -> Planned:
            it = await self._plan_return(revision)
            if seen and mark_of_changes(changes_of(it.changes)) != seen:
                raise Overlapped({"": "somebody else changed the configuration meanwhile: look at it again"})
            return it

        return await self._carry_out(planned, author, remark or f"back to version {revision}")

    async def _plan_edit(self, edit: Edit) -> Planned:
        stored = await self._store.read(self._load)
        return await self._aside(lambda: planned_edit(stored, edit, self.known, self._sealer))

    async def _plan_return(self, revision: int) -> Planned:
        def look(transaction: Transaction) -> tuple[StoredConfiguration, Standing, Standing]:
            stored = self._load(transaction)
            then = version_at(self._versions, transaction, revision)
            return stored, then, self._versions.standing(transaction, stored.revision)

        stored, then, now = await self._store.read(look)
        return await self._aside(lambda: planned_return(stored, then, now, self._sealer))

    async def _carry_out(self, planned: Callable[[], Awaitable[Planned]], author: str, remark: str) -> Changes:
        for _ in range(TRIES_MAX):
            it = await planned()
            if it.is_idle:
                return []
            writing = Writing(
                sameness(self._sealer),
                self._sealer,
                author=author[:AUTHOR_MAX],
                remark=remark[:REMARK_MAX],
                now_ms=self._clock.now_ms(),
            )
            rewrite = await self._aside(lambda it=it, writing=writing: writing.rewrite(it))  # type: ignore[misc]
            try:
                await self._store.commit(self._versions.rewrite, rewrite)
            except Overtaken:
                continue
            with contextlib.suppress(StoreError):  # it is kept: the ticker follows in a moment
                await self._follow()
            return changes_of(it.changes)
        raise overtaken()

    async def _aside(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
