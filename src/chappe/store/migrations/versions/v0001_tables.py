"""The first tables: configuration, messages, callbacks, money, nodes.

Written out instead of read from `schema.py`, because that file moves on and this one must not.
"""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    configuration()
    messages()
    callbacks()
    money()
    nodes()


def configuration() -> None:
    op.create_table(
        "account",
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False, unique=True),
        words("password_hash"),
        words("token_sealed", default=""),
        words("settings"),
        number("is_active", default=1),
    )
    op.create_table(
        "carrier",
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False, unique=True),
        words("kind"),
        words("password_sealed", default=""),
        words("settings"),
        number("is_active", default=1),
    )
    op.create_table(
        "route",
        Column("prefix", Text, primary_key=True),
        Column("service", Text, primary_key=True),
        words("carriers"),
        number("price_micros"),
    )
    op.create_table(
        "revision",
        Column("id", Integer, primary_key=True, autoincrement=False),
        number("revision", default=0),
    )


def messages() -> None:
    op.create_table(
        "message",
        number("id", primary_key=True),
        number("submission_id"),
        number("account_id"),
        words("dialect"),
        words("reference", default=""),
        words("originator", default=""),
        words("recipient"),
        words("text"),
        number("segments"),
        number("price_micros"),
        words("service"),
        number("priority"),
        number("carrier_id"),
        words("backups", default=""),
        words("state"),
        number("attempt", default=0),
        number("failures", default=0),
        number("due_ms"),
        number("expires_ms"),
        number("wants_callbacks", default=1),
        number("node_id", default=0),
        number("final_ms", default=0),
        words("detail", default=""),
        words("coding", default="text"),
        number("is_charged_late", default=0),
        words("receipt_url", default=""),
    )
    op.create_index("message_account", "message", ["account_id", "id"])
    op.create_table(
        "named_submission",
        number("account_id", primary_key=True),
        Column("name", Text, primary_key=True),
        number("submission_id", primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scheduled_submission",
        number("submission_id", primary_key=True),
        number("scheduled_ms"),
    )
    waiting = "state IN ('queued', 'scheduled')"
    partial_index("message_waiting", "message", ["carrier_id", "priority", "due_ms", "expires_ms"], where=waiting)
    partial_index("message_sending", "message", ["node_id", "carrier_id"], where="state = 'sending'")
    partial_index("message_scheduled", "message", ["account_id", "id"], where="state = 'scheduled'")
    partial_index("message_sent", "message", ["expires_ms"], where="state = 'sent'")
    op.create_table(
        "carrier_reference",
        number("carrier_id", primary_key=True),
        Column("reference", Text, primary_key=True),
        number("message_id"),
        number("segment", default=0),
        words("state", default=""),
        sqlite_with_rowid=False,
    )
    partial_index("carrier_reference_parts", "carrier_reference", ["message_id"], where="segment > 0")
    op.create_table(
        "parked_receipt",
        number("carrier_id", primary_key=True),
        Column("reference", Text, primary_key=True),
        Column("state", Text, primary_key=True),
        words("detail", default=""),
        number("received_ms"),
        sqlite_with_rowid=False,
    )


def callbacks() -> None:
    op.create_table(
        "callback",
        number("id", primary_key=True),
        number("account_id"),
        number("message_id"),
        words("kind"),
        words("dialect"),
        words("payload"),
        words("state"),
        number("attempt", default=0),
        number("due_ms"),
        number("node_id", default=0),
        number("status", default=0),
        words("detail", default=""),
        words("url", default=""),
    )
    partial_index("callback_pending", "callback", ["due_ms"], where="state = 'pending'")
    op.create_table(
        "disabled_url",
        number("account_id", primary_key=True),
        Column("url", Text, primary_key=True),
        number("disabled_ms"),
    )


def money() -> None:
    op.create_table(
        "balance",
        number("account_id", primary_key=True),
        number("available_micros", default=0),
        number("reserved_micros", default=0),
        number("limit_micros", default=0),
    )
    op.create_table(
        "entry",
        number("source_id", primary_key=True),
        Column("phase", Text, primary_key=True),
        number("account_id"),
        words("debit"),
        words("credit"),
        number("amount_micros"),
        number("made_ms"),
        sqlite_with_rowid=False,
    )
    credits = "phase IN ('credit', 'give', 'take', 'give_back', 'take_back')"
    partial_index("entry_credits", "entry", ["account_id", "made_ms"], where=credits)


def nodes() -> None:
    op.create_table("node", number("id", primary_key=True), words("name", default=""), number("lease_until_ms"))


def number(name: str, *, default: int | None = None, primary_key: bool = False) -> Column[Any]:
    kind = BigInteger().with_variant(Integer(), "sqlite") if primary_key else BigInteger()
    fallback = None if default is None else str(default)
    return Column(name, kind, primary_key=primary_key, nullable=False, autoincrement=False, server_default=fallback)


def words(name: str, *, default: str | None = None) -> Column[Any]:
    return Column(name, Text, nullable=False, server_default=default)


def partial_index(name: str, table: str, columns: list[str], *, where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=text(where), postgresql_where=text(where))
