"""The overview: what goes through, how it ends, how long it takes, what it costs, and what is open now."""

from collections.abc import Callable, Sequence
from datetime import datetime, time
from functools import partial
from typing import NamedTuple

from starlette.responses import Response

from chappe.core.people import Permission
from chappe.core.story import Tallied
from chappe.gateway.overview import ENDED, FAILED, Glance, OpenNow, Period, Spend
from chappe.listeners.panel import charts, formats
from chappe.listeners.panel.charts import Chart, Series, Words
from chappe.listeners.panel.frame import PanelRequest, PanelRoute
from chappe.listeners.panel.words import N_

# What is drawn of how messages end: its colour, and what it is made of.
ENDINGS: tuple[tuple[int, tuple[Tallied, ...]], ...] = (
    (2, (Tallied.DELIVERED,)),
    (3, (Tallied.UNDELIVERABLE,)),
    (4, (Tallied.REJECTED,)),
    (5, (Tallied.EXPIRED,)),
    (6, (Tallied.CANCELLED, Tallied.UNKNOWN)),
)
TROUBLES: tuple[tuple[str, int, Tallied], ...] = (
    ("undeliverable", 3, Tallied.UNDELIVERABLE),
    ("rejected", 4, Tallied.REJECTED),
    ("expired", 5, Tallied.EXPIRED),
    ("put off", 1, Tallied.PUT_OFF),
    ("rerouted", 6, Tallied.REROUTED),
)
CARRIERS_SHOWN_MAX = 12
# What `gateway/links.py` says of a carrier.
STATES = (N_("up"), N_("down"), N_("throttled"), N_("paused"), N_("unknown"))
DETAILS = (N_("too much went wrong in a row"), N_("it asked for a pause"), N_("it could not be reached"))


class Carrier(NamedTuple):
    """A carrier as the table of what is open shows it: added up over the nodes that run."""

    name: str
    kind: str
    state: str
    detail: str
    waiting: int
    sending: int
    doubtful: int
    sent_per_s: float
    receipt_p95_ms: int | None


async def show(panel: PanelRequest) -> Response:
    wanted = panel.query.get("period", "")
    period = Period(wanted) if wanted in set(Period) else Period.HOUR
    desk = panel.desks.overview
    caller = panel.caller
    glance = await desk.glance(caller.sight, period, midnight_ms(panel))
    sees_all = caller.sight.account_ids is None and caller.may(Permission.READ_CONFIGURATION)
    open_now = await desk.open_now() if sees_all else None
    sees_money = caller.may(Permission.READ_MONEY)
    funds = await desk.funds(caller.account.id) if caller.account is not None and sees_money else None
    return panel.render(
        "overview.html",
        period=period,
        periods=[(one.value, panel.url(period=one.value)) for one in Period],
        glance=glance,
        sent=glance.totals.get(Tallied.SENT, 0),
        accepted=glance.totals.get(Tallied.ACCEPTED, 0),
        inbound=glance.totals.get(Tallied.INBOUND, 0),
        delivered_share=share(glance, (Tallied.DELIVERED,)),
        failed=sum(glance.totals.get(what, 0) for what in FAILED),
        open_now=open_now,
        carriers=carriers_of(open_now) if open_now is not None else [],
        funds=funds,
        account=caller.account,
        charts=list(charts_of(panel, glance, sees_money=sees_money)),
        sees_money=sees_money,
    )


def midnight_ms(panel: PanelRequest) -> int:
    """When the day began where the reader is."""
    now = formats.moment_of(panel.desks.clock.now_ms()).astimezone(panel.zone)
    return int(datetime.combine(now.date(), time(), panel.zone).timestamp() * 1000)


def share(glance: Glance, whats: Sequence[Tallied]) -> float | None:
    """Of all that ended; None where nothing did."""
    ended = sum(glance.totals.get(what, 0) for what in ENDED)
    return sum(glance.totals.get(what, 0) for what in whats) / ended if ended else None


