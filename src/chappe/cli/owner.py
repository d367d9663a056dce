"""`chappe owner`: a way back in for whoever can read the gateway's database, which is whoever runs it."""

import asyncio
import secrets

import click

from chappe.app import panel_url
from chappe.clock import SystemClock
from chappe.core.people import Role
from chappe.gateway.people import FIRST_MS, KEY_BYTES
from chappe.gateway.secrets import key_digest
from chappe.settings import Settings
from chappe.store.database import Database, StoreError
from chappe.store.engine import Store
from chappe.store.migrate import migrate
from chappe.store.people import Invitation

AUTHOR = "chappe owner"


def invite_owner(settings: Settings) -> str:
    """A one-time link that makes whoever opens it an owner. Raises click.ClickException."""
    database = Database(settings.database_url)
    if database.file is not None and not database.file.exists():
        raise click.ClickException(f"no gateway in {settings.data}: start one with chappe serve, or name its --data")
    key = secrets.token_urlsafe(KEY_BYTES)
    try:
        asyncio.run(keep(database, key))
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    return f"{panel_url(settings, settings.http_address[1], is_secure=bool(settings.tls_certificate))}join/{key}"


async def keep(database: Database, key: str) -> None:
    migrate(database)
    store = Store(database, has_threads=False)
    now_ms = SystemClock().now_ms()
    row = Invitation(
        digest=key_digest(key),
        role=Role.OWNER,
        account_id=0,
        name="",
        author=AUTHOR,
        made_ms=now_ms,
        expires_ms=now_ms + FIRST_MS,
    )
    try:
        kept = store.commit(store.people.invite, row)
        store.commit_once()
        refusal = await kept
    finally:
        store.stop()
    if refusal is not None:
        raise click.ClickException("too many invitations are open: withdraw some in the panel, or wait until they end")
