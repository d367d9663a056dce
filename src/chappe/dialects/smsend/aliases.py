"""Sender names that an account asks for, and that the operator approves (4.10)."""

from chappe.core.centre import Created, Done, Refusal, Refused
from chappe.core.phonebook import Alias, Aliases, DeleteAlias, FetchAlias, ListAliases, PutAlias
from chappe.dialects.base import NorthFlow, json_response
from chappe.dialects.smsend.asking import EMPTY, Asked, flag_of, id_of, page_of, paged, refuse, string_of
from chappe.dialects.smsend.facts import ALIAS_FIELDS, CONTACT_TYPES


def create(asked: Asked) -> NorthFlow:
    """All eleven keys are needed; the answer tells the id and the state."""
    alias = read_alias(asked.body.get("alias"))
    if isinstance(alias, Refused):
        return refuse(alias)
    outcome = yield PutAlias(asked.account, alias)
    if not isinstance(outcome, Created):
        return refuse(outcome)
    kept = yield FetchAlias(asked.account, outcome.ids[0])
    return json_response({"result": "OK", **alias_row(kept)}) if isinstance(kept, Alias) else refuse(kept)


def read_alias(written: object) -> Alias | Refused:
    if not isinstance(written, dict):
        return Refused(Refusal.BAD_REQUEST, "alias is missing")
    texts = {name: (string_of(written.get(name)) or "").strip() for name in ALIAS_FIELDS}
    missing = next((name for name, text in texts.items() if not text), None)
    if missing is None and texts["contact-type"] not in CONTACT_TYPES:
        missing = "contact-type"
    if missing is not None:
        return Refused(Refusal.BAD_REQUEST, missing)
    sender = texts.pop("alias")
    return Alias(sender=sender, details=texts)


def show(asked: Asked) -> NorthFlow:
    alias = yield FetchAlias(asked.account, id_of(asked, "id"))
    return json_response({"result": "OK", **alias_row(alias)}) if isinstance(alias, Alias) else refuse(alias)


def delete(asked: Asked) -> NorthFlow:
    outcome = yield DeleteAlias(asked.account, id_of(asked, "id"))
    return EMPTY if isinstance(outcome, Done) else refuse(outcome)


def list_all(asked: Asked) -> NorthFlow:
    page = page_of(asked)
    if isinstance(page, Refused):
        return refuse(page)
    aliases = yield ListAliases(
        account=asked.account,
        hides_unapproved=flag_of(asked.field("hide-not-approved")),
        offset=page.offset,
        count_max=page.size,
    )
    if not isinstance(aliases, Aliases):
        return refuse(aliases)
    return paged(page, aliases.total, "aliases", [alias_row(alias) for alias in aliases.items])


def alias_row(alias: Alias) -> dict[str, object]:
    texts = {"alias": alias.sender} | {name: alias.details.get(name, "") for name in ALIAS_FIELDS if name != "alias"}
    return {"id": str(alias.id), **texts, "alias-state": int(alias.state)}
