"""What an account keeps here besides messages: contacts and groups, blocked numbers, sender names, one-time codes and
subaccounts. The rows of the method table (4.3) about them; each noun has a module of its own."""

from chappe.dialects.base import NorthFlow, json_response
from chappe.dialects.smsend import aliases, blacklist, contacts, pins, subaccounts
from chappe.dialects.smsend.asking import Asked, Route


def list_landings(asked: Asked) -> NorthFlow:
    """There are no landing pages here."""
    yield from ()
    return json_response([])


ROUTES: tuple[Route, ...] = (
    Route("POST", "contact", contacts.create, body=dict),
    Route("POST", "contacts", contacts.create, body=dict),
    Route("GET", "contacts", contacts.list_all),
    Route("GET", "contacts/fields", contacts.list_fields),
    Route("GET", "contact/{id}", contacts.show),
    Route("POST", "group", contacts.create_group, body=dict),
    Route("PUT", "group/{id}", contacts.change_group, body=dict),
    Route("DELETE", "group/{id}", contacts.delete_group),
    Route("GET", "groups", contacts.list_groups),
    Route("POST", "group/{gid}/contact/{cid}", contacts.join),
    Route("DELETE", "group/{gid}/contact/{cid}", contacts.leave),
    Route("POST", "contact/add_to_blacklist/{id}", blacklist.add_contact),
    Route("POST", "contact/add_to_blacklist_batch", blacklist.add_contacts, body=list),
    Route("POST", "contacts/add_to_blacklist", blacklist.add_number),
    Route("POST", "blacklist/sms", blacklist.add_number),
    Route("POST", "blacklist/smsbatch", blacklist.add_numbers, body=list),
    Route("GET", "blacklist/sms", blacklist.list_blocked),
    Route("POST", "alias", aliases.create, body=dict),
    Route("GET", "alias", aliases.list_all),
    Route("GET", "alias/{id}", aliases.show),
    Route("DELETE", "alias/{id}", aliases.delete),
    Route("POST", "2fa/request", pins.request, body=dict),
    Route("POST", "2fa/verify", pins.verify, body=dict),
    Route("GET", "subaccounts", subaccounts.list_all),
    Route("POST", "subaccount", subaccounts.create, body=dict),
    Route("GET", "subaccount/{id}", subaccounts.show),
    Route("PUT", "subaccount/{id}", subaccounts.change, body=dict),
    Route("PUT", "subaccount/{id}/changepwd", subaccounts.change_password, body=dict),
    Route("POST", "subaccount/{id}/changepwd", subaccounts.change_password, body=dict),
    Route("GET", "subaccount/{id}/credit", subaccounts.show_credit),
    Route("POST", "subaccount/{id}/credit", subaccounts.move_credit, body=dict),
    Route("GET", "subaccount/{id}/purchase", subaccounts.list_purchases),
    Route("POST", "subaccount/{id}/purchase", subaccounts.create_purchase, body=dict),
    Route("DELETE", "subaccount/{id}/purchase/{pid}", subaccounts.delete_purchase),
    Route("GET", "landings", list_landings),
)
