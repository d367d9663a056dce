"""One-time codes: sent to a phone, and asked for again (4.3)."""

from chappe.core.centre import Accepted, Refusal, Refused
from chappe.core.model import Account, Service
from chappe.core.phonebook import PinVerdict, RequestPin, VerifyPin
from chappe.dialects.base import NorthFlow, json_response
from chappe.dialects.smsend.asking import Asked, number_of, refuse, string_of
from chappe.dialects.smsend.facts import PIN_MARK, PIN_MINUTES, PIN_MINUTES_MAX, TEXTS_MAX, TRIES_LEFT
from chappe.dialects.smsend.national import international
from chappe.dialects.smsend.sending import types_of


def request(asked: Asked) -> NorthFlow:
    """`2fa/request`: a text with the mark where the code goes, or before the code; 60 minutes long where no other time
    is asked for."""
    recipient, sender, text = (string_of(asked.body.get(name)) for name in ("recipient", "senderName", "messageBody"))
    minutes = number_of(asked.body.get("expiry") or PIN_MINUTES)
    if not recipient or not recipient.strip():
        return refuse(Refused(Refusal.BAD_RECIPIENT))
    if sender is None or text is None or minutes is None or not 0 < minutes <= PIN_MINUTES_MAX:
        return refuse(Refused(Refusal.BAD_REQUEST, "senderName, messageBody or expiry"))
    if len(text) > TEXTS_MAX[False, False]:
        return refuse(Refused(Refusal.TEXT_TOO_LONG))
    verdict = yield RequestPin(
        account=asked.account,
        recipient=international(recipient, asked.account.country),
        originator=sender.strip(),
        text=text,
        mark=PIN_MARK,
        lifetime_s=minutes * 60,
        service=best_service(asked.account),
    )
    return json_response({"result": "OK"}) if isinstance(verdict, Accepted) else refuse(verdict)


def verify(asked: Asked) -> NorthFlow:
    """`2fa/verify`: 200 also for a wrong code, with the tries that are left; none for one that is not under way."""
    recipient, pin = (string_of(asked.body.get(name)) for name in ("recipient", "pin"))
    if not recipient or not pin:
        return refuse(Refused(Refusal.BAD_REQUEST, "recipient and pin are needed"))
    outcome = yield VerifyPin(
        account=asked.account, recipient=international(recipient, asked.account.country), pin=pin.strip()
    )
    if isinstance(outcome, Refused) and outcome.reason is Refusal.NOT_FOUND:
        outcome = PinVerdict(is_right=False, tries_left=0)
    if not isinstance(outcome, PinVerdict):
        return refuse(outcome)
    if outcome.is_right:
        return json_response({"result": "OK", "status": "OK"})
    return json_response({"result": "OK", "status": "ERROR", TRIES_LEFT: outcome.tries_left})


def best_service(account: Account) -> Service:
    """The best class that the account has a word for: codes are waited for (ours)."""
    offered = set(types_of(account).values())
    return next((service for service in Service if service in offered), Service.STANDARD)
