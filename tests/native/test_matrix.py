"""Every endpoint of the table, asked by everybody for alice's things: who may, may; nobody else learns anything.

The rows are read off the table, so that an endpoint that is new is asked too; what it is asked about stands in FILLED
and BODIES, and a test fails where it does not.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chappe.core.people import OF_ACCOUNTS, OPERATING, Permission
from chappe.listeners.native import endpoint_rows
from chappe.listeners.native.asking import Endpoint
from native.house import PHONE, House, house_in
from whole import run

LATER = (datetime.now(UTC) + timedelta(days=2)).isoformat()
SPAN = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
BODIES: dict[str, Any] = {
    "POST /messages": {"to": PHONE, "text": "Hello"},
    "POST /messages/preview": {"to": PHONE, "text": "Hello"},
    "PATCH /messages/{message_id}": {"scheduled_at": LATER},
    "POST /numbers": {"number": "447700900099"},
    "PATCH /numbers/{number}": {"forward_url": ""},
    "POST /callbacks/replay": SPAN,
    "POST /accounts": {"name": "alice", "password": "long enough"},
    "PATCH /accounts/{account_id}": {"is_active": True},
    "POST /keys": {"name": "new", "scopes": ["messages:read"]},
    "POST /simulator/fates": {"recipient": PHONE, "fate": "late"},
    "POST /simulator/inbound": {"originator": PHONE, "recipient": "447700900001", "text": "Hello"},
}
# What alice has, by the names of path parameters; `code` is nobody's.
FILLED = ("message_id", "number", "callback_id", "account_id", "key_id", "code")
SECRETS = ("SECRET TEXT", "447700900321", "wh-owner")


def rows_of_table() -> Iterator[tuple[Endpoint, str]]:
    for endpoint, _ in endpoint_rows():
        yield endpoint, f"{endpoint.method} {endpoint.path}"


def test_every_endpoint_has_its_row() -> None:
    """Whatever stands in the table of endpoints is asked in the matrix: its body and its path are known."""
    for endpoint, name in rows_of_table():
        assert (endpoint.body is None) == (name not in BODIES), name
        assert set(re.findall(r"\{(\w+)\}", endpoint.path)) <= set(FILLED), name
        assert endpoint.is_public == (endpoint.permission is None), name


async def family(house: House) -> dict[str, str]:
    """Alice has a parent, a sibling and a child; tells the names of her things."""
    desks = house.app.desks

    async def child_of(parent: str, name: str) -> None:
        body = {"name": name, "password": "long enough", "credit": "1"}
        made = await house.ask(parent, "POST", "/accounts", body)
        assert made.status == 201, made
        await house.key(name, name)

    await child_of("alice", "parent's own child")
    house.proofs["parent"] = house.proofs["alice"]  # whose things are asked for below are a child's
    await child_of("alice", "sibling")
    house.proofs["owner"] = house.proofs["parent's own child"]
    house.proofs["stranger"] = house.proofs["bob"]
    house.proofs["stranger's password"] = house.proofs["bob's password"]
    sent = await house.ask(
        "owner",
        "POST",
        "/messages",
        {
            "to": "447700900321",
            "text": "SECRET TEXT",
            "scheduled_at": LATER,
            "callback_url": "http://127.0.0.1:47999/wh-owner",
        },
    )
    assert sent.status == 202, sent
    keys = (await house.ask("owner", "GET", "/keys")).body["items"]
    account_id = house.ids["parent's own child"]
    await desks.keys.make(account_id, "read only", (Permission.READ_MESSAGES,), False)
    return {
        "message_id": sent.body["id"],
        "number": "447700900099",
        "callback_id": "1",
        "account_id": str(account_id),
        "key_id": keys[0]["id"],
        "code": "no_funds",
    }


def filled(path: str, names: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: names[found[1]], path)


def test_nobody_sees_or_changes_what_is_not_theirs(tmp_path: Path) -> None:
    """Sibling, parent, stranger and nobody get 401, 403 or 404, never a word of it, and change nothing."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            names = await family(house)
            before = await house.ask("owner", "GET", f"/messages/{names['message_id']}")
            for endpoint, name in rows_of_table():
                path = filled(endpoint.path, names)
                body = BODIES.get(name)
                nobody = await house.ask("", endpoint.method, path, body)
                assert nobody.status == (endpoint.status if endpoint.is_public else 401), name
                wrong = await house.ask("", endpoint.method, path, body, authorization="Bearer live_" + "x" * 43)
                assert wrong.status == (endpoint.status if endpoint.is_public else 401), name
                for who in ("sibling", "stranger", "stranger's password", "parent"):
                    said = await house.ask(who, endpoint.method, path, body)
                    assert said.status < 500, (who, name, said)
                    words = said.octets.decode()
                    assert not any(secret in words for secret in SECRETS), (who, name)
                    if "{" in endpoint.path and not endpoint.is_public:
                        is_parents = who == "parent" and "account_id" in endpoint.path
                        expected = {200} if is_parents else {403} if endpoint.permission in OPERATING else {404}
                        assert said.status in expected, (who, name, said)
            after = await house.ask("owner", "GET", f"/messages/{names['message_id']}")
            assert after.octets == before.octets
            assert (await house.ask("owner", "GET", "/balance")).status == 200

    run(story())


