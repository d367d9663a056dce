"""API keys over real sockets, and our own client with them."""

import asyncio
from pathlib import Path

import pytest

import chappe.client
from chappe.client import AsyncClient, Client, Refusal, RefusedError
from chappe.core.model import Secret, State
from chappe.core.people import EVERYTHING, OF_ACCOUNTS, Permission
from chappe.gateway.keys import FRESH_S, KEYS_MAX, KeyDesk
from chappe.store import schema
from gateway.middle import Time
from native.house import PHONE, House, house_in
from whole import all_are, eventually, rows, run


def test_a_key_is_told_once_and_kept_as_a_digest(tmp_path: Path) -> None:
    """Only whoever makes a key sees it: no list, no row and no log holds more than how it begins."""

    async def story() -> str:
        async with house_in(tmp_path) as house:
            made = (await house.ask("alice", "POST", "/keys", {"name": "shop", "scopes": ["messages:send"]})).body
            key: str = made["key"]
            assert key.startswith(made["hint"])
            assert len(key) > len(made["hint"]) + 30
            listed = await house.ask("alice", "GET", "/keys")
            assert key not in listed.octets.decode()
            assert key not in repr(rows(house.app.settings, schema.api_key))
            house.proofs["shop"] = f"Bearer {key}"
            assert (await house.send("shop")).status == 202
            assert (await house.ask("shop", "GET", "/balance")).code == "missing_scope"

            async def is_used() -> bool:
                found = (await house.ask("alice", "GET", "/keys")).body["items"]
                return bool(next(one for one in found if one["id"] == made["id"])["used_at"])

            await eventually(is_used)
            return key

    keys: list[str] = []

    async def whole() -> None:
        keys.append(await story())

    run(whole())
    for path in tmp_path.iterdir():
        assert not path.is_file() or keys[0].encode() not in path.read_bytes()


def test_an_ended_key_is_good_nowhere(tmp_path: Path) -> None:
    """A key that was ended, by its owner alone, is refused at once here and within a second elsewhere."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            time = Time()
            desk = house.app.desks.keys
            elsewhere = KeyDesk(store=house.app._store, directory=house.app._known, clock=time)
            secret = Secret(house.proofs["alice"].removeprefix("Bearer "))
            assert await elsewhere.authenticate(secret, "") == await desk.authenticate(secret, "")
            listed = (await house.ask("alice", "GET", "/keys")).body["items"]
            [own] = [one["id"] for one in listed if one["name"] == "alice"]
            assert (await house.ask("bob", "DELETE", f"/keys/{own}")).status == 404
            assert (await house.ask("test", "DELETE", f"/keys/{own}")).status == 404
            assert (await house.ask("alice", "DELETE", f"/keys/{own}")).status == 204
            assert (await house.ask("alice", "GET", "/balance")).code == "unauthorised"
            time.now_s += FRESH_S + 0.01
            refused = await elsewhere.authenticate(secret, "")
            assert getattr(refused, "reason", None) is Refusal.UNAUTHORISED
            assert (await house.ask("alice's password", "DELETE", f"/keys/{own}")).status == 404

    run(story())


def test_what_is_no_key_is_not_made(tmp_path: Path) -> None:
    """A key has a name, a scope, and an owner who may have it."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            desk, alice = house.app.desks.keys, house.ids["alice"]
            for account_id, name, scopes, is_test, words in (
                (alice, "", OF_ACCOUNTS, False, "name"),
                (alice, "x\n", OF_ACCOUNTS, False, "printable"),
                (alice, "x", (), False, "scope"),
                (alice, "x", (Permission.READ_USERS,), False, "users:read"),
                (0, "x", (Permission.READ_USERS,), True, "test mode"),
                (999, "x", OF_ACCOUNTS, False, "no such account"),
            ):
                with pytest.raises(ValueError, match=words):
                    await desk.make(account_id, name, tuple(scopes), is_test)
            assert KEYS_MAX > 1
            assert len(await desk.list(EVERYTHING)) == 4

    run(story())


def test_a_password_is_guessed_slowly(tmp_path: Path) -> None:
    """Wrong passwords over Basic slow their network down, as in every dialect; wrong keys tell nothing."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            house.proofs["guess"] = "Basic YWxpY2U6d3Jvbmc="
            said = [await house.ask("guess", "GET", "/balance") for _ in range(6)]
            assert {one.status for one in said} == {401}
            assert "retry-after" in said[-1].headers
            for proof in ("Bearer", "Bearer x", "Bearer live_" + "y" * 43, "Basic !", "Digest x", "Basic OmE="):
                house.proofs["wrong"] = proof
                wrong = await house.ask("wrong", "GET", "/balance")
                assert (wrong.status, wrong.headers["www-authenticate"]) == (401, 'Bearer realm="chappe"'), proof

    run(story())


def test_our_own_client_speaks_it_by_default(tmp_path: Path) -> None:
    """With a key alone, or a name and a password, the client sends, asks and is refused in our own language."""

    async def story(house: House) -> None:
        url = f"http://127.0.0.1:{house.app.http_port}"
        key = house.proofs["alice"].removeprefix("Bearer ")

        def in_a_thread() -> str:
            with Client(url=url, password=key) as client:
                sent = client.send([PHONE, "447700900124"], "Привет 😀", originator="ACME", reference="r")
                assert client.balance().amount_micros == 99_980_000
                with pytest.raises(RefusedError) as caught:
                    client.send(PHONE, "x", originator="EVIL")
                assert caught.value.reason is Refusal.BAD_ORIGINATOR
                with pytest.raises(RefusedError) as caught:
                    client.status("17")
                assert caught.value.reason is Refusal.NOT_FOUND
            one = chappe.client.send(PHONE, "x", url=url, login="alice", password="correct horse")
            assert one.tickets[0].segments == 1
            with pytest.raises(RefusedError) as caught:
                chappe.client.send(PHONE, "x", url=f"{url}/v1/", password="live_" + "x" * 43)
            assert caught.value.reason is Refusal.UNAUTHORISED
            return sent.tickets[1].reference

        reference = await asyncio.to_thread(in_a_thread)
        await all_are(house.app.settings, "delivered")
        async with AsyncClient(url=url, password=key) as client:
            report = await client.status(reference)
        assert (report.state, report.recipient, report.price_micros) == (State.DELIVERED, "447700900124", 10_000)
        await chappe.client.send_async(PHONE, "x", url=url, password=key)

    async def whole() -> None:
        async with house_in(tmp_path) as house:
            await story(house)

    run(whole())
