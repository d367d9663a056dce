"""voip-communications.net against the whole gateway: what is sent is found again in its summary, its chat and its list
of scheduled messages, and can be deleted from there."""

from pathlib import Path
from typing import Any

import msgspec

from chappe.core.model import State
from chappe.dialects.base import FORM_HEADERS, HttpRequest, encode_form
from dialects.wrong_requests import ALICE, basic
from whole import all_are, ask, audit, run, serving, settings_in, wire

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = "44"
carriers = ["sim"]
service = "standard"
price = "0.0125"

[[route]]
prefix = "44"
carriers = ["sim"]
service = "economy"
price = "0.0090"

[[account]]
name = "alice"
password = "correct horse"
balance = "1.00"
senders = ["ACME"]
numbers = ["447700900001"]
timezone = "Europe/Rome"
"""
A_DAY = {"from": "447700900001", "to": "447700900002,447700900003,12", "msg": "Hello", "delivery_date": "+1 day"}


async def call(port: int, method: str, **fields: str) -> Any:
    """One call of alice's; the JSON that answers it."""
    headers = (*FORM_HEADERS, basic(ALICE))
    path = f"/api-v2/index.php/sms/{method}"
    answer = await ask(port, wire(HttpRequest(method="POST", path=path, headers=headers, body=encode_form(fields))))
    assert answer.status == 200
    return msgspec.json.decode(answer.body)


def test_what_is_scheduled_is_listed_deleted_and_not_charged(tmp_path: Path) -> None:
    """Two of three numbers are kept for tomorrow, nothing is charged, and one of the two is taken back alone."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, WORLD) as app:
            log = (await call(app.http_port, "send", **A_DAY))["send_log"]
            assert [(one["code"], one["status"], one["to"]) for one in log] == [
                (200, "SCHEDULED", "447700900002"),
                (200, "SCHEDULED", "447700900003"),
                (400, "FAILED", "12"),
            ]
            assert [one["sale"] for one in log] == [0.0125, 0.0125, 0]
            assert audit(settings)["reserved_micros"] == 0
            kept = {one["smsid"] for one in log[:2]}
            listed = (await call(app.http_port, "scheduled"))["scheduled"]
            assert {one["smsid"] for one in listed} == kept
            assert {one["delivery_date"] for one in listed} == {log[0]["delivery_date"]}
            deleted = log[1]["smsid"]
            assert await call(app.http_port, "delete", smsid=deleted) == {"deleted": [deleted]}
            listed = (await call(app.http_port, "scheduled"))["scheduled"]
            assert [one["smsid"] for one in listed] == [log[0]["smsid"]]
            assert "error" in await call(app.http_port, "delete", smsid=deleted)

    run(story())


def test_what_was_sent_is_in_the_summary_and_the_chat(tmp_path: Path) -> None:
    """Each class is charged its own price, and both messages are found by the ids that were told."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, WORLD) as app:
            both = [
                (await call(app.http_port, "send", to="447700900002", msg="Hello", **sender))["send_log"][0]
                for sender in ({}, {"from": "447700900001"})
            ]
            assert [(one["type"], one["sale"], one["from"]) for one in both] == [
                ("BULKSMS", 0.009, "ACME"),
                ("2WAYSMS", 0.0125, "447700900001"),
            ]
            await all_are(settings, State.DELIVERED)
            summary = (await call(app.http_port, "summary", page="0"))["summary"]
            assert [(one["sms_id"], one["sms_status"], one["sms_country"]) for one in summary] == [
                (one["smsid"], "DELIVERED", "GB") for one in reversed(both)
            ]
            assert (await call(app.http_port, "summary", page="1"))["summary"] == []
            chat = (await call(app.http_port, "chat", internal="447700900001", external="+447700900002"))["chat"]
            assert [(one["sms_id"], one["sms_inout"], one["sms_msg"]) for one in chat] == [
                (both[1]["smsid"], "OUT", "Hello")
            ]
            assert audit(settings)["revenue_micros"] == 21_500

    run(story())