def test_a_key_without_the_scope_may_not(tmp_path: Path) -> None:
    """A key with every scope but the one an endpoint needs is refused there, and the scope is named."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            names = await family(house)
            for permission in Permission:
                operator = permission in OPERATING
                scopes = (frozenset(Permission) if operator else OF_ACCOUNTS) - {permission}
                await house.key(f"without {permission}", "" if operator else "alice", scopes, is_test=not operator)
            for endpoint, name in rows_of_table():
                if endpoint.permission is None:
                    continue
                said = await house.ask(
                    f"without {endpoint.permission}", endpoint.method, filled(endpoint.path, names), BODIES.get(name)
                )
                assert (said.status, said.code) == (403, "missing_scope"), name
                assert str(endpoint.permission) in said.body["detail"] or endpoint.permission is Permission.SIMULATE

    run(story())


def test_operators_see_everybody_and_act_as_nobody(tmp_path: Path) -> None:
    """An operator's key looks at and changes anybody's messages, but what is an account's own act is refused."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            names = await family(house)
            for endpoint, name in rows_of_table():
                if endpoint.method != "GET" and "message" not in endpoint.path:
                    continue
                said = await house.ask("operator", endpoint.method, filled(endpoint.path, names), BODIES.get(name))
                assert said.status in (200, 202) or said.code in ("forbidden", "too_late"), (name, said)
            listed = (await house.ask("operator", "GET", "/messages")).body["items"]
            assert [one["text"] for one in listed] == ["SECRET TEXT"]
            assert (await house.send("operator")).code == "forbidden"

    run(story())


def test_a_key_makes_no_key_that_can_do_more(tmp_path: Path) -> None:
    """Nobody gives what they have not: neither a scope, nor a live key out of a test key, nor an operator's."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            await house.key("clerk", "alice", {Permission.CHANGE_KEYS, Permission.READ_KEYS})
            wish = {"name": "x", "scopes": ["keys:read", "messages:send"]}
            assert (await house.ask("clerk", "POST", "/keys", wish)).code == "forbidden"
            for scope in OPERATING:
                said = await house.ask("alice", "POST", "/keys", {"name": "x", "scopes": [scope]})
                assert said.code == "forbidden", scope
            assert (
                await house.ask("test", "POST", "/keys", {"name": "x", "scopes": ["keys:read"]})
            ).code == "forbidden"
            mine = (await house.ask("test", "GET", "/keys")).body["items"]
            assert [one["is_test"] for one in mine] == [True]

    run(story())
