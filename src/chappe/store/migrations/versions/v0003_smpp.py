"""SMPP: what a listener remembers of a message, callbacks to binds, parts of long submissions, and carriers' links.

Written out instead of read from `schema.py`, because that file moves on and this one must not.
"""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    messages()
    callbacks()
    op.add_column("inbound", words("coding", default="text"))
    op.add_column("inbound_segment", words("content", default=""))
    parts_and_links()


def messages() -> None:
    op.add_column("message", words("memo", default=""))
    op.drop_index("message_waiting", "message")
    index("message_waiting", "message", ["carrier_id", "priority", "account_id", "due_ms", "expires_ms"], WAITING)


def callbacks() -> None:
    op.add_column("callback", number("is_bound", default=0))
    op.drop_index("callback_pending", "callback")
    index("callback_pending", "callback", ["due_ms"], "state = 'pending' AND is_bound = 0")
    index("callback_bound", "callback", ["account_id", "due_ms"], "state = 'pending' AND is_bound = 1")


def parts_and_links() -> None:
    op.create_table(
        "submission_part",
        number("account_id", primary_key=True),
        Column("originator", Text, primary_key=True),
        Column("recipient", Text, primary_key=True),
        number("concatenation", primary_key=True),
        number("total", primary_key=True),
        number("position", primary_key=True),
        number("part_id"),
        words("content"),
        number("received_ms"),
        number("message_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("submission_part_age", "submission_part", ["received_ms"])
    index("submission_part_waiting", "submission_part", ["account_id", "received_ms"], "message_id = 0")
    op.create_table(
        "carrier_links",
        number("node_id", primary_key=True),
        number("carrier_id", primary_key=True),
        words("figures"),
        number("told_ms"),
        sqlite_with_rowid=False,
    )


KEY = BigInteger().with_variant(Integer(), "sqlite")
WAITING = "state IN ('queued', 'scheduled')"


def index(name: str, table: str, columns: list[str], condition: str) -> None:
    op.create_index(name, table, columns, sqlite_where=text(condition), postgresql_where=text(condition))


def number(name: str, *, primary_key: bool = False, default: int | None = None) -> Column[int]:
    kind = KEY if primary_key else BigInteger()
    server_default = None if default is None else str(default)
    return Column(
        name, kind, primary_key=primary_key, nullable=False, autoincrement=False, server_default=server_default
    )


def words(name: str, *, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)