def carriers_of(open_now: OpenNow) -> list[Carrier]:
    """Each carrier once: the worst of what the nodes that run say of it."""
    found = []
    order = ("down", "throttled", "paused", "up")
    for row in open_now.carriers:
        told = [one.figures for one in row.told if one.is_running]
        worst = min(told, key=lambda one: order.index(one.state) if one.state in order else 0, default=None)
        lags = [one.receipt_p95_ms for one in told if one.receipt_p95_ms is not None]
        found.append(
            Carrier(
                name=row.name,
                kind=row.kind,
                state=worst.state if worst is not None else "unknown",
                detail=worst.detail if worst is not None else "",
                waiting=row.waiting,
                sending=row.sending,
                doubtful=row.doubtful,
                sent_per_s=sum(one.sent_per_s for one in told),
                receipt_p95_ms=max(lags, default=None),
            )
        )
    return found


def charts_of(panel: PanelRequest, glance: Glance, *, sees_money: bool) -> list[Chart]:
    _ = panel._
    locale = panel.words.locale
    labels = [label_of(panel, glance, one.start_ms) for one in glance.steps]
    number = partial(formats.number, locale=locale)
    compact = partial(formats.compact, locale=locale)
    duration = partial(formats.duration, locale=locale)

    def words(id: str, title: str, description: str, write: Callable[[float], str] = number) -> Words:
        short = compact if write is number else write
        return Words(id, title, description, _("Time"), write, short)

    def counted(look: int, whats: Sequence[Tallied]) -> Series:
        values = [sum(step.counts.get(what, 0) for what in whats) for step in glance.steps]
        return Series(", ".join(_(what.value) for what in whats), values, look, compact(sum(values)))

    drawn = [
        charts.lines(
            words("throughput", _("Throughput"), _("Messages that were accepted and sent, and inbound ones.")),
            labels,
            [
                counted(1, (Tallied.ACCEPTED,)),
                counted(2, (Tallied.SENT,)),
                counted(3, (Tallied.INBOUND,)),
            ],
        ),
        charts.bars(
            words("endings", _("How messages end"), _("Messages by the final state that they came into.")),
            labels,
            [counted(*ending) for ending in ENDINGS],
        ),
        charts.lines(
            words(
                "lags", _("How long it takes"), _("The mean time from due to sent, and from sent to receipt."), duration
            ),
            labels,
            [
                Series(_("until it is sent"), [step.sending_lag_ms for step in glance.steps], 1),
                Series(_("until the receipt"), [step.receipt_lag_ms for step in glance.steps], 2),
            ],
        ),
    ]
    if panel.caller.sight.account_ids is None:
        by_carrier = words("troubles", _("Errors by carrier"), _("What went wrong, by carrier."))
        drawn.append(carriers_chart(panel, glance, by_carrier))
    if sees_money:
        drawn += [spend_chart(panel, spend, labels) for spend in glance.spends]
    return drawn


def spend_chart(panel: PanelRequest, spend: Spend, labels: Sequence[str]) -> Chart:
    _ = panel._
    locale = panel.words.locale

    def write(micros: float) -> str:
        return formats.money(round(micros), spend.currency, locale)

    def write_short(micros: float) -> str:
        return formats.compact(micros / formats.MICROS, locale)

    title, description = _("Spend"), _("What sent messages cost.")
    words = Words(f"spend-{spend.currency.lower()}", title, description, _("Time"), write, write_short)
    return charts.bars(words, labels, [Series(spend.currency, spend.amounts_micros, 1, write(spend.total_micros))])


def carriers_chart(panel: PanelRequest, glance: Glance, words: Words) -> Chart:
    shown = sorted(glance.carriers, key=lambda one: -one.troubles)[:CARRIERS_SHOWN_MAX]
    series = [Series(panel._(name), [one.counts.get(what, 0) for one in shown], look) for name, look, what in TROUBLES]
    return charts.bars(words._replace(heading=panel._("Carrier")), [one.name for one in shown], series)


def label_of(panel: PanelRequest, glance: Glance, start_ms: int) -> str:
    write = formats.day if glance.period is Period.MONTH else formats.hour
    return write(start_ms, panel.words.locale, panel.zone)


ROUTES = (PanelRoute("/", show, None, title="Overview"),)
