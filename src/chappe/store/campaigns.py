"""Campaigns and their rows: loaded, checked and handed over in portions, each portion one commit.

Handing over is safe because of three commits: the first id of a portion's messages is reserved here, the messages are
kept under it by the one way in, and then the position moves on together with the message id of every row. Whoever finds
a reserved id asks first whether its messages are kept already.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from chappe.core.campaigns import (
    Campaign,
    CampaignReport,
    CampaignRow,
    CampaignSettings,
    CampaignState,
    RowResult,
)
from chappe.core.model import State
from chappe.store.database import Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.histories import total
from chappe.store.messages import CHARGED, IS_WAITING, STATES
from chappe.store.nodes import Node
from chappe.store.schema import campaign, campaign_row, message, node

CAMPAIGN_STATES = {state.value: state for state in CampaignState}
WORKED_AT = (
    CampaignState.LOADING,
    CampaignState.CHECKING,
    CampaignState.RUNNING,
    CampaignState.CANCELLING,
    CampaignState.REMOVING,
)
CAMPAIGN_COLUMNS = (
    campaign.c.id,
    campaign.c.account_id,
    campaign.c.author,
    campaign.c.name,
    campaign.c.state,
    campaign.c.settings,
    campaign.c.rows_count,
    campaign.c.position,
    campaign.c.accepted_count,
    campaign.c.refused_count,
    campaign.c.segments,
    campaign.c.price_micros,
    campaign.c.first_id,
    campaign.c.detail,
    campaign.c.report,
    campaign.c.node_id,
    campaign.c.made_ms,
    campaign.c.changed_ms,
)
ROW_COLUMNS = (
    campaign_row.c.position,
    campaign_row.c.recipient,
    campaign_row.c.content,
    campaign_row.c.message_id,
    campaign_row.c.refusal,
)
WEIGHT = 100  # of work at many rows, in rows of a round: it is spread over rounds, and lets others in between
read_content = msgspec.json.Decoder(tuple[int, list[str]]).decode
read_settings = msgspec.json.Decoder(CampaignSettings).decode
read_report = msgspec.json.Decoder(CampaignReport).decode


class RowsDraft(Struct, frozen=True):
    """The next rows of a campaign that is being loaded."""

    campaign_id: int
    rows: tuple[CampaignRow, ...]
    now_ms: int


class CampaignChange(Struct, frozen=True, kw_only=True):
    """A move from one of some states to another; what is None stays as it is. `is_ours`: only where this node works at
    it; `judged`: only while it is to send what was looked at."""

    campaign_id: int
    from_states: tuple[CampaignState, ...]
    to_state: CampaignState
    now_ms: int
    detail: str = ""
    settings: CampaignSettings | None = None
    report: CampaignReport | None = None
    forgets_report: bool = False
    restarts: bool = False  # the position begins anew
    is_ours: bool = False
    judged: CampaignSettings | None = None


class CampaignTake(Struct, frozen=True):
    """A wish to work at whatever nobody who is alive works at."""

    now_ms: int


class Reservation(Struct, frozen=True):
    """A wish that the messages of the rows behind `position` are kept under ids from `first_id` on."""

    campaign_id: int
    position: int
    first_id: int
    now_ms: int


class Outcome(Struct, frozen=True):
    """What became of a row: its message, or why it has none."""

    position: int
    message_id: int
    refusal: str = ""


class PortionResult(Struct, frozen=True, kw_only=True):
    """What became of the rows behind `before` up to `position`."""

    campaign_id: int
    before: int
    position: int
    outcomes: tuple[Outcome, ...]
    segments: int
    price_micros: int
    now_ms: int


class Marking(Struct, frozen=True):
    """What a dry run changes on the rows behind `before` up to `position`: (position, recipient, refusal)."""

    campaign_id: int
    before: int
    position: int
    changes: tuple[tuple[int, str, str], ...]
    now_ms: int


class RowsRemoval(Struct, frozen=True):
    """A wish to forget up to `count_max` rows of a campaign that is being removed, and itself with the last one."""

    campaign_id: int
    count_max: int


class Campaigns:
    def __init__(self, database: Database, this: Node) -> None:
        self._node = this
        self.put = Verb[Campaign, None](4, self._put_many)
        self.load = Verb[RowsDraft, bool](4, self._load_many, lambda _: WEIGHT)
        self.change = Verb[CampaignChange, bool](4, self._change_many)
        self.take = Verb[CampaignTake, list[Campaign]](4, self._take_many)
        self.reserve = Verb[Reservation, int](4, self._reserve_many)
        self.advance = Verb[PortionResult, bool](4, self._advance_many, lambda _: WEIGHT)
        self.mark = Verb[Marking, bool](4, self._mark_many, lambda _: WEIGHT)
        self.remove = Verb[RowsRemoval, int](4, self._remove_many, lambda _: WEIGHT)
        is_it = campaign.c.id == bindparam("which")
        is_ours = campaign.c.node_id == bindparam("me")
        is_worked_at = campaign.c.state.in_([constant(state.value) for state in WORKED_AT])
        is_free = or_(campaign.c.node_id == constant(0), campaign.c.node_id.not_in(select(node.c.id)))
        self._put = Prepared(
            database,
            database.insert(campaign)
            .values({each.name: bindparam(f"new_{each.name}") for each in CAMPAIGN_COLUMNS})
            .on_conflict_do_nothing(),
        )
        loaded = Batch(
            database, campaign_id=BigInteger, position=BigInteger, recipient=Text, content=Text, message_id=BigInteger
        )
        names = [each.name for each in loaded.c]
        self._load = Prepared(database, insert(campaign_row).from_select(names, select(loaded.table)), loaded)
        self._grow = Prepared(
            database,
            update(campaign)
            .where(
                is_it,
                is_ours,
                campaign.c.state == constant(CampaignState.LOADING.value),
                campaign.c.rows_count == bindparam("before"),
            )
            .values(rows_count=bindparam("after"), changed_ms=bindparam("now")),
        )
        self._one = Prepared(database, select(*CAMPAIGN_COLUMNS).where(is_it))
        self._locked = Prepared(database, select(*CAMPAIGN_COLUMNS).where(is_it).with_for_update())
        self._change = Prepared(
            database,
            update(campaign)
            .where(is_it)
            .values(
                state=bindparam("new_state"),
                detail=bindparam("new_detail"),
                settings=bindparam("new_settings"),
                report=bindparam("new_report"),
                position=bindparam("new_position"),
                changed_ms=bindparam("now"),
            ),
        )
        self._take = Prepared(database, update(campaign).where(is_worked_at, is_free).values(node_id=bindparam("me")))
        self._taken = Prepared(database, select(*CAMPAIGN_COLUMNS).where(is_worked_at, is_ours).order_by(campaign.c.id))
        self._unfinished = Prepared(
            database,
            select(*CAMPAIGN_COLUMNS, case((is_free, 1), else_=0))
            .where(is_worked_at, or_(is_ours, is_free))
            .order_by(campaign.c.id),
        )
        self._reserve = Prepared(
            database,
            update(campaign)
            .where(
                is_it,
                is_ours,
                campaign.c.state == constant(CampaignState.RUNNING.value),
                campaign.c.position == bindparam("before"),
            )
            .values(
                first_id=case((campaign.c.first_id == constant(0), bindparam("fresh")), else_=campaign.c.first_id),
                changed_ms=bindparam("now"),
            )
            .returning(campaign.c.first_id),
        )
        is_done = and_(
            campaign.c.state == constant(CampaignState.RUNNING.value), campaign.c.rows_count == bindparam("after")
        )
        self._advance = Prepared(
            database,
            update(campaign)
            .where(is_it, is_ours, campaign.c.position == bindparam("before"))
            .values(
                position=bindparam("after"),
                first_id=constant(0),
                accepted_count=campaign.c.accepted_count + bindparam("accepted", type_=BigInteger),
                refused_count=campaign.c.refused_count + bindparam("refused", type_=BigInteger),
                segments=campaign.c.segments + bindparam("more_segments", type_=BigInteger),
                price_micros=campaign.c.price_micros + bindparam("more_micros", type_=BigInteger),
                state=case((is_done, constant(CampaignState.DONE.value)), else_=campaign.c.state),
                changed_ms=bindparam("now"),
            ),
        )
        outcomes = Batch(database, campaign_id=BigInteger, position=BigInteger, message_id=BigInteger, refusal=Text)
        self._settle = Prepared(
            database,
            update(campaign_row)
            .where(campaign_row.c.campaign_id == outcomes.c.campaign_id, campaign_row.c.position == outcomes.c.position)
            .values(message_id=outcomes.c.message_id, refusal=outcomes.c.refusal),
            outcomes,
        )
        self._check = Prepared(
            database,
            update(campaign)
            .where(
                is_it,
                is_ours,
                campaign.c.state == constant(CampaignState.CHECKING.value),
                campaign.c.position == bindparam("before"),
            )
            .values(position=bindparam("after"), changed_ms=bindparam("now")),
        )
        marks = Batch(database, campaign_id=BigInteger, position=BigInteger, recipient=Text, refusal=Text)
        self._mark = Prepared(
            database,
            update(campaign_row)
            .where(campaign_row.c.campaign_id == marks.c.campaign_id, campaign_row.c.position == marks.c.position)
            .values(recipient=marks.c.recipient, refusal=marks.c.refusal),
            marks,
        )
        of_it = campaign_row.c.campaign_id == bindparam("which")
        last = (
            select(campaign_row.c.position)
            .where(of_it)
            .order_by(campaign_row.c.position)
            .limit(1)
            .offset(bindparam("count_max", type_=BigInteger) - constant(1))
            .scalar_subquery()
        )
        self._forget_rows = Prepared(
            database,
            delete(campaign_row).where(
                of_it,
                campaign_row.c.position <= func.coalesce(last, constant(1 << 62)),
            ),
        )
        self._forget = Prepared(
            database, delete(campaign).where(is_it, campaign.c.state == constant(CampaignState.REMOVING.value))
        )
        accounts = Batch(database, id=BigInteger)
        is_seen = or_(
            bindparam("all", type_=BigInteger) == constant(1), campaign.c.account_id.in_(select(accounts.c.id))
        )
        is_shown = and_(is_seen, campaign.c.state != constant(CampaignState.REMOVING.value))
        self._seen = Prepared(database, select(*CAMPAIGN_COLUMNS).where(is_it, is_shown), accounts)
        self._page = Prepared(
            database,
            select(*CAMPAIGN_COLUMNS)
            .where(is_shown, campaign.c.id < bindparam("before"))
            .order_by(campaign.c.id.desc())
            .limit(bindparam("count_max", type_=BigInteger)),
            accounts,
        )
        self._kept = Prepared(
            database,
            select(total(campaign.c.rows_count)).where(campaign.c.account_id == bindparam("account")),
        )
        behind = (of_it, campaign_row.c.position > bindparam("after"))
        self._rows = Prepared(
            database,
            select(*ROW_COLUMNS)
            .where(*behind)
            .order_by(campaign_row.c.position)
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        self._results = Prepared(
            database,
            select(
                *ROW_COLUMNS,
                message.c.state,
                message.c.segments,
                CHARGED,
                message.c.sent_ms,
                message.c.final_ms,
                message.c.detail,
            )
            .outerjoin_from(campaign_row, message, message.c.id == campaign_row.c.message_id)
            .where(*behind)
            .order_by(campaign_row.c.position)
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        within = (*behind, campaign_row.c.position <= bindparam("until"))
        self._waiting = Prepared(
            database,
            select(message.c.submission_id)
            .join_from(campaign_row, message, message.c.id == campaign_row.c.message_id)
            .where(*within, IS_WAITING)
            .distinct(),
        )
        self._states = Prepared(
            database,
            select(message.c.state, cast(func.count(), BigInteger))
            .join_from(campaign_row, message, message.c.id == campaign_row.c.message_id)
            .where(*within)
            .group_by(message.c.state),
        )
        sent_last = (
            select(campaign_row.c.message_id)
            .where(of_it, campaign_row.c.position <= bindparam("until"), campaign_row.c.message_id > constant(0))
            .order_by(campaign_row.c.position.desc())
            .limit(1)
            .scalar_subquery()
        )
        self._probe = Prepared(database, select(message.c.state).where(message.c.id == sent_last))

    # Verbs

    def _put_many(self, transaction: Transaction, drafts: Sequence[Campaign], is_repeat: bool) -> list[None]:
        for one in drafts:
            values = dict(zip((each.name for each in CAMPAIGN_COLUMNS), row_of(one), strict=True))
            values["node_id"] = self._node.id
            transaction.run(self._put, **{f"new_{name}": value for name, value in values.items()})
        return [None] * len(drafts)

    def _load_many(self, transaction: Transaction, drafts: Sequence[RowsDraft], is_repeat: bool) -> list[bool]:
        """Whether each draft was kept: not so where the campaign is gone or another node took it over."""
        return [self._load_one(transaction, one, is_repeat) for one in drafts]

    def _load_one(self, transaction: Transaction, draft: RowsDraft, is_repeat: bool) -> bool:
        before, after = draft.rows[0].position - 1, draft.rows[-1].position
        if is_repeat and self._stands_at(transaction, draft.campaign_id, "rows_count", after):
            return True
        grown = transaction.run(
            self._grow, which=draft.campaign_id, me=self._node.id, before=before, after=after, now=draft.now_ms
        )
        if not grown:
            return False
        rows = [(draft.campaign_id, one.position, one.recipient, content_of(one), one.message_id) for one in draft.rows]
        transaction.run(self._load, rows)
        return True

    def _stands_at(self, transaction: Transaction, campaign_id: int, name: str, value: int) -> bool:
        rows = transaction.rows(self._one, which=campaign_id)
        return bool(rows) and getattr(campaign_of(rows[0]), name) == value

    def _change_many(self, transaction: Transaction, changes: Sequence[CampaignChange], is_repeat: bool) -> list[bool]:
        """Whether each move was made. One that is repeated is made where the campaign is there already."""
        return [self._change_one(transaction, one, is_repeat) for one in changes]

    def _change_one(self, transaction: Transaction, change: CampaignChange, is_repeat: bool) -> bool:
        rows = transaction.rows(self._locked, which=change.campaign_id)
        if not rows:
            return False
        before = campaign_of(rows[0])
        if is_repeat and before.state is change.to_state and before.changed_ms == change.now_ms:
            return True
        if before.state not in change.from_states or (change.is_ours and before.node_id != self._node.id):
            return False
        if change.judged is not None and change.judged != before.settings:
            return False
        report = None if change.forgets_report else change.report or before.report
        transaction.run(
            self._change,
            which=before.id,
            new_state=change.to_state.value,
            new_detail=change.detail,
            new_settings=json_of(change.settings or before.settings),
            new_report=json_of(report) if report is not None else "",
            new_position=0 if change.restarts else before.position,
            now=change.now_ms,
        )
        return True

    def _take_many(
        self, transaction: Transaction, takes: Sequence[CampaignTake], is_repeat: bool
    ) -> list[list[Campaign]]:
        """All campaigns that this node works at from now on."""
        transaction.run(self._take, me=self._node.id)
        taken = [campaign_of(row) for row in transaction.rows(self._taken, me=self._node.id)]
        return [taken for _ in takes]

    def _reserve_many(
        self, transaction: Transaction, reservations: Sequence[Reservation], is_repeat: bool
    ) -> list[int]:
        """The first id that counts: an earlier one where there is one. 0 = it does not run here at that position."""
        results = []
        for one in reservations:
            rows = transaction.rows(
                self._reserve,
                which=one.campaign_id,
                me=self._node.id,
                before=one.position,
                fresh=one.first_id,
                now=one.now_ms,
            )
            results.append(rows[0][0] if rows else 0)
        return results

    def _advance_many(self, transaction: Transaction, results: Sequence[PortionResult], is_repeat: bool) -> list[bool]:
        return [self._advance_one(transaction, one, is_repeat) for one in results]

    def _advance_one(self, transaction: Transaction, result: PortionResult, is_repeat: bool) -> bool:
        if is_repeat and self._stands_at(transaction, result.campaign_id, "position", result.position):
            return True
        accepted_count = sum(one.message_id > 0 for one in result.outcomes)
        advanced = transaction.run(
            self._advance,
            which=result.campaign_id,
            me=self._node.id,
            before=result.before,
            after=result.position,
            accepted=accepted_count,
            refused=len(result.outcomes) - accepted_count,
            more_segments=result.segments,
            more_micros=result.price_micros,
            now=result.now_ms,
        )
        if advanced:
            transaction.run(
                self._settle,
                [(result.campaign_id, one.position, one.message_id, one.refusal) for one in result.outcomes],
            )
        return bool(advanced)

    def _mark_many(self, transaction: Transaction, markings: Sequence[Marking], is_repeat: bool) -> list[bool]:
        """Whether each was made: not so where the campaign is no longer checked, or is by another node."""
        return [self._mark_one(transaction, one, is_repeat) for one in markings]

    def _mark_one(self, transaction: Transaction, marking: Marking, is_repeat: bool) -> bool:
        if is_repeat and self._stands_at(transaction, marking.campaign_id, "position", marking.position):
            return True
        checked = transaction.run(
            self._check,
            which=marking.campaign_id,
            me=self._node.id,
            before=marking.before,
            after=marking.position,
            now=marking.now_ms,
        )
        if checked and marking.changes:
            transaction.run(self._mark, [(marking.campaign_id, *change) for change in marking.changes])
        return bool(checked)

    def _remove_many(self, transaction: Transaction, removals: Sequence[RowsRemoval], is_repeat: bool) -> list[int]:
        """How many rows were forgotten; with fewer than asked for the campaign is gone too."""
        counts = []
        for one in removals:
            counts.append(transaction.run(self._forget_rows, which=one.campaign_id, count_max=one.count_max))
            if counts[-1] < one.count_max:
                transaction.run(self._forget, which=one.campaign_id)
        return counts

    # Questions

    def unfinished(self, transaction: Transaction) -> list[tuple[Campaign, bool]]:
        """What this node works at, and what nobody does (those with True)."""
        rows = transaction.rows(self._unfinished, me=self._node.id)
        return [(campaign_of(row), bool(row[-1])) for row in rows]

    def one(self, transaction: Transaction, account_ids: frozenset[int] | None, campaign_id: int) -> Campaign | None:
        """A campaign of one of these accounts; None = of any."""
        rows = transaction.rows(self._seen, batch_of(account_ids), which=campaign_id, all=int(account_ids is None))
        return campaign_of(rows[0]) if rows else None

    def page(
        self, transaction: Transaction, account_ids: frozenset[int] | None, before_id: int, count_max: int
    ) -> list[Campaign]:
        """The newest first."""
        rows = transaction.rows(
            self._page,
            batch_of(account_ids),
            before=before_id or 1 << 62,
            count_max=count_max,
            all=int(account_ids is None),
        )
        return [campaign_of(row) for row in rows]

    def rows_kept(self, transaction: Transaction, account_id: int) -> int:
        """How many rows all campaigns of an account have."""
        [(count,)] = transaction.rows(self._kept, account=account_id)
        return int(count)

    def rows(self, transaction: Transaction, campaign_id: int, after: int, count_max: int) -> list[CampaignRow]:
        """The rows behind a position."""
        found = transaction.rows(self._rows, which=campaign_id, after=after, count_max=count_max)
        return [campaign_row_of(row) for row in found]

    def results(self, transaction: Transaction, campaign_id: int, after: int, count_max: int) -> list[RowResult]:
        """The same, with what became of them."""
        return [
            RowResult(
                row=campaign_row_of(row),
                state=STATES[row[5]] if row[5] else None,
                segments=row[6] or 0,
                price_micros=row[7] or 0,
                sent_ms=row[8] or 0,
                final_ms=row[9] or 0,
                detail=row[10] or "",
            )
            for row in transaction.rows(self._results, which=campaign_id, after=after, count_max=count_max)
        ]

    def waiting_submissions(self, transaction: Transaction, campaign_id: int, after: int, until: int) -> list[int]:
        """The submissions of which something still waits, among the rows behind one position up to another."""
        return [row[0] for row in transaction.rows(self._waiting, which=campaign_id, after=after, until=until)]

    def states(self, transaction: Transaction, campaign_id: int, after: int, until: int) -> dict[State, int]:
        """How many messages of the rows behind one position up to another are in each state."""
        rows = transaction.rows(self._states, which=campaign_id, after=after, until=until)
        return {STATES[state]: count for state, count in rows}

    def state_before(self, transaction: Transaction, campaign_id: int, until: int) -> State | None:
        """Where the last message up to a position is; None = there is none."""
        rows = transaction.rows(self._probe, which=campaign_id, until=until)
        return STATES[rows[0][0]] if rows else None


def batch_of(account_ids: frozenset[int] | None) -> list[tuple[int]]:
    return [(each,) for each in sorted(account_ids or ())]


def json_of(record: Struct) -> str:
    return msgspec.json.encode(record).decode()


def content_of(row: CampaignRow) -> str:
    return msgspec.json.encode((row.line, row.values)).decode()


def row_of(one: Campaign) -> Row:
    """A campaign in the order of CAMPAIGN_COLUMNS."""
    return (
        one.id,
        one.account_id,
        one.author,
        one.name,
        one.state.value,
        json_of(one.settings),
        one.rows_count,
        one.position,
        one.accepted_count,
        one.refused_count,
        one.segments,
        one.price_micros,
        one.first_id,
        one.detail,
        json_of(one.report) if one.report is not None else "",
        one.node_id,
        one.made_ms,
        one.changed_ms,
    )


def campaign_of(row: Row) -> Campaign:
    """The reverse."""
    return Campaign(
        id=row[0],
        account_id=row[1],
        author=row[2],
        name=row[3],
        state=CAMPAIGN_STATES[row[4]],
        settings=read_settings(row[5]),
        rows_count=row[6],
        position=row[7],
        accepted_count=row[8],
        refused_count=row[9],
        segments=row[10],
        price_micros=row[11],
        first_id=row[12],
        detail=row[13],
        report=read_report(row[14]) if row[14] else None,
        node_id=row[15],
        made_ms=row[16],
        changed_ms=row[17],
    )


def campaign_row_of(row: Row) -> CampaignRow:
    line, values = read_content(row[2])
    return CampaignRow(row[0], line, row[1], tuple(values), row[3], row[4])
