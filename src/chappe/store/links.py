"""How each node's ways to its carriers are, written down for whoever looks from outside: `chappe carriers`.

The rows are a copy of what a node knows anyway, seconds old. Nothing depends on them; those of nodes that are no more
go with the next one that is told.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, Text, delete, func, literal_column, select

from chappe.store.database import TRUE, Batch, Database, Prepared, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.messages import IS_WAITING
from chappe.store.nodes import Node
from chappe.store.schema import carrier, carrier_links, message
from chappe.store.schema import node as running
from chappe.store.sending import IS_SENDING, NOBODY


class CarrierFigures(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node's way to one carrier, as it is."""

    state: str  # up, paused, throttled or down
    detail: str = ""  # why it is not up, or what is missing
    binds: int = 0
    binds_wanted: int = 0  # 0 = the way is not by binds
    window_used: int = 0
    window: int = 0  # of all binds together
    sent_per_s: float = 0.0  # messages, lately
    troubles: dict[str, int] = {}  # refusals by reason and missing answers, since the node's start
    last_words: str = ""  # of the carrier, when it last refused
    receipt_p50_ms: int | None = None  # from sent to receipt, lately; None = there was none
    receipt_p95_ms: int | None = None


class Tidings(Struct, frozen=True):
    """What this node has to tell of one carrier."""

    carrier_id: int
    figures: CarrierFigures
    now_ms: int


class CarrierRow(Struct, frozen=True, kw_only=True):
    """A carrier, what waits for it, and what each node told of it last."""

    id: int
    name: str
    kind: str
    waiting: int = 0
    sending: int = 0  # in somebody's hands
    doubtful: int = 0
    told: tuple["LinkRow", ...] = ()


class LinkRow(Struct, frozen=True, kw_only=True):
    node: str
    is_running: bool  # the node still has its lease
    told_ms: int
    figures: CarrierFigures


class LinkBook:
    """Verb: `tell` what this node knows of a carrier."""

    def __init__(self, database: Database, node: Node) -> None:
        self._node = node
        news = Batch(database, node_id=BigInteger, carrier_id=BigInteger, figures=Text, told_ms=BigInteger)
        names = [column.name for column in news.c]
        self._put = Prepared(
            database,
            database.insert(carrier_links)
            .from_select(names, select(news.table).where(TRUE))
            .on_conflict_do_update(
                index_elements=names[:2], set_={name: literal_column(f"excluded.{name}") for name in names[2:]}
            ),
            news,
        )
        self._sweep = Prepared(
            database, delete(carrier_links).where(carrier_links.c.node_id.not_in(select(running.c.id)))
        )
        self._carriers = Prepared(
            database,
            select(carrier.c.id, carrier.c.name, carrier.c.kind)
            .where(carrier.c.is_active == constant(1))
            .order_by(carrier.c.id),
        )
        self._waiting, self._sending = (
            Prepared(database, select(message.c.carrier_id, func.count()).where(which).group_by(message.c.carrier_id))
            for which in (IS_WAITING, IS_SENDING & (message.c.node_id != NOBODY))
        )
        self._doubtful = Prepared(
            database,
            select(message.c.carrier_id, func.count())
            .where(IS_SENDING, message.c.node_id == NOBODY)
            .group_by(message.c.carrier_id),
        )
        self._told = Prepared(
            database,
            select(
                carrier_links.c.carrier_id,
                running.c.name,
                running.c.id,
                carrier_links.c.told_ms,
                carrier_links.c.figures,
            )
            .join_from(carrier_links, running, running.c.id == carrier_links.c.node_id, isouter=True)
            .order_by(carrier_links.c.node_id),
        )
        self.tell = Verb(6, self._tell_many)

    def _tell_many(self, transaction: Transaction, news: Sequence[Tidings], is_repeat: bool) -> list[None]:
        latest = {one.carrier_id: one for one in news}
        rows = [
            (self._node.id, one.carrier_id, msgspec.json.encode(one.figures).decode(), one.now_ms)
            for one in latest.values()
        ]
        transaction.run(self._put, rows)
        transaction.run(self._sweep)
        return [None] * len(news)

    def carriers(self, transaction: Transaction) -> list[CarrierRow]:
        """Every carrier of the configuration, with what is open at it and what the nodes last told."""
        waiting: dict[int, int] = dict(transaction.rows(self._waiting))
        sending: dict[int, int] = dict(transaction.rows(self._sending))
        doubtful: dict[int, int] = dict(transaction.rows(self._doubtful))
        told: dict[int, list[LinkRow]] = {}
        for carrier_id, name, node_id, told_ms, figures in transaction.rows(self._told):
            read = msgspec.json.decode(figures, type=CarrierFigures)
            row = LinkRow(node=name or "", is_running=node_id is not None, told_ms=told_ms, figures=read)
            told.setdefault(carrier_id, []).append(row)
        return [
            CarrierRow(
                id=carrier_id,
                name=name,
                kind=kind,
                waiting=waiting.get(carrier_id, 0),
                sending=sending.get(carrier_id, 0),
                doubtful=doubtful.get(carrier_id, 0),
                told=tuple(told.get(carrier_id, ())),
            )
            for carrier_id, name, kind in transaction.rows(self._carriers)
        ]
