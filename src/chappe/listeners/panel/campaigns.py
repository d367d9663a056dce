"""Campaigns: what a dry run found, how far each is, what became of every row."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.responses import Response

from chappe.core.campaigns import (
    EDITABLE,
    STEPS,
    Campaign,
    CampaignState,
    RowResult,
    Step,
    Troubled,
)
from chappe.core.ids import made_ms
from chappe.core.ledger import format_micros
from chappe.core.lifecycle import FINAL, WAITING
from chappe.core.people import Permission
from chappe.gateway.campaigns import StateCounts, Wording
from chappe.listeners.panel.formats import moment_of
from chappe.listeners.panel.frame import PanelRequest, PanelRoute
from chappe.listeners.panel.listing import PAGE_COUNT, before_id, moment_cell
from chappe.listeners.panel.send import (
    Translate,
    read_service,
    read_time,
    refusal_words,
    sender_choices,
    trouble_words,
)

ROWS_SHOWN = 5
CELL_SHOWN = 60  # characters
MOVING = (CampaignState.CHECKING, CampaignState.RUNNING, CampaignState.CANCELLING)
BEHIND = ("state", "refusal", "segments", "price", "currency", "message", "accepted", "sent", "ended")


async def show(panel: PanelRequest) -> Response:
    campaigns = await panel.desks.campaigns.page(panel.caller.sight, before_id(panel), PAGE_COUNT + 1)
    directory = panel.desks.directory()
    names = {one.account_id: found.name for one in campaigns if (found := directory.account(one.account_id))}
    return panel.render(
        "campaigns.html",
        campaigns=campaigns[:PAGE_COUNT],
        older=campaigns[PAGE_COUNT - 1].id if len(campaigns) > PAGE_COUNT else 0,
        is_first=not before_id(panel),
        account_names=names,
        state_words=state_words(panel._),
        may_send=panel.caller.may(Permission.SEND),
    )


async def show_one(panel: PanelRequest) -> Response:
    one = await find(panel)
    return panel.not_found() if one is None else await page_of(panel, one)


async def find(panel: PanelRequest) -> Campaign | None:
    campaign_id = int(panel.request.path_params["campaign_id"])
    return await panel.desks.campaigns.find(panel.caller.sight, campaign_id)


async def page_of(panel: PanelRequest, one: Campaign, status: int = 200, error: str = "") -> Response:
    account = panel.desks.directory().account(one.account_id)
    may_send = panel.caller.may(Permission.SEND)
    is_editable = one.state in EDITABLE and may_send
    rows = await panel.desks.campaigns.first_rows(one, ROWS_SHOWN) if one.state in EDITABLE else []
    progress = await progress_values(panel, one)
    return panel.render(
        "campaign.html",
        status,
        **progress,
        account=account,
        is_editable=is_editable,
        may_send=may_send,
        rows=rows,
        cell_shown=CELL_SHOWN,
        scheduled=local_time(panel, one.settings.scheduled_ms),
        error=error,
        form=panel.form,
        steps=steps_of(one, progress["counted"]) if may_send else [],
        sender=one.settings.originator or next(iter((*account.senders, *account.numbers) if account else ()), ""),
        **{**sender_choices(panel), "senders": [*account.senders, *account.numbers] if account is not None else []},
    )


def steps_of(one: Campaign, counted: StateCounts | None) -> list[Step]:
    """What may be done now. Of a campaign that is done, what waits can be taken back, where something does."""
    steps = [step for step, (states, _) in STEPS.items() if one.state in states]
    is_over = counted is not None and counted.at_ms and not any(state in WAITING for state in counted.counts)
    return [step for step in steps if not (step is Step.CANCEL and one.state is CampaignState.DONE and is_over)]


def local_time(panel: PanelRequest, ms: int) -> str:
    """An instant as a field for times has it; empty for none."""
    return moment_of(ms).astimezone(panel.zone).strftime("%Y-%m-%dT%H:%M") if ms else ""


async def progress_values(panel: PanelRequest, one: Campaign) -> dict[str, Any]:
    account = panel.desks.directory().account(one.account_id)
    is_started = one.position and one.state not in EDITABLE
    counted = await panel.desks.campaigns.state_counts(one) if is_started else None
    words = refusal_words(panel._)
    return {
        "one": one,
        "currency": account.currency if account is not None else "",
        "is_moving": one.state in MOVING,
        "state_words": state_words(panel._),
        "refusal_words": words,
        "detail": words.get(one.detail) or panel._(one.detail.replace("_", " ")) if one.detail else "",
        "counted": counted,
        # Once every row is handed over, its messages still move for a while.
        "is_settling": counted is not None
        and (not counted.at_ms or any(state not in FINAL for state in counted.counts)),
    }


async def show_progress(panel: PanelRequest) -> Response:
    """The moving piece of the page; once the campaign has come into another state, htmx loads the whole anew."""
    one = await find(panel)
    if one is None:
        return panel.not_found()
    response = panel.render("campaign_progress.html", **await progress_values(panel, one))
    if panel.query.get("state", one.state.value) != one.state.value:
        response.headers["hx-refresh"] = "true"
    return response


async def describe(panel: PanelRequest) -> Response:
    one = await find(panel)
    if one is None:
        return panel.not_found()
    errors: dict[str, str] = {}
    wording = Wording(
        text=panel.raw("text"),
        originator=panel.text("originator"),
        service=read_service(panel),
        scheduled_ms=read_time(panel, errors),
        recipient_column=panel.text("column"),
    )
    if errors:
        return await page_of(panel, one, 422, errors["scheduled"])
    described = await panel.desks.campaigns.describe(panel.caller.sight, one.id, wording)
    if isinstance(described, Troubled):
        return await page_of(panel, one, 422, trouble_words(panel._, described))
    return panel.redirect(f"/campaigns/{one.id}")


async def take_step(panel: PanelRequest) -> Response:
    one = await find(panel)
    wanted = panel.text("step")
    if one is None or wanted not in set(Step):
        return panel.not_found()
    moved = await panel.desks.campaigns.step(panel.caller.sight, one.id, Step(wanted))
    if isinstance(moved, Troubled):
        return await page_of(panel, await find(panel) or one, 409, trouble_words(panel._, moved))
    if wanted == Step.REMOVE:
        return panel.redirect("/campaigns", panel._("The campaign is removed. Its messages stay."))
    return panel.redirect(f"/campaigns/{one.id}")


# Results


async def export(panel: PanelRequest) -> Response:
    one = await find(panel)
    if one is None:
        return panel.not_found()
    return panel.csv(f"campaign-{one.id}.csv", result_rows(panel, one))


async def result_rows(panel: PanelRequest, one: Campaign) -> AsyncIterator[Iterable[object]]:
    """A line for each row of the file, with its cells and what became of it."""
    columns, words = one.settings.columns, refusal_words(panel._)
    account = panel.desks.directory().account(one.account_id)
    currency = account.currency if account is not None else ""
    yield ("line", "recipient", *columns, *BEHIND)
    async for portion in panel.desks.campaigns.results(one):
        for result in portion:
            yield result_row(result, len(columns), words, currency)


def result_row(result: RowResult, columns_count: int, words: dict[str, str], currency: str) -> Iterable[object]:
    row = result.row
    cells = (*row.values, *[""] * columns_count)[:columns_count]
    if row.message_id and result.state is not None:
        return (
            row.line,
            row.recipient,
            *cells,
            result.state.value,
            "",
            result.segments,
            format_micros(result.price_micros),
            currency,
            str(row.message_id),
            moment_cell(made_ms(row.message_id)),
            moment_cell(result.sent_ms),
            moment_cell(result.final_ms),
        )
    state = "refused" if row.refusal else "waiting"
    refusal = words.get(row.refusal, row.refusal.replace("_", " "))
    return (row.line, row.recipient, *cells, state, refusal, "", "", "", "", "", "", "")


def state_words(_: Translate) -> dict[CampaignState, str]:
    return {
        CampaignState.LOADING: _("loading"),
        CampaignState.DRAFT: _("draft"),
        CampaignState.CHECKING: _("checking"),
        CampaignState.READY: _("ready"),
        CampaignState.RUNNING: _("running"),
        CampaignState.PAUSED: _("paused"),
        CampaignState.CANCELLING: _("cancelling"),
        CampaignState.CANCELLED: _("cancelled"),
        CampaignState.DONE: _("done"),
        CampaignState.REMOVING: _("removed"),
    }


ROUTES = (
    PanelRoute("/campaigns", show, Permission.READ_MESSAGES, title="Campaigns", group="Messages"),
    PanelRoute("/campaigns/{campaign_id:int}", show_one, Permission.READ_MESSAGES),
    PanelRoute("/campaigns/{campaign_id:int}/progress", show_progress, Permission.READ_MESSAGES),
    PanelRoute("/campaigns/{campaign_id:int}/results", export, Permission.READ_MESSAGES),
    PanelRoute("/campaigns/{campaign_id:int}/text", describe, Permission.SEND, method="POST"),
    PanelRoute("/campaigns/{campaign_id:int}/step", take_step, Permission.SEND, method="POST"),
)
