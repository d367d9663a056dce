"""The inbox of developers: phones of simulated carriers, what they got and wrote, and buttons to play them with.

A conversation is looked at like on a phone, asks for news every two seconds where scripts run, and works as a plain
page where they do not. What phones and applications write is shown as it is, never as markup.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.responses import Response

from chappe.core.centre import Refused
from chappe.core.codes import span_of_code
from chappe.core.fates import NAMED, Fate
from chappe.core.model import Account, Coding, State
from chappe.core.people import Permission
from chappe.dialects.examples import curl, first_request
from chappe.dialects.known import known_dialects
from chappe.gateway.requests import KeptRequest
from chappe.gateway.simulator import Bubble, reply_number
from chappe.listeners.panel.frame import PanelRequest, PanelRoute

EXAMPLE_NUMBER = "447700900123"
PHONE_MAX = 32  # characters
REQUESTS_SHOWN_MAX = 50
NOT_CHANGED = 204
TICKS: dict[State, str] = {
    State.SCHEDULED: "◷",
    State.QUEUED: "◷",
    State.SENDING: "◷",
    State.SENT: "✓",
    State.DELIVERED: "✓✓",
}
FAILED = "✕"
# English; templates translate them.
FATE_TITLES: dict[str, str] = {
    "delivered": "delivered",
    "undeliverable": "undeliverable",
    "refused": "refused by the carrier",
    "no_answer": "the carrier does not answer",
    "expired": "expired",
    "throttled": "throttled, then delivered",
    "early_receipt": "the receipt comes before the answer",
    "receipt_twice": "the receipt comes twice",
    "late": "the receipt comes late",
    "no_receipt": "never a receipt",
    "answered_by_phone": "delivered, and the phone answers",
}


class Piece(NamedTuple):
    """A text around its one-time code; without one all of it is `before`."""

    before: str
    code: str = ""
    after: str = ""


class Shown(NamedTuple):
    """A bubble as it is drawn."""

    bubble: Bubble
    text: Piece
    tick: str
    account: str


class Line(NamedTuple):
    """A line to paste, of a dialect."""

    name: str
    command: str


def pieces_of(bubble: Bubble) -> Piece:
    span = span_of_code(bubble.text) if bubble.is_out and bubble.coding is not Coding.BINARY else None
    if span is None:
        return Piece(bubble.text)
    return Piece(bubble.text[: span[0]], bubble.text[slice(*span)], bubble.text[span[1] :])


def shown(panel: PanelRequest, bubbles: Sequence[Bubble]) -> list[Shown]:
    directory = panel.desks.directory()
    names = {one.account_id: directory.account(one.account_id) for one in bubbles}
    is_one = len(names) == 1 and panel.caller.account is not None
    return [
        Shown(
            bubble=one,
            text=pieces_of(one),
            tick=TICKS.get(one.state, FAILED) if one.state is not None else "",
            account="" if is_one else name_of(names[one.account_id]),
        )
        for one in bubbles
    ]


def name_of(account: Account | None) -> str:
    return account.name if account is not None else ""


def digest_of(*what: object) -> str:
    return hashlib.blake2b(repr(what).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


async def show(panel: PanelRequest) -> Response:
    """All phones, and how to send the first message where there is none."""
    phones = await panel.desks.simulator.phones(panel.caller.sight)
    digest, current = digest_of(phones), panel.query.get("phone", "")[:PHONE_MAX]
    if panel.is_partial and panel.query.get("seen") == digest:
        return panel.finish(Response(status_code=NOT_CHANGED))
    template = "inbox_phones.html" if panel.is_partial else "inbox.html"
    return panel.render(
        template,
        phones=shown(panel, phones),
        phone=current if panel.is_partial else "",
        phones_digest=digest,
        lines=[] if phones else lines_of(panel),
        may_play=may_play(panel),
        numbers=numbers_of(panel, []),
    )


async def show_phone(panel: PanelRequest) -> Response:
    """One conversation."""
    phone = panel.request.path_params["phone"]
    bubbles = await panel.desks.simulator.conversation(panel.caller.sight, phone)
    if not bubbles or len(phone) > PHONE_MAX:
        return panel.not_found()
    fates = fates_of(panel, bubbles)
    digest = digest_of(bubbles, fates)
    if panel.is_partial and panel.query.get("seen") == digest:
        return panel.finish(Response(status_code=NOT_CHANGED))
    context: dict[str, Any] = {
        "phone": phone,
        "bubbles": shown(panel, bubbles),
        "digest": digest,
        "fates": [FATE_TITLES[one] for one in fates],
        "has_requests": bool(panel.desks.requests.keeps_all),
    }
    if panel.is_partial:
        return panel.render("inbox_bubbles.html", **context)
    phones = await panel.desks.simulator.phones(panel.caller.sight)
    return panel.render(
        "inbox.html",
        **context,
        phones=shown(panel, phones),
        phones_digest=digest_of(phones),
        lines=[],
        may_play=may_play(panel),
        numbers=numbers_of(panel, bubbles),
        fate_choices=[(name, panel._(title)) for name, title in FATE_TITLES.items()],
        requests=await requests_of(panel, bubbles),
    )


def may_play(panel: PanelRequest) -> bool:
    return panel.caller.may(Permission.SIMULATE)


def fates_of(panel: PanelRequest, bubbles: Sequence[Bubble]) -> list[str]:
    """The names of what was chosen for the next messages to this phone, of each account in the conversation."""
    chosen: list[Fate] = []
    for account_id in dict.fromkeys(one.account_id for one in bubbles):
        own = panel.desks.simulator.waiting_fates(account_id, bubbles[0].phone)
        chosen += [one for one in own if one not in chosen]
    return [name_of_fate(one) for one in chosen]


def name_of_fate(fate: Fate) -> str:
    return next((name for name, one in NAMED.items() if one == fate), "late")


def numbers_of(panel: PanelRequest, bubbles: Sequence[Bubble]) -> list[str]:
    """The numbers that a phone can write to, the likeliest first."""
    directory = panel.desks.directory()
    if panel.caller.sight.account_ids is None:
        seen = [one for one in directory.accounts_by_name.values() if one.numbers]
    else:
        found = (directory.live_account(each) for each in sorted(panel.caller.sight.account_ids))
        seen = [one for one in found if one is not None]
    likely = []
    for one in reversed(bubbles):
        account = directory.live_account(one.account_id)
        if account is not None:
            likely.append(reply_number(account, one.other))
    everything = [*likely, *(number for one in seen for number in one.numbers)]
    return [one for one in dict.fromkeys(everything) if one][:100]


async def requests_of(panel: PanelRequest, bubbles: Sequence[Bubble]) -> list[KeptRequest]:
    """What led to the last message, as it came."""
    last = next((one for one in reversed(bubbles) if one.is_out), None)
    if last is None:
        return []
    kept = await panel.desks.requests.of_submission(last.submission_id)
    return [one for one in kept if panel.caller.sight.sees(one.account_id)]


async def show_requests(panel: PanelRequest) -> Response:
    """The latest requests, refused ones too; or those that led to one submission."""
    wanted = panel.number("submission")
    book, sight = panel.desks.requests, panel.caller.sight
    if wanted:
        found = await book.of_submission(wanted)
        kept = [one for one in found if sight.sees(one.account_id)]
    else:
        kept = await book.latest(sight, panel.number("before"), REQUESTS_SHOWN_MAX)
    older = kept[-1].id if not wanted and len(kept) == REQUESTS_SHOWN_MAX else 0
    return panel.render("inbox_requests.html", requests=kept, older=older, submission=wanted, keeps_all=book.keeps_all)


def lines_of(panel: PanelRequest) -> list[Line]:
    """A line of each dialect that sends the first message here."""
    login, password = ("demo", "demo") if panel.desks.is_demo else ("LOGIN", "PASSWORD")
    return [
        Line(one.name, curl(first_request(one, panel.origin, login, password, EXAMPLE_NUMBER)))
        for one in known_dialects()
    ]


# Playing


async def write(panel: PanelRequest) -> Response:
    """The phone writes: an answer in its conversation, or the first message of another phone."""
    phone = panel.request.path_params.get("phone") or panel.text("phone").lstrip("+")
    desk = panel.desks.simulator
    if not desk.is_open(panel.caller) and not await desk.conversation(panel.caller.sight, phone):
        return panel.not_found()
    kept = await desk.receive(panel.caller.sight, phone, panel.text("to"), panel.raw("text").replace("\r\n", "\n"))
    back = f"/inbox/{phone}" if "phone" in panel.request.path_params else "/inbox"
    if isinstance(kept, Refused):
        return panel.redirect(back, panel._("The message was not taken: ") + panel.refused(kept), is_bad_news=True)
    return panel.redirect(f"/inbox/{phone.strip()}" if phone.isdigit() else "/inbox")


async def choose_fate(panel: PanelRequest) -> Response:
    """What the next message to this phone comes to."""
    phone = panel.request.path_params["phone"]
    fate = panel.text("fate")
    written = panel.text("late_s")
    late_s = float(written) if fate == "late" and written.isascii() and written.isdigit() else None
    bubbles = await panel.desks.simulator.conversation(panel.caller.sight, phone)
    if not bubbles:
        return panel.not_found()
    account_id = bubbles[-1].account_id if panel.caller.sight.account_ids is not None else 0
    chosen = panel.desks.simulator.set_fate(panel.caller.sight, phone, fate, late_s=late_s, account_id=account_id)
    if isinstance(chosen, Refused):
        return panel.redirect(f"/inbox/{phone}", panel.refused(chosen), is_bad_news=True)
    return panel.redirect(f"/inbox/{phone}")


ROUTES = (
    PanelRoute("/inbox", show, Permission.READ_MESSAGES, title="Inbox", group="Try"),
    PanelRoute("/inbox", write, Permission.SIMULATE, method="POST"),
    PanelRoute("/requests", show_requests, Permission.READ_MESSAGES, title="Requests", group="Try"),
    PanelRoute("/inbox/{phone}", show_phone, Permission.READ_MESSAGES),
    PanelRoute("/inbox/{phone}", write, Permission.SIMULATE, method="POST"),
    PanelRoute("/inbox/{phone}/fate", choose_fate, Permission.SIMULATE, method="POST"),
)
