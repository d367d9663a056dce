"""Inbound messages, and what accounts keep besides messages: sessions, phone books, numbers, credit moved.

Written out instead of read from `schema.py`, because that file moves on and this one must not.
"""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    inbound()
    belongings()


def inbound() -> None:
    op.create_table(
        "inbound",
        number("id", primary_key=True),
        number("account_id"),
        words("recipient"),
        words("originator"),
        words("text"),
        number("carrier_id"),
        number("received_ms"),
    )
    op.create_index("inbound_account", "inbound", ["account_id", "id"])
    op.create_table(
        "inbound_reference",
        number("carrier_id", primary_key=True),
        Column("reference", Text, primary_key=True),
        number("inbound_id"),
        number("received_ms"),
        sqlite_with_rowid=False,
    )
    op.create_index("inbound_reference_age", "inbound_reference", ["received_ms"])
    op.create_table(
        "inbound_segment",
        number("carrier_id", primary_key=True),
        Column("originator", Text, primary_key=True),
        Column("recipient", Text, primary_key=True),
        number("concatenation", primary_key=True),
        number("total", primary_key=True),
        number("position", primary_key=True),
        words("text"),
        number("received_ms"),
        number("inbound_id", default=0),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbound_cursor",
        number("account_id", primary_key=True),
        Column("numbers", Text, primary_key=True),
        number("last_id"),
        sqlite_with_rowid=False,
    )


def belongings() -> None:
    op.create_table(
        "session",
        Column("digest", Text, primary_key=True),
        number("account_id"),
        number("used_ms"),
        sqlite_with_rowid=False,
    )
    op.create_index("session_account", "session", ["account_id", "used_ms"])
    op.create_table(
        "block",
        number("account_id", primary_key=True),
        Column("number", Text, primary_key=True),
        Column("originator", Text, primary_key=True),
        words("origin"),
        number("made_ms"),
        number("is_active", default=1),
        number("change_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("block_change", "block", ["change_id"])
    op.create_table(
        "phonebook",
        number("account_id", primary_key=True),
        number("contacts_count", default=0),
        number("groups_count", default=0),
    )
    op.create_table(
        "contact",
        number("id", primary_key=True),
        number("account_id"),
        words("number", default=""),
        words("email", default=""),
        words("name", default=""),
        words("surname", default=""),
        words("details"),
    )
    op.create_index("contact_account", "contact", ["account_id", "id"])
    op.create_index("contact_number", "contact", ["account_id", "number"])
    op.create_index("contact_email", "contact", ["account_id", "email"])
    op.create_table(
        "contact_group",
        number("id", primary_key=True),
        number("account_id"),
        words("name"),
        words("description", default=""),
    )
    op.create_index("contact_group_account", "contact_group", ["account_id", "id"])
    op.create_table(
        "membership",
        number("group_id", primary_key=True),
        number("contact_id", primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("membership_contact", "membership", ["contact_id"])
    op.create_table(
        "alias",
        number("id", primary_key=True),
        number("account_id"),
        words("sender"),
        words("details"),
        number("state"),
        number("made_ms"),
    )
    op.create_index("alias_account", "alias", ["account_id", "id"])
    op.create_index("alias_sender", "alias", ["account_id", "sender"], unique=True)
    op.create_table(
        "pin",
        number("account_id", primary_key=True),
        Column("recipient", Text, primary_key=True),
        words("digest"),
        number("expires_ms"),
        number("tries_left"),
        sqlite_with_rowid=False,
    )
    op.create_index("pin_expiry", "pin", ["expires_ms"])
    op.create_table(
        "rented_number",
        Column("number", Text, primary_key=True),
        words("country", default=""),
        number("price_micros", default=0),
        number("carrier_id"),
        number("account_id"),
        number("rental_id"),
        number("rented_ms", default=0),
        number("months", default=0),
        number("expires_ms", default=0),
        number("renews", default=1),
        words("origin"),
        words("url", default=""),
        words("email", default=""),
        words("phone", default=""),
        number("is_active", default=1),
        sqlite_with_rowid=False,
    )
    owned = text("account_id > 0")
    op.create_index(
        "rented_number_owner",
        "rented_number",
        ["account_id", "expires_ms"],
        sqlite_where=owned,
        postgresql_where=owned,
    )
    op.create_table(
        "purchase",
        number("id", primary_key=True),
        number("account_id"),
        number("subaccount_id"),
        number("amount_micros"),
        number("made_ms"),
        number("is_undone", default=0),
        words("details"),
    )
    op.create_index("purchase_subaccount", "purchase", ["subaccount_id", "id"])


def number(name: str, *, default: int | None = None, primary_key: bool = False) -> Column[Any]:
    kind = BigInteger().with_variant(Integer(), "sqlite") if primary_key else BigInteger()
    fallback = None if default is None else str(default)
    return Column(name, kind, primary_key=primary_key, nullable=False, autoincrement=False, server_default=fallback)


def words(name: str, *, default: str | None = None) -> Column[Any]:
    return Column(name, Text, nullable=False, server_default=default)
