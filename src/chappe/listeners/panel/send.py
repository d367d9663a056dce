"""Sending: one message, many numbers that are pasted, or a file with a column for each variable."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.responses import Response

from chappe.core.campaigns import FILE_BYTES_MAX, NAME_MAX, Campaign, Trouble, Troubled
from chappe.core.centre import Accepted, Refused
from chappe.core.ids import RANDOM_BITS, read_id
from chappe.core.model import Account, Service, Submission
from chappe.core.people import Permission
from chappe.gateway.campaign_file import ENCODINGS, Choices
from chappe.gateway.campaigns import PASTED_SEPARATORS, Wording
from chappe.gateway.explaining import Explanation
from chappe.listeners.panel.frame import FORM_BODY_MAX, Invalid, PanelRequest, PanelRoute
from chappe.listeners.panel.listing import accounts_in_sight, instant_ms

FEW_MAX = 50  # recipients of one message; more are a campaign, with a dry run
ACCOUNTS_MAX = 1_000  # to choose from
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
Translate = Callable[[str], str]


class Draft(NamedTuple):
    """What the form says."""

    account: Account | None
    recipients: tuple[str, ...]
    submission: Submission


# One message


async def show_one(panel: PanelRequest) -> Response:
    return one_page(panel, first_id=panel.desks.campaigns.new_id())


async def send_one(panel: PanelRequest) -> Response:
    first_id = read_id(panel.text("first_id")) or panel.desks.campaigns.new_id()
    draft, errors = read_draft(panel)
    if errors or draft.account is None or panel.text("preview"):
        status = 422 if errors and not panel.text("preview") else 200
        return one_page(panel, status, first_id=first_id, errors=errors, explanation=explained(panel, draft))
    if len(draft.recipients) > FEW_MAX:
        return await send_to_many(panel, draft.account)
    verdict = await panel.desks.campaigns.send(draft.account, draft.submission, id_of(first_id, draft))
    if isinstance(verdict, Accepted):
        if len(draft.recipients) == 1:
            return panel.redirect(f"/messages/{verdict.tickets[0].reference}", panel._("The message is accepted."))
        return panel.redirect(f"/messages?id={verdict.reference}", panel._("The messages are accepted."))
    error = refusal_words(panel._).get(verdict.reason.value) if isinstance(verdict, Refused) else None
    if error is None:
        error = panel.refused(verdict) if isinstance(verdict, Refused) else panel._("Nobody knows what became of it.")
    return one_page(panel, 422, first_id=first_id, error=error, explanation=explained(panel, draft))


def id_of(form_id: int, draft: Draft) -> int:
    """The id of what a form says: sent twice it is one submission; changed in between, as after a browser's way back,
    it is another."""
    said = repr((form_id, draft.account.id if draft.account is not None else 0, draft.submission))
    digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return form_id >> RANDOM_BITS << RANDOM_BITS | int.from_bytes(digest) % (1 << RANDOM_BITS)


async def preview(panel: PanelRequest) -> Response:
    """What would become of what is in the form: a piece of the page for htmx, which asks while somebody types."""
    draft, _ = read_draft(panel)
    if not panel.is_partial:
        first_id = read_id(panel.text("first_id")) or panel.desks.campaigns.new_id()
        return one_page(panel, first_id=first_id, explanation=explained(panel, draft))
    return panel.render("send_preview.html", **preview_values(panel, explained(panel, draft)))


def one_page(panel: PanelRequest, status: int = 200, **context: object) -> Response:
    values: dict[str, Any] = {"errors": {}, "error": "", "explanation": None, **context}
    explanation = values.pop("explanation")
    return panel.render(
        "send_one.html",
        status,
        form=panel.form,
        **sender_choices(panel),
        **preview_values(panel, explanation),
        **values,
    )


def preview_values(panel: PanelRequest, explanation: object) -> dict[str, Any]:
    words = refusal_words(panel._)
    return {
        "explanation": explanation,
        "refused": lambda reason: words.get(reason.value) or panel._(reason.value.replace("_", " ")),
    }


def explained(panel: PanelRequest, draft: Draft) -> Explanation | None:
    if draft.account is None or not draft.submission.text:
        return None
    few = draft.recipients[:FEW_MAX]
    submission = Submission(
        recipients=few,
        text=draft.submission.text,
        originator=draft.submission.originator,
        service=draft.submission.service,
        takes_part=True,
    )
    return panel.desks.campaigns.explain(draft.account, submission)


def read_draft(panel: PanelRequest) -> tuple[Draft, dict[str, str]]:
    """What the form says, and what is missing in it."""
    errors: dict[str, str] = {}
    account = chosen_account(panel)
    if account is None:
        errors["account"] = panel._("There is no such account.")
    recipients = tuple(one for part in PASTED_SEPARATORS.split(panel.raw("recipients")) if (one := part.strip()))
    if not recipients:
        errors["recipients"] = panel._("Who is it for?")
    text = panel.raw("text").replace("\r\n", "\n")
    if not text.strip():
        errors["text"] = panel._("There is no text.")
    scheduled_ms = read_time(panel, errors)
    submission = Submission(
        recipients=recipients,
        text=text,
        originator=panel.text("originator"),
        service=read_service(panel),
        scheduled_ms=scheduled_ms or None,
    )
    return Draft(account, recipients, submission), errors


def read_time(panel: PanelRequest, errors: dict[str, str]) -> int:
    try:
        scheduled_ms = instant_ms(panel, panel.text("scheduled"), 0)
    except Invalid as invalid:
        errors["scheduled"] = str(invalid)
        return 0
    if scheduled_ms and scheduled_ms <= panel.desks.clock.now_ms():
        errors["scheduled"] = panel._("This time has passed.")
        return 0
    return scheduled_ms


def read_service(panel: PanelRequest) -> Service:
    wanted = panel.text("service")
    return Service(wanted) if wanted in set(Service) else Service.STANDARD


# Whose message it is


def choosable_accounts(panel: PanelRequest) -> list[Account]:
    directory = panel.desks.directory()
    return [one for one in accounts_in_sight(panel) if directory.live_account(one.id) is not None]


def chosen_account(panel: PanelRequest) -> Account | None:
    """The account that the form names, where they see it; else their own, or the only one they see."""
    name = panel.text("account")
    found = choosable_accounts(panel)
    if name:
        return next((one for one in found if name in (str(one.id), one.name)), None)
    own = panel.caller.account
    if own is not None and any(one.id == own.id for one in found):
        return own
    return found[0] if len(found) == 1 else None


def sender_choices(panel: PanelRequest) -> dict[str, Any]:
    """Accounts to send as, and what may stand as the sender."""
    accounts = choosable_accounts(panel)
    account = chosen_account(panel) or panel.caller.account or next(iter(accounts), None)
    return {
        "accounts": [(one.id, one.name) for one in accounts[:ACCOUNTS_MAX]] if len(accounts) > 1 else [],
        "account_id": account.id if account is not None else 0,
        "senders": [*account.senders, *account.numbers] if account is not None else [],
        "services": [(one.value, panel._(one.value)) for one in Service],
        "zone": panel.zone.key,
        "few_max": FEW_MAX,
    }


# Many numbers


async def show_numbers(panel: PanelRequest) -> Response:
    return panel.render("send_numbers.html", form=panel.form, error="", **sender_choices(panel))


async def send_numbers(panel: PanelRequest) -> Response:
    draft, errors = read_draft(panel)
    if errors or draft.account is None:
        return panel.render("send_numbers.html", 422, form=panel.form, error="", errors=errors, **sender_choices(panel))
    return await send_to_many(panel, draft.account)


async def send_to_many(panel: PanelRequest, account: Account) -> Response:
    """Pasted numbers as a campaign, which is checked at once."""
    desk = panel.desks.campaigns
    name = panel.text("name") or panel._("Pasted numbers")
    loaded = await desk.load_numbers(account, panel.caller.name, name, panel.raw("recipients"))
    if isinstance(loaded, Troubled):
        return numbers_fault(panel, loaded)
    wording = Wording(
        text=panel.raw("text").replace("{", "{{").replace("}", "}}"),  # one text for all: braces are braces
        originator=panel.text("originator"),
        service=read_service(panel),
        scheduled_ms=read_time(panel, {}),
    )
    described = await desk.describe(panel.caller.sight, loaded.id, wording)
    if isinstance(described, Troubled):
        await desk.discard(panel.caller.sight, loaded.id)
        return numbers_fault(panel, described)
    return panel.redirect(f"/campaigns/{loaded.id}")


def numbers_fault(panel: PanelRequest, troubled: Troubled) -> Response:
    return panel.render(
        "send_numbers.html", 422, form=panel.form, error=trouble_words(panel._, troubled), **sender_choices(panel)
    )


# A file


async def show_file(panel: PanelRequest) -> Response:
    return file_page(panel)


async def send_file(panel: PanelRequest) -> Response:
    account, file = chosen_account(panel), panel.file("file")
    if account is None:
        return file_page(panel, 422, errors={"account": panel._("There is no such account.")})
    if file is None:
        return file_page(panel, 422, errors={"file": panel._("Choose a file.")})
    choices = Choices(
        delimiter=DELIMITERS.get(panel.text("delimiter"), ""),
        encoding=panel.text("encoding"),
        recipient_column=panel.text("column"),
        country=account.country,
    )
    file_name = (file.filename or "").replace("\\", "/").rpartition("/")[2][:NAME_MAX]
    loaded = await panel.desks.campaigns.load(
        account, panel.caller.name, panel.text("name"), file.file, choices, file_name
    )
    if isinstance(loaded, Campaign):
        return panel.redirect(f"/campaigns/{loaded.id}")
    return file_page(panel, 422, errors={"file": trouble_words(panel._, loaded)})


def file_page(panel: PanelRequest, status: int = 200, **context: object) -> Response:
    return panel.render(
        "send_file.html",
        status,
        form=panel.form,
        encodings=[("", panel._("find it out")), *((one, one) for one in ENCODINGS)],
        delimiters=[("", panel._("find it out")), *((name, panel._(name)) for name in delimiter_names(panel._))],
        mebibytes_max=FILE_BYTES_MAX >> 20,
        **sender_choices(panel),
        **context,
    )


def delimiter_names(_: Translate) -> dict[str, str]:
    return {"comma": _("comma"), "semicolon": _("semicolon"), "tab": _("tab"), "bar": _("bar")}


# Words


def refusal_words(_: Translate) -> dict[str, str]:
    """Why a row or a message is not sent, by the words of refusals and problems."""
    return {
        "bad_recipient": _("This is no number."),
        "duplicate": _("An earlier row has the same number."),
        "blocked": _("The recipient wants no messages."),
        "no_route": _("No carrier goes there."),
        "incomplete": _("A column that the text names is empty."),
        "uneven": _("The row has more cells than the file has columns."),
        "empty_text": _("The text is empty."),
        "text_too_long": _("The text is too long."),
        "bad_originator": _("The account may not use this sender."),
        "no_funds": _("There is not enough money."),
        "no_account": _("The account was ended."),
        "overloaded": _("The gateway has too much to do. Try again later."),
        "other": _("It cannot be sent."),
    }


def trouble_words(_: Translate, troubled: Troubled) -> str:
    """What is wrong with a file or a text, with its line."""
    words = {
        Trouble.EMPTY: _("There are no rows."),
        Trouble.SPREADSHEET: _("This is a spreadsheet. Save it as CSV, then choose that file."),
        Trouble.TOO_MANY_ROWS: _("There are more than %(limit)s rows."),
        Trouble.TOO_MANY_BYTES: _("The file has more than %(limit)s octets."),
        Trouble.TOO_MANY_COLUMNS: _("There are more than %(limit)s columns."),
        Trouble.CELL_TOO_LONG: _("A cell has more than %(limit)s characters."),
        Trouble.ROW_TOO_LONG: _("A row has more than %(limit)s characters."),
        Trouble.OPEN_QUOTE: _("A quotation mark opens a cell that never ends."),
        Trouble.NOT_ENCODED: _("There are octets that %(word)s has not. Save it as UTF-8 or choose its encoding."),
        Trouble.UNKNOWN_ENCODING: _("There is no encoding %(word)s."),
        Trouble.UNKNOWN_DELIMITER: _("Cells cannot be parted by this."),
        Trouble.NO_RECIPIENT_COLUMN: _("No column has the numbers of the recipients. Name it."),
        Trouble.NO_TEXT: _("There is no text."),
        Trouble.TEXT_TOO_LONG: _("The text has more than %(limit)s characters."),
        Trouble.UNKNOWN_COLUMN: _("There is no column “%(word)s”."),
        Trouble.OPEN_BRACE: _("A brace %(word)s stands alone. Write it twice if it is meant to be sent."),
        Trouble.BAD_ORIGINATOR: _("The account may not use this sender."),
        Trouble.BAD_TIME: _("This time has passed, or is too far ahead."),
        Trouble.TOO_MUCH_KEPT: _("Campaigns of this account keep %(limit)s rows already. Remove some first."),
        Trouble.WRONG_STATE: _("It has moved on meanwhile."),
        Trouble.AWAY: _("The gateway has too much to do. Try again later."),
    }  # fmt: skip
    said = words[troubled.reason] % {"limit": troubled.limit, "word": troubled.word}
    return _("Line %(line)s: %(trouble)s") % {"line": troubled.line, "trouble": said} if troubled.line else said


ROUTES = (
    PanelRoute("/send", show_one, Permission.SEND, title="Send", group="Messages"),
    PanelRoute("/send", send_one, Permission.SEND, method="POST"),
    PanelRoute("/send/preview", preview, Permission.SEND, method="POST"),
    PanelRoute("/send/numbers", show_numbers, Permission.SEND),
    PanelRoute("/send/numbers", send_numbers, Permission.SEND, method="POST"),
    PanelRoute("/send/file", show_file, Permission.SEND),
    PanelRoute("/send/file", send_file, Permission.SEND, method="POST", body_max=FILE_BYTES_MAX + FORM_BODY_MAX),
)
