"""Numbers for rent: what an account has, what it could have, and the round that pays for their months.

A number is the file's or a carrier's. One that a carrier lends is rented there first, and only its yes makes it the
customer's; money moves in the commit that gives the number away, so nobody pays for a doubtful answer. Should we break
down between the yes and the commit, nobody here has what we pay for there: `number_stock.py` finds that.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Protocol

import structlog

from chappe.clock import Clock
from chappe.core.centre import Done, Refusal, Refused
from chappe.core.ids import IdMaker
from chappe.core.model import Account, Carrier
from chappe.core.numbers import ListNumbers, ListOffers, Number, Numbers, RentNumber, ReturnNumber, SetNumber
from chappe.gateway.file_values import read_email, read_url
from chappe.gateway.front import Answers
from chappe.gateway.number_stock import Wholesaler
from chappe.sms.numbers import mask, parse_msisdn
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.numbers import Forwarding, NumberRow, Origin, Release, Renewal, Rental

log = structlog.get_logger()

NUMBERS_MAX = 1_000  # that an account may rent
OFFERS_MAX = 1_000  # told at once
TRIES_MAX = 10  # numbers of a country that somebody else may take from under our hands
RENEWALS_MAX = 200  # of one commit ...
RENEWAL_COMMITS_MAX = 20  # ... and commits of one round
A_NUMBER = re.compile(r"\+?([0-9]{3,15})")
A_COUNTRY = re.compile(r"[A-Za-z]{2}")
NOT_THERE = Refused(Refusal.NOT_FOUND)
# What keeps a carrier from lending is not the customer's business, least of all our own lack of money there.
NOT_LENT = Refused(Refusal.UNREACHABLE)


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    def carrier(self, carrier_id: int) -> Carrier | None: ...


class NumberDesk:
    """`wholesaler` tells how a carrier lends, None where it does not; `follow` looks at the configuration at once."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Known],
        wholesaler: Callable[[Carrier], Wholesaler | None],
        follow: Callable[[], Awaitable[object]],
        clock: Clock,
        ids: IdMaker,
    ) -> None:
        self._store = store
        self._pool = store.numbers.pool
        self._directory = directory
        self._wholesaler = wholesaler
        self._follow = follow
        self._clock = clock
        self._ids = ids
        self._buying: set[str] = set()  # numbers that a carrier is being asked for

    @property
    def answers(self) -> Answers:
        return {
            ListNumbers: lambda call, _dialect, _network: self.numbers(call),
            ListOffers: lambda call, _dialect, _network: self.offers(call),
            RentNumber: lambda call, _dialect, _network: self.rent(call),
            ReturnNumber: lambda call, _dialect, _network: self.give_back(call),
            SetNumber: lambda call, _dialect, _network: self.forward(call),
        }

    async def numbers(self, call: ListNumbers) -> Numbers:
        rows = await self._store.read(partial(self._pool.of_account, account_id=call.account.id))
        return Numbers(items=tuple(row.as_number for row in rows))

    async def offers(self, call: ListOffers) -> Numbers:
        if call.country and not A_COUNTRY.fullmatch(call.country):
            return Numbers(items=())
        count_max = min(max(0, call.count_max), OFFERS_MAX)
        rows = await self._offers(call.country, count_max)
        return Numbers(items=tuple(row.as_number for row in rows))

    async def _offers(self, country: str, count_max: int) -> tuple[NumberRow, ...]:
        return await self._store.read(partial(self._pool.offers, country=country.upper(), count_max=count_max))

    async def _named(self, written: str) -> NumberRow | None:
        match = A_NUMBER.fullmatch(written)
        return await self._store.read(partial(self._pool.named, number=match[1])) if match else None

    async def _of(self, account: Account, written: str) -> NumberRow | None:
        row = await self._named(written)
        return row if row is not None and row.account_id == account.id else None

    # Renting

    async def rent(self, call: RentNumber) -> Number | Refused:
        """A virtual account cannot: a number is nothing that could be pretended."""
        if not (call.number or call.country):
            return Refused(Refusal.BAD_REQUEST, "name a number or a country")
        if call.account.is_virtual:
            return Refused(Refusal.UNSUPPORTED, "a virtual account has no numbers")
        rented = await self._store.read(partial(self._pool.of_account, account_id=call.account.id))
        if len(rented) >= NUMBERS_MAX:
            return Refused(Refusal.FORBIDDEN, f"at most {NUMBERS_MAX} numbers")
        for row in await self._candidates(call):
            outcome = await self._take(call.account, row)
            if outcome != NOT_THERE:
                return outcome
        return NOT_THERE

    async def _candidates(self, call: RentNumber) -> Iterable[NumberRow]:
        if call.number:
            row = await self._named(call.number)
            return () if row is None or row.account_id or not row.is_active else (row,)
        return await self._offers(call.country, TRIES_MAX) if A_COUNTRY.fullmatch(call.country) else ()

    async def _take(self, account: Account, row: NumberRow) -> Number | Refused:
        funds = await self._store.read(partial(self._store.figures.funds, account_id=account.id))
        if row.price_micros > max(0, funds.spendable_micros if funds else 0):
            return Refused(Refusal.NO_FUNDS)
        if row.origin == Origin.FILE:
            return await self._keep(account, row)
        if row.number in self._buying:
            return NOT_THERE
        self._buying.add(row.number)
        try:
            return await self._buy(account, row)
        finally:
            self._buying.discard(row.number)

    async def _buy(self, account: Account, row: NumberRow) -> Number | Refused:
        """Ask the carrier first. Nobody is charged for anything but its plain yes."""
        carrier = self._directory().carrier(row.carrier_id)
        wholesaler = self._wholesaler(carrier) if carrier else None
        if carrier is None or wholesaler is None:
            return NOT_THERE
        said = await wholesaler.rent(row.number)
        if not isinstance(said, Done):
            tell = log.warning if isinstance(said, Refused) else log.error
            tell("number_not_lent", carrier=carrier.name, number=mask(row.number), detail=said.detail)
            return NOT_THERE if isinstance(said, Refused) and said.reason is Refusal.NOT_FOUND else NOT_LENT
        try:
            kept = await self._keep(account, row)
        except StoreError:
            log.critical("number_lent_but_not_kept", carrier=carrier.name, number=mask(row.number))
            raise
        if isinstance(kept, Refused):  # the money is gone, or the number went out of the pool meanwhile
            now = await self._named(row.number)
            if now is None or not now.account_id:
                await self._return_to_carrier(row)
            return kept
        public_url = carrier.options.get("public_url", "")
        if public_url:
            target = f"{public_url.rstrip('/')}/carrier/{carrier.callback_key}"
            told = await wholesaler.forward(row.number, target)
            if not isinstance(told, Done):
                log.error("number_not_forwarded", carrier=carrier.name, number=mask(row.number), detail=told.detail)
        return kept

    async def _look(self) -> None:
        """What was committed stands, whether or not this node can already see it: the ticker looks again."""
        with contextlib.suppress(StoreError):
            await self._follow()

    async def _keep(self, account: Account, row: NumberRow) -> Number | Refused:
        now_ms = self._clock.now_ms()
        rental = Rental(account.id, row.number, self._ids.make(now_ms), now_ms)
        answer = await self._store.commit(self._store.numbers.rent, rental)
        if isinstance(answer, Refusal):
            return Refused(answer)
        await self._look()
        return answer

    # What is rented

    async def give_back(self, call: ReturnNumber) -> Number | Refused:
        row = await self._of(call.account, call.number)
        if row is None:
            return NOT_THERE
        if not await self._store.commit(self._store.numbers.release, Release(row.number, row.rental_id)):
            return NOT_THERE
        await self._look()
        await self._return_to_carrier(row)
        return row.free().as_number

    async def _return_to_carrier(self, row: NumberRow) -> None:
        """Should it not take the number back, the comparison of lists goes on saying so."""
        if row.origin != Origin.CARRIER:
            return
        carrier = self._directory().carrier(row.carrier_id)
        wholesaler = self._wholesaler(carrier) if carrier else None
        said = await wholesaler.give_back(row.number) if wholesaler else NOT_THERE
        if not isinstance(said, Done):
            name = carrier.name if carrier else ""
            log.error("number_not_given_back", carrier=name, number=mask(row.number), detail=said.detail)

    async def forward(self, call: SetNumber) -> Number | Refused:
        row = await self._of(call.account, call.number)
        if row is None:
            return NOT_THERE
        phone = parse_msisdn(call.phone) if call.phone else call.phone
        if not is_url(call.url or "") or not is_email(call.email or "") or (call.phone and phone is None):
            return Refused(Refusal.BAD_REQUEST, "not a URL, an e-mail address or a number")
        wish = Forwarding(account_id=call.account.id, number=row.number, url=call.url, email=call.email, phone=phone)
        answer = await self._store.commit(self._store.numbers.forward, wish)
        if answer is None:
            return NOT_THERE
        await self._look()
        return answer

    # The round

    async def renew_once(self) -> None:
        """Pay for the months that begin within the hour, and end what is over."""
        now_ms = self._clock.now_ms()
        if not await self._store.read(partial(self._pool.has_due, now_ms=now_ms)):
            return
        for _ in range(RENEWAL_COMMITS_MAX):
            renewed = await self._store.commit(self._store.numbers.renew, Renewal(now_ms, RENEWALS_MAX))
            if renewed.ended:
                log.info("numbers_ended", count=len(renewed.ended))
                await self._look()
                await asyncio.gather(*map(self._return_to_carrier, renewed.ended))
            if len(renewed.paid) + len(renewed.ended) < RENEWALS_MAX:
                return


def is_url(url: str) -> bool:
    """Whether messages can be sent there; an empty one is none, which is fine."""
    return is_readable(read_url, url)


def is_email(email: str) -> bool:
    """Likewise."""
    return is_readable(read_email, email)


def is_readable(read: Callable[[object], str], written: str) -> bool:
    try:
        return not written or read(written) == written
    except ValueError:
        return False
