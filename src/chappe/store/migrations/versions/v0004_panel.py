"""The panel, the native API, campaigns, and what is kept so that a message's whole story can be told.

Written out instead of read from `schema.py`, because that file moves on and this one must not.
"""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    messages_and_callbacks()
    stories()
    native_api()
    panel()
    campaigns()


def messages_and_callbacks() -> None:
    op.add_column("message", number("sent_ms", default=0))
    op.add_column("message", words("given", default=""))
    op.create_index("message_recipient", "message", ["recipient", "id"])
    for name in ("made_ms", "ended_ms", "took_ms"):
        op.add_column("callback", number(name, default=0))
    op.create_index("callback_message", "callback", ["message_id", "id"])
    op.create_index("callback_account", "callback", ["account_id", "id"])
    rents = text("phase NOT IN ('reserve', 'settle', 'credit', 'give', 'take', 'give_back', 'take_back')")
    op.create_index("entry_rents", "entry", ["account_id", "made_ms"], sqlite_where=rents, postgresql_where=rents)


def stories() -> None:
    op.create_table(
        "happening",
        number("message_id", primary_key=True),
        number("id", primary_key=True),
        number("made_ms"),
        words("kind"),
        number("carrier_id"),
        number("attempt", default=0),
        words("words", default=""),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tally",
        *(number(name, primary_key=True) for name in ("span_s", "start_ms", "account_id", "carrier_id")),
        Column("what", Text, primary_key=True),
        *(number(name, default=0) for name in ("count", "segments", "amount_micros", "lag_ms")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "kept_request",
        number("id", primary_key=True),
        number("account_id"),
        number("submission_id"),
        *(words(name) for name in ("dialect", "method", "target", "headers", "body")),
        number("status"),
        words("answer"),
        number("took_us", default=0),
        number("expires_ms"),
    )
    op.create_index("kept_request_expiry", "kept_request", ["expires_ms"])
    op.create_index("kept_request_submission", "kept_request", ["submission_id"])
    op.create_index("kept_request_account", "kept_request", ["account_id", "id"])


def native_api() -> None:
    op.create_table(
        "api_key",
        Column("id", Integer, primary_key=True),
        number("account_id"),
        words("name"),
        Column("digest", Text, nullable=False, unique=True),
        words("hint"),
        words("scopes"),
        number("is_test", default=0),
        number("made_ms"),
        number("used_ms", default=0),
        number("ended_ms", default=0),
    )
    op.create_index("api_key_account", "api_key", ["account_id", "id"])
    op.create_table(
        "kept_answer",
        number("account_id", primary_key=True),
        Column("key", Text, primary_key=True),
        words("request_digest"),
        number("first_id"),
        number("status", default=0),
        words("headers", default=""),
        words("body", default=""),
        number("made_ms"),
        sqlite_with_rowid=False,
    )
    op.create_index("kept_answer_age", "kept_answer", ["made_ms"])


def panel() -> None:
    op.create_table(
        "panel_user",
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False, unique=True),
        words("password_hash"),
        words("role"),
        number("account_id"),
        words("language", default=""),
        number("made_ms"),
        number("is_active", default=1),
    )
    op.create_table(
        "panel_session",
        Column("digest", Text, primary_key=True),
        number("user_id"),
        number("account_id"),
        words("mark"),
        words("network", default=""),
        number("made_ms"),
        number("used_ms"),
        sqlite_with_rowid=False,
    )
    op.create_index("panel_session_user", "panel_session", ["user_id", "account_id"])
    op.create_table(
        "invitation",
        Column("digest", Text, primary_key=True),
        words("role"),
        number("account_id"),
        words("name", default=""),
        words("author"),
        number("made_ms"),
        number("expires_ms"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "configuration_version",
        number("revision", primary_key=True),
        number("made_ms"),
        words("author"),
        words("remark", default=""),
        words("changes"),
        words("content"),
    )


def campaigns() -> None:
    op.create_table(
        "campaign",
        number("id", primary_key=True),
        number("account_id"),
        *(words(name) for name in ("author", "name", "state", "settings")),
        *(
            number(name, default=0)
            for name in ("rows_count", "position", "accepted_count", "refused_count", "segments", "price_micros")
        ),
        number("first_id", default=0),
        words("detail", default=""),
        words("report", default=""),
        number("node_id"),
        number("made_ms"),
        number("changed_ms"),
    )
    op.create_index("campaign_account", "campaign", ["account_id", "id"])
    unfinished = text("state IN ('loading', 'checking', 'running', 'cancelling', 'removing')")
    op.create_index("campaign_running", "campaign", ["id"], sqlite_where=unfinished, postgresql_where=unfinished)
    op.create_table(
        "campaign_row",
        number("campaign_id", primary_key=True),
        number("position", primary_key=True),
        words("recipient"),
        words("content", default=""),
        number("message_id"),
        words("refusal", default=""),
        sqlite_with_rowid=False,
    )


KEY = BigInteger().with_variant(Integer(), "sqlite")


def number(name: str, *, primary_key: bool = False, default: int | None = None) -> Column[int]:
    kind = KEY if primary_key else BigInteger()
    server_default = None if default is None else str(default)
    return Column(
        name, kind, primary_key=primary_key, nullable=False, autoincrement=False, server_default=server_default
    )


def words(name: str, *, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)
