"""Money as integers, moved between purses, never edited: what an entry takes from one purse it gives to another.

Each account has two purses, `available` and `reserved`; the house has `funding` (what customers paid in) and `revenue`
(what they spent), and `transit`, through which credit goes from one account to another and which is empty again after
every commit. An entry is one row with a debit and a credit side, so all purses together are always zero. A
message's entries are keyed by (message, phase), and post and void share a phase: the database refuses a second one.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

MICROS = 1_000_000
PLACES = 6
AMOUNT = re.compile(r"([+-]?)([0-9]{1,30})(?:\.([0-9]{1,30}))?")
AMOUNT_MAX_MICROS = 10**15  # a thousand million of any currency; keeps sums far from 63 bits


class Purse(StrEnum):
    AVAILABLE = "available"
    RESERVED = "reserved"
    REVENUE = "revenue"
    FUNDING = "funding"
    TRANSIT = "transit"


class Kind(StrEnum):
    CREDIT = "credit"
    DEBIT = "debit"  # a credit taken back, or paid out
    RESERVE = "reserve"
    POST = "post"
    VOID = "void"
    RENT = "rent"
    GIVE = "give"
    TAKE = "take"
    GIVE_BACK = "give_back"
    TAKE_BACK = "take_back"


class Transfer(Struct, frozen=True):
    """Which way money goes, and under which phase of its source it is unique."""

    phase: str
    debit: Purse
    credit: Purse


TRANSFERS: dict[Kind, Transfer] = {
    Kind.CREDIT: Transfer("credit", Purse.FUNDING, Purse.AVAILABLE),
    Kind.DEBIT: Transfer("credit", Purse.AVAILABLE, Purse.FUNDING),
    Kind.RESERVE: Transfer("reserve", Purse.AVAILABLE, Purse.RESERVED),
    Kind.POST: Transfer("settle", Purse.RESERVED, Purse.REVENUE),
    Kind.VOID: Transfer("settle", Purse.RESERVED, Purse.AVAILABLE),
    Kind.RENT: Transfer("rent", Purse.AVAILABLE, Purse.REVENUE),  # each month is a phase of its own, see `rent`
    Kind.GIVE: Transfer("give", Purse.AVAILABLE, Purse.TRANSIT),
    Kind.TAKE: Transfer("take", Purse.TRANSIT, Purse.AVAILABLE),
    Kind.GIVE_BACK: Transfer("give_back", Purse.AVAILABLE, Purse.TRANSIT),
    Kind.TAKE_BACK: Transfer("take_back", Purse.TRANSIT, Purse.AVAILABLE),
}

# What is paid in, and what moves between accounts.
CREDITS = (Kind.CREDIT, Kind.DEBIT, Kind.GIVE, Kind.TAKE, Kind.GIVE_BACK, Kind.TAKE_BACK)


class Entry(Struct, frozen=True, kw_only=True):
    """One movement of money. `source_id` is the message (or the payment) it belongs to."""

    source_id: int
    phase: str
    account_id: int
    debit: Purse
    credit: Purse
    amount_micros: int


def entry(kind: Kind, source_id: int, account_id: int, amount_micros: int) -> Entry:
    transfer = TRANSFERS[kind]
    return Entry(
        source_id=source_id,
        phase=transfer.phase,
        account_id=account_id,
        debit=transfer.debit,
        credit=transfer.credit,
        amount_micros=amount_micros,
    )


def rent(rental_id: int, month: int, account_id: int, amount_micros: int) -> Entry:
    """What a month (counted from 1) of a rented number costs: paid once, because its phase names the month."""
    plain = entry(Kind.RENT, rental_id, account_id, amount_micros)
    return msgspec.structs.replace(plain, phase=f"{plain.phase}-{month}")


class Move(Struct, frozen=True, kw_only=True):
    """Credit that goes from one account to another, under the id of the purchase that says so."""

    source_id: int
    giver_id: int
    taker_id: int
    amount_micros: int
    is_back: bool = False  # it goes back the way it came: a purchase is undone once, because these phases are its own


def move_entries(move: Move) -> list[Entry]:
    """Both halves of a move; neither is written without the other."""
    give, take = (Kind.GIVE_BACK, Kind.TAKE_BACK) if move.is_back else (Kind.GIVE, Kind.TAKE)
    return [
        entry(give, move.source_id, move.giver_id, move.amount_micros),
        entry(take, move.source_id, move.taker_id, move.amount_micros),
    ]


def grant_moves(spendable_micros: Mapping[int, int], moves: Iterable[Move]) -> list[bool]:
    """Which moves can be made, in the order asked; who takes may pass on at once. An account without a purse neither
    gives nor takes."""
    left = dict(spendable_micros)
    granted = []
    for move in moves:
        fits = move.taker_id in left and 0 < move.amount_micros <= left.get(move.giver_id, 0)
        if fits:
            left[move.giver_id] -= move.amount_micros
            left[move.taker_id] += move.amount_micros
        granted.append(fits)
    return granted


def grant(spendable_micros: Mapping[int, int], wishes: Iterable[tuple[int, int]]) -> list[bool]:
    """Who may spend, in the order asked: each wish is (account, amount); a wish that does not fit takes nothing."""
    left = dict(spendable_micros)
    granted = []
    for account_id, amount_micros in wishes:
        fits = 0 <= amount_micros <= left.get(account_id, 0) or amount_micros == 0
        if fits:
            left[account_id] = left.get(account_id, 0) - amount_micros
        granted.append(fits)
    return granted


def purses_of(entries: Iterable[Entry]) -> dict[tuple[int, Purse], int]:
    """What each account's purses hold according to its entries; the house's purses stand under account 0."""
    purses: dict[tuple[int, Purse], int] = {}
    for one in entries:
        for purse, amount in ((one.debit, -one.amount_micros), (one.credit, one.amount_micros)):
            owner = one.account_id if purse in (Purse.AVAILABLE, Purse.RESERVED) else 0
            purses[owner, purse] = purses.get((owner, purse), 0) + amount
    return purses


def parse_micros(text: str) -> int:
    """`"0.0100"` as 10,000 micros. ValueError where it is no plain decimal, has over six places, or is out of range."""
    match = AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount of money such as 0.0100")
    sign, whole, fraction = match.group(1), match.group(2), (match.group(3) or "").rstrip("0")
    if len(fraction) > PLACES:
        raise ValueError(f"{text!r} has more than six decimal places")
    amount_micros = int(whole + fraction.ljust(PLACES, "0"))
    if amount_micros > AMOUNT_MAX_MICROS:
        raise ValueError(f"{text!r} is out of range")
    return -amount_micros if sign == "-" else amount_micros


def format_micros(amount_micros: int, places_min: int = 2) -> str:
    """10,000 micros as `0.01`; at least `places_min` decimals, further ones only where they are not zero."""
    sign = "-" if amount_micros < 0 else ""
    whole, fraction = divmod(abs(amount_micros), MICROS)
    decimals = f"{fraction:06d}".rstrip("0").ljust(places_min, "0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
