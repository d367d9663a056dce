"""The tables, once for both databases. Only integers and texts: instants are milliseconds, money micros, flags 0 or 1.

Changing a table means a new migration in `migrations/versions/`; a test compares the two.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, text

metadata = MetaData()


# SQLite keeps a row under its key itself only where that is an INTEGER; for a BIGINT it keeps a second tree.
KEY = BigInteger().with_variant(Integer(), "sqlite")


def identifier(name: str, *, primary_key: bool = False) -> Column[int]:
    kind = KEY if primary_key else BigInteger()
    return Column(name, kind, primary_key=primary_key, nullable=False, autoincrement=False)


def number(name: str, default: int | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=None if default is None else str(default))


def words(name: str, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


# SQLite: rows of narrow tables live in their primary key's own tree, so one insert touches one tree.
NARROW: dict[str, Any] = {"sqlite_with_rowid": False}

# Configuration: what `chappe apply` writes

account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    words("password_hash"),
    words("token_sealed", ""),
    words("settings"),  # JSON: the rest of core.model.Account
    number("is_active", 1),
)
carrier = Table(
    "carrier",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    words("kind"),
    words("password_sealed", ""),
    words("settings"),  # JSON: the rest of core.model.Carrier
    number("is_active", 1),
)
route = Table(
    "route",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("service", Text, primary_key=True),  # empty = every service class
    words("carriers"),  # carrier ids in order, separated by commas
    number("price_micros"),
)
revision = Table(  # one row; grows with every change of the configuration, so that running servers follow
    "revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    number("revision", 0),
)

# Messages

message = Table(
    "message",
    metadata,
    identifier("id", primary_key=True),
    identifier("submission_id"),
    identifier("account_id"),
    words("dialect"),
    words("reference", ""),
    words("originator", ""),
    words("recipient"),
    words("text"),
    number("segments"),
    number("price_micros"),
    words("service"),
    number("priority"),  # 0 goes first
    identifier("carrier_id"),
    words("backups", ""),  # carrier ids still to try, separated by commas
    words("state"),
    number("attempt", 0),
    number("failures", 0),
    number("due_ms"),
    number("expires_ms"),
    number("wants_callbacks", 1),
    number("node_id", 0),  # who is sending it; 0 = nobody; negative = who asks what became of a doubtful one
    number("final_ms", 0),
    words("detail", ""),  # the carrier's last words
    words("coding", "text"),
    number("is_charged_late", 0),  # 1 = nothing is reserved for it yet
    words("receipt_url", ""),
    words("memo", ""),  # what its listener wants to be told again
    number("sent_ms", 0),  # when its carrier took it
    words("given", ""),  # what its carrier calls it; a name for each segment, separated by blanks
)
Index("message_account", message.c.account_id, message.c.id)
Index("message_recipient", message.c.recipient, message.c.id)
WAITING = text("state IN ('queued', 'scheduled')")
Index(
    "message_waiting",
    message.c.carrier_id,
    message.c.priority,
    message.c.account_id,  # each account's share of a claim is found by itself
    message.c.due_ms,
    message.c.expires_ms,
    sqlite_where=WAITING,
    postgresql_where=WAITING,
)
SENDING = text("state = 'sending'")
Index("message_sending", message.c.node_id, message.c.carrier_id, sqlite_where=SENDING, postgresql_where=SENDING)
SCHEDULED = text("state = 'scheduled'")
Index("message_scheduled", message.c.account_id, message.c.id, sqlite_where=SCHEDULED, postgresql_where=SCHEDULED)
SENT = text("state = 'sent'")
Index("message_sent", message.c.expires_ms, sqlite_where=SENT, postgresql_where=SENT)

named_submission = Table(  # submissions that their customer will ask for by a name of their own
    "named_submission",
    metadata,
    identifier("account_id", primary_key=True),
    Column("name", Text, primary_key=True),
    identifier("submission_id", primary_key=True),
    **NARROW,
)

scheduled_submission = Table(  # when a submission was to be sent that was not to be sent at once
    "scheduled_submission",
    metadata,
    identifier("submission_id", primary_key=True),
    number("scheduled_ms"),
)
carrier_reference = Table(
    "carrier_reference",
    metadata,
    identifier("carrier_id", primary_key=True),
    Column("reference", Text, primary_key=True),
    identifier("message_id"),
    number("segment", 0),  # 0 = the whole message; else which of its segments the carrier gave this reference
    words("state", ""),  # of that segment, once a receipt named it
    **NARROW,
)
PARTS = text("segment > 0")
Index("carrier_reference_parts", carrier_reference.c.message_id, sqlite_where=PARTS, postgresql_where=PARTS)

parked_receipt = Table(  # receipts that came before their message's answer, or belong to nothing we know
    "parked_receipt",
    metadata,
    identifier("carrier_id", primary_key=True),
    Column("reference", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    words("detail", ""),
    number("received_ms"),
    **NARROW,
)

submission_part = Table(  # parts of long messages that SMPP customers submit one by one, until all are there
    "submission_part",
    metadata,
    identifier("account_id", primary_key=True),
    Column("originator", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    identifier("concatenation", primary_key=True),
    identifier("total", primary_key=True),
    identifier("position", primary_key=True),
    identifier("part_id"),  # what its submitter knows it by
    words("content"),  # JSON: what the listener needs to put the message together
    number("received_ms"),
    identifier("message_id"),  # the message it became a part of; 0 = none yet
    **NARROW,
)
Index("submission_part_age", submission_part.c.received_ms)
PART_WAITING = text("message_id = 0")
Index(
    "submission_part_waiting",
    submission_part.c.account_id,
    submission_part.c.received_ms,
    sqlite_where=PART_WAITING,
    postgresql_where=PART_WAITING,
)
carrier_links = Table(  # how each node's ways to its carriers are, for whoever looks from outside
    "carrier_links",
    metadata,
    identifier("node_id", primary_key=True),
    identifier("carrier_id", primary_key=True),
    words("figures"),  # JSON
    number("told_ms"),
    **NARROW,
)

callback = Table(
    "callback",
    metadata,
    identifier("id", primary_key=True),
    identifier("account_id"),
    identifier("message_id"),
    words("kind"),  # receipt or inbound
    words("dialect"),
    words("payload"),  # JSON: a core.model.Report or Inbound
    words("state"),  # pending, done, failed, disabled
    number("attempt", 0),
    number("due_ms"),
    number("node_id", 0),
    number("status", 0),  # HTTP status of the last attempt, 0 = no answer
    words("detail", ""),
    words("url", ""),  # where to; empty = where the account's go
    number("is_bound", 0),  # 1 = only a node with a bind of its account can make it
    number("made_ms", 0),
    number("ended_ms", 0),  # when it was last attempted
    number("took_ms", 0),  # how long the last attempt waited for its answer
)
Index("callback_message", callback.c.message_id, callback.c.id)
Index("callback_account", callback.c.account_id, callback.c.id)
PENDING = text("state = 'pending' AND is_bound = 0")
Index("callback_pending", callback.c.due_ms, sqlite_where=PENDING, postgresql_where=PENDING)
PENDING_BOUND = text("state = 'pending' AND is_bound = 1")
Index(
    "callback_bound",
    callback.c.account_id,
    callback.c.due_ms,
    sqlite_where=PENDING_BOUND,
    postgresql_where=PENDING_BOUND,
)

disabled_url = Table(  # answered 410 Gone: never called again until configured anew
    "disabled_url",
    metadata,
    identifier("account_id", primary_key=True),
    Column("url", Text, primary_key=True),
    number("disabled_ms"),
)

# Money

balance = Table(
    "balance",
    metadata,
    identifier("account_id", primary_key=True),
    number("available_micros", 0),
    number("reserved_micros", 0),
    number("limit_micros", 0),  # how far `available` may go down; negative = credit
)
entry = Table(
    "entry",
    metadata,
    identifier("source_id", primary_key=True),
    Column("phase", Text, primary_key=True),
    identifier("account_id"),
    words("debit"),
    words("credit"),
    number("amount_micros"),
    number("made_ms"),
    **NARROW,
)
CREDITS = text("phase IN ('credit', 'give', 'take', 'give_back', 'take_back')")  # money that is no price of a message
Index("entry_credits", entry.c.account_id, entry.c.made_ms, sqlite_where=CREDITS, postgresql_where=CREDITS)
RENTS = text(
    "phase NOT IN ('reserve', 'settle', 'credit', 'give', 'take', 'give_back', 'take_back')"
)  # each month's phase is its own
Index("entry_rents", entry.c.account_id, entry.c.made_ms, sqlite_where=RENTS, postgresql_where=RENTS)

# Messages that come in

inbound = Table(
    "inbound",
    metadata,
    identifier("id", primary_key=True),
    identifier("account_id"),  # whose number it came to; 0 = nobody's
    words("recipient"),
    words("originator"),
    words("text"),
    identifier("carrier_id"),
    number("received_ms"),
    words("coding", "text"),
)
Index("inbound_account", inbound.c.account_id, inbound.c.id)
inbound_reference = Table(  # what came already: carriers repeat themselves
    "inbound_reference",
    metadata,
    identifier("carrier_id", primary_key=True),
    Column("reference", Text, primary_key=True),
    identifier("inbound_id"),
    number("received_ms"),
    **NARROW,
)
Index("inbound_reference_age", inbound_reference.c.received_ms)
inbound_segment = Table(  # segments that wait for the others of their message
    "inbound_segment",
    metadata,
    identifier("carrier_id", primary_key=True),
    Column("originator", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    identifier("concatenation", primary_key=True),
    identifier("total", primary_key=True),
    identifier("position", primary_key=True),
    words("text"),
    number("received_ms"),
    number("inbound_id", 0),  # the message it became a part of; kept a while, so that a copy is known as one
    words("content", ""),  # what is read together with the others'
    **NARROW,
)
inbound_cursor = Table(  # how far an account has asked for what is new
    "inbound_cursor",
    metadata,
    identifier("account_id", primary_key=True),
    Column("numbers", Text, primary_key=True),
    identifier("last_id"),
    **NARROW,
)

# What accounts keep

session = Table(
    "session",
    metadata,
    Column("digest", Text, primary_key=True),
    identifier("account_id"),
    number("used_ms"),
    **NARROW,
)
Index("session_account", session.c.account_id, session.c.used_ms)
block = Table(  # numbers that an account must not write to
    "block",
    metadata,
    identifier("account_id", primary_key=True),
    Column("number", Text, primary_key=True),
    Column("originator", Text, primary_key=True),  # empty = any
    words("origin"),
    number("made_ms"),
    number("is_active", 1),
    identifier("change_id"),  # grows with every change, so that running servers follow
    **NARROW,
)
Index("block_change", block.c.change_id)
phonebook = Table(  # how much of one an account has: the row that every change of it goes through
    "phonebook",
    metadata,
    identifier("account_id", primary_key=True),
    number("contacts_count", 0),
    number("groups_count", 0),
)
contact = Table(
    "contact",
    metadata,
    identifier("id", primary_key=True),
    identifier("account_id"),
    words("number", ""),
    words("email", ""),
    words("name", ""),
    words("surname", ""),
    words("details"),  # JSON: an object of texts
)
Index("contact_account", contact.c.account_id, contact.c.id)
Index("contact_number", contact.c.account_id, contact.c.number)
Index("contact_email", contact.c.account_id, contact.c.email)
contact_group = Table(
    "contact_group",
    metadata,
    identifier("id", primary_key=True),
    identifier("account_id"),
    words("name"),
    words("description", ""),
)
Index("contact_group_account", contact_group.c.account_id, contact_group.c.id)
membership = Table(
    "membership",
    metadata,
    identifier("group_id", primary_key=True),
    identifier("contact_id", primary_key=True),
    **NARROW,
)
Index("membership_contact", membership.c.contact_id)
alias = Table(
    "alias",
    metadata,
    identifier("id", primary_key=True),
    identifier("account_id"),
    words("sender"),
    words("details"),  # JSON: an object of texts
    number("state"),  # core.phonebook.AliasState
    number("made_ms"),
)
Index("alias_account", alias.c.account_id, alias.c.id)
Index("alias_sender", alias.c.account_id, alias.c.sender, unique=True)
pin = Table(
    "pin",
    metadata,
    identifier("account_id", primary_key=True),
    Column("recipient", Text, primary_key=True),
    words("digest"),
    number("expires_ms"),
    number("tries_left"),
    **NARROW,
)
Index("pin_expiry", pin.c.expires_ms)
rented_number = Table(  # the pool, and who rents what of it
    "rented_number",
    metadata,
    Column("number", Text, primary_key=True),
    words("country", ""),
    number("price_micros", 0),
    identifier("carrier_id"),
    identifier("account_id"),  # 0 = offered
    identifier("rental_id"),  # what its rents are booked under, each month as a phase of its own
    number("rented_ms", 0),
    number("months", 0),  # paid since it was rented
    number("expires_ms", 0),
    number("renews", 1),
    words("origin"),  # file or carrier: who put it into the pool
    words("url", ""),
    words("email", ""),
    words("phone", ""),
    number("is_active", 1),  # 0 = out of the pool once its owner leaves it
    **NARROW,
)
OWNED = text("account_id > 0")
Index(
    "rented_number_owner",
    rented_number.c.account_id,
    rented_number.c.expires_ms,
    sqlite_where=OWNED,
    postgresql_where=OWNED,
)
purchase = Table(
    "purchase",
    metadata,
    identifier("id", primary_key=True),
    identifier("account_id"),  # who gave
    identifier("subaccount_id"),
    number("amount_micros"),
    number("made_ms"),
    number("is_undone", 0),
    words("details"),  # JSON: an object of texts
)
Index("purchase_subaccount", purchase.c.subaccount_id, purchase.c.id)

# Who is running

node = Table(
    "node",
    metadata,
    identifier("id", primary_key=True),
    words("name", ""),
    number("lease_until_ms"),  # by the database's clock
)

# What is told of the past, beside what the tables above say by themselves

happening = Table(  # what befell a message that is not the ordinary course of things: that is read off its row
    "happening",
    metadata,
    identifier("message_id", primary_key=True),
    identifier("id", primary_key=True),  # grows with time
    number("made_ms"),
    words("kind"),  # core.story.Kind
    identifier("carrier_id"),
    number("attempt", 0),
    words("words", ""),  # the carrier's own
    **NARROW,
)
tally = Table(  # how much of what there was, by the minute and by the hour
    "tally",
    metadata,
    identifier("span_s", primary_key=True),  # 60 or 3600
    identifier("start_ms", primary_key=True),
    identifier("account_id", primary_key=True),
    identifier("carrier_id", primary_key=True),
    Column("what", Text, primary_key=True),  # core.story.Tallied
    number("count", 0),
    number("segments", 0),
    number("amount_micros", 0),
    number("lag_ms", 0),  # added up over all that are counted
    **NARROW,
)
kept_request = Table(  # requests as they came, secrets hidden, with their answers
    "kept_request",
    metadata,
    identifier("id", primary_key=True),
    identifier("account_id"),  # 0 = nobody's we know
    identifier("submission_id"),  # 0 = it led to none
    words("dialect"),
    words("method"),
    words("target"),
    words("headers"),  # JSON: a list of [name, value]
    words("body"),
    number("status"),
    words("answer"),
    number("took_us", 0),
    number("expires_ms"),
)
Index("kept_request_expiry", kept_request.c.expires_ms)
Index("kept_request_submission", kept_request.c.submission_id)
Index("kept_request_account", kept_request.c.account_id, kept_request.c.id)

# The native API

api_key = Table(
    "api_key",
    metadata,
    Column("id", Integer, primary_key=True),
    identifier("account_id"),  # 0 = an operator's
    words("name"),
    Column("digest", Text, nullable=False, unique=True),
    words("hint"),  # its first characters, by which its owner knows it
    words("scopes"),  # separated by blanks
    number("is_test", 0),
    number("made_ms"),
    number("used_ms", 0),
    number("ended_ms", 0),  # 0 = it is good
)
Index("api_key_account", api_key.c.account_id, api_key.c.id)
kept_answer = Table(  # of requests with an Idempotency-Key
    "kept_answer",
    metadata,
    identifier("account_id", primary_key=True),
    Column("key", Text, primary_key=True),
    words("request_digest"),
    identifier("first_id"),  # of the messages that it makes: asked again, it makes the same ones
    number("status", 0),  # 0 = there is no answer yet
    words("headers", ""),  # JSON: a list of [name, value]
    words("body", ""),
    number("made_ms"),
    **NARROW,
)
Index("kept_answer_age", kept_answer.c.made_ms)

# The panel

panel_user = Table(
    "panel_user",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    words("password_hash"),
    words("role"),  # core.people.Role
    identifier("account_id"),  # what a customer or viewer sees; 0 = everything
    words("language", ""),  # empty = the browser's
    number("made_ms"),
    number("is_active", 1),
)
panel_session = Table(
    "panel_session",
    metadata,
    Column("digest", Text, primary_key=True),
    identifier("user_id"),  # 0 = an account that logged in with its own name and password
    identifier("account_id"),  # then that one
    words("mark"),  # of the password that opened it: with another one it is void
    words("network", ""),
    number("made_ms"),
    number("used_ms"),
    **NARROW,
)
Index("panel_session_user", panel_session.c.user_id, panel_session.c.account_id)
invitation = Table(  # one-time links by which people become users
    "invitation",
    metadata,
    Column("digest", Text, primary_key=True),
    words("role"),
    identifier("account_id"),
    words("name", ""),
    words("author"),
    number("made_ms"),
    number("expires_ms"),
    **NARROW,
)
configuration_version = Table(  # the configuration after each change, so that one can go back to it
    "configuration_version",
    metadata,
    identifier("revision", primary_key=True),
    number("made_ms"),
    words("author"),
    words("remark", ""),
    words("changes"),  # JSON: what became of what, for people
    words("content"),  # JSON: the rows as they were then; secrets sealed or hashed, as they are stored
)

# Many messages from a file

campaign = Table(
    "campaign",
    metadata,
    identifier("id", primary_key=True),
    identifier("account_id"),
    words("author"),
    words("name"),
    words("state"),  # core.campaigns.CampaignState
    words("settings"),  # JSON: core.campaigns.CampaignSettings
    number("rows_count", 0),
    number("position", 0),  # how many of its rows have been handed over
    number("accepted_count", 0),
    number("refused_count", 0),
    number("segments", 0),
    number("price_micros", 0),  # of what was accepted
    number("first_id", 0),  # of the messages of the portion that is being handed over
    words("detail", ""),  # why it stopped
    words("report", ""),  # JSON: core.campaigns.CampaignReport of the last dry run
    identifier("node_id"),  # who works at it; counts for nothing once that node is gone
    number("made_ms"),
    number("changed_ms"),
)
Index("campaign_account", campaign.c.account_id, campaign.c.id)
UNFINISHED = text("state IN ('loading', 'checking', 'running', 'cancelling', 'removing')")
Index("campaign_running", campaign.c.id, sqlite_where=UNFINISHED, postgresql_where=UNFINISHED)
campaign_row = Table(
    "campaign_row",
    metadata,
    identifier("campaign_id", primary_key=True),
    identifier("position", primary_key=True),  # from 1: the line of the file behind its header
    words("recipient"),
    words("content", ""),  # JSON: its columns
    identifier("message_id"),  # 0 = none (yet)
    words("refusal", ""),  # why it has none
    **NARROW,
)
