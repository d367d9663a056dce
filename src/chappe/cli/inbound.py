"""`chappe inbound`: a phone's message, brought by hand.

It is kept by the same verb and followed by the same plan as what a carrier brings. This process is no node of the
gateway, so the forwards are left to the server that looks next.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click

from chappe.app import DIALECTS
from chappe.clock import SystemClock
from chappe.core.ids import IdMaker
from chappe.core.model import Carrier, Concatenation, Inbound
from chappe.gateway.directory import Directory, Forwarding
from chappe.gateway.inbound import Planner, block_change, checked, inbound_dialect, number_of
from chappe.gateway.secrets import Sealer, SealError
from chappe.gateway.simulator import SIMULATED
from chappe.process import RandomBits
from chappe.settings import Settings
from chappe.sms.alphabets import choose
from chappe.sms.segments import TextTooLong, cut
from chappe.store.database import Database, StoreError
from chappe.store.engine import Store
from chappe.store.inbox import TEXT_MAX, Arrival, Kept
from chappe.store.migrate import migrate

NUMBERS_SHOWN_MAX = 20
REFERENCE_BITS = 8  # of a concatenation, as most phones write it
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


def bring(
    settings: Settings,
    originator: str,
    recipient: str,
    text: str,
    *,
    carrier_name: str | None = None,
    in_parts: bool = False,
) -> list[str]:
    """Keep a message; what to tell about it. Raises click.ClickException; then nothing was kept."""
    database = Database(settings.database_url)
    if database.file is not None and not database.file.exists():
        raise click.ClickException(f"no gateway in {settings.data}: make one with chappe apply, or name its --data")
    if not text or len(text) > TEXT_MAX:
        raise click.ClickException(f"a text has 1 to {TEXT_MAX} characters")
    try:
        return asyncio.run(keep(database, settings, originator, recipient, text, carrier_name, in_parts))
    except (StoreError, SealError) as error:
        raise click.ClickException(f"{error}\nNothing was kept.") from None


async def keep(
    database: Database,
    settings: Settings,
    originator: str,
    recipient: str,
    text: str,
    carrier_name: str | None,
    in_parts: bool,
) -> list[str]:
    migrate(database)
    store = Store(database, has_threads=False)
    try:
        sealer = Sealer.open(settings.secret_key, Path(settings.data) if database.is_sqlite else None)
        directory = Directory(store.ask(store.configuration.load), sealer)
        forwarding = forwarding_of(directory, recipient)
        carrier = carrier_of(directory, carrier_name)
        clock, random_bits = SystemClock(), RandomBits()
        ids = IdMaker(random_bits)
        store.inbox.plan = Planner(directory=lambda: directory, dialects=BY_NAME, clock=clock, ids=ids).plan
        now_ms = clock.now_ms()
        whole = checked(Inbound(reference="", originator=originator, recipient=recipient, text=text), now_ms)
        pieces = parts_of(whole, random_bits(REFERENCE_BITS)) if in_parts else [whole]
        futures = [
            store.commit(
                store.inbox.keep, Arrival(id=ids.make(now_ms), carrier_id=carrier.id, inbound=piece, now_ms=now_ms)
            )
            for piece in pieces
        ]
        while store.waiting_count:
            store.commit_once()
        kept = [future.result() for future in futures]
    finally:
        store.stop()
    return list(told(kept, whole, carrier, forwarding, now_ms))


def forwarding_of(directory: Directory, recipient: str) -> Forwarding:
    found = directory.forwarding(number_of(recipient))
    if found is not None:
        return found
    owned = [f"{one.name} {number}" for one in directory.accounts_by_name.values() for number in one.numbers]
    more = ", ..." if len(owned) > NUMBERS_SHOWN_MAX else ""
    numbers = f"accounts have {', '.join(owned[:NUMBERS_SHOWN_MAX])}{more}" if owned else "no account has any number"
    raise click.ClickException(f"no account has the number {recipient}: {numbers}")


def carrier_of(directory: Directory, name: str | None) -> Carrier:
    active = [one for one in directory.carriers if one.is_active]
    meant = [one for one in active if (one.name == name if name else one.kind == SIMULATED)]
    if meant:
        return meant[0]
    wanted = f"no carrier is called {name!r}" if name else "there is no simulated carrier: name one with --carrier"
    raise click.ClickException(f"{wanted}; there are {', '.join(one.name for one in active) or 'none'}")


def parts_of(whole: Inbound, reference: int) -> list[Inbound]:
    """The segments that a phone would cut a text into, the last one first; a short text stays whole."""
    try:
        segments = cut(whole.text, choose(whole.text), reference=reference)
    except TextTooLong as error:
        raise click.ClickException(str(error)) from None
    if len(segments) == 1:
        return [whole]
    return [
        Inbound(
            reference="",
            originator=whole.originator,
            recipient=whole.recipient,
            text=segment.text,
            received_ms=whole.received_ms,
            concatenation=Concatenation(reference=reference, total=len(segments), position=position),
        )
        for position, segment in reversed(list(enumerate(segments, 1)))
    ]


def told(kept: list[Kept], whole: Inbound, carrier: Carrier, forwarding: Forwarding, now_ms: int) -> Iterator[str]:
    """What became of it, and where it goes."""
    account = forwarding.account
    segments = f" from {len(kept)} segments" if len(kept) > 1 else ""
    yield f"kept  {whole.recipient} of {account.name}  over {carrier.name}  id {kept[-1].id}{segments}"
    if forwarding.url:
        yield f"goes to {forwarding.url} in the words of {inbound_dialect(account, BY_NAME)}"
    if forwarding.email:
        yield f"goes to {forwarding.email}"
    if forwarding.phone:
        yield f"goes to {forwarding.phone}, charged to {account.name}"
    if not (forwarding.url or forwarding.email or forwarding.phone):
        yield "goes nowhere: the account can ask for it"
    change = block_change(account, whole, now_ms)
    if change is not None:
        yield f"{whole.originator} is {'blocked' if change.is_blocked else 'no longer blocked'} for {account.name}"
