"""The native API over real sockets: what is asked is done, and what is wrong is named."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chappe.clock import SystemClock
from chappe.listeners.native.limits import Limits
from chappe.store import schema
from native.house import PHONE, house_in
from whole import all_are, eventually, rows, run

LATER = (datetime.now(UTC) + timedelta(days=2)).isoformat()
SOONER = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def test_one_text_to_many_and_who_gets_none_is_told_why(tmp_path: Path) -> None:
    """One wrong recipient keeps no other from being sent to, each has its entry, and the prices are the charge."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            said = await house.send("alice", to=["+44 7700 900 123", "nobody", "447700900124"], reference="r-1")
            assert said.status == 202
            told = said.body
            assert (told["accepted_count"], told["refused_count"], told["reference"]) == (2, 1, "r-1")
            assert [one["recipient"] for one in told["messages"]] == [PHONE, "nobody", "447700900124"]
            assert [(one["refusal"] or {}).get("code") for one in told["messages"]] == [None, "bad_recipient", None]
            assert told["price"] == {"amount": "0.02", "currency": "EUR"}
            await all_are(house.app.settings, "delivered")
            [first, _, third] = told["messages"]
            for one in (first, third):
                found = (await house.ask("alice", "GET", f"/messages/{one['id']}")).body
                assert (found["state"], found["originator"], found["text"]) == ("delivered", "ACME", "Hello")
                assert found["submission_id"] == told["id"] == first["id"]
            left = (await house.ask("alice", "GET", "/balance")).body
            assert left == {"balance": {"amount": "99.98", "currency": "EUR"}}
            lines = (await house.ask("alice", "GET", "/ledger")).body
            assert lines["closing"]["amount"] == "99.98"

    run(story())


def test_all_or_nothing(tmp_path: Path) -> None:
    """With `all_or_nothing` one wrong recipient refuses all, and nothing is kept or charged."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            said = await house.send("alice", to=[PHONE, "nobody"], all_or_nothing=True)
            assert (said.status, said.code) == (422, "bad_recipient")
            assert rows(house.app.settings, schema.message) == []

    run(story())


def test_each_their_own_text(tmp_path: Path) -> None:
    """Texts of their own and variables in the common one arrive with whom they are for, in any script."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            messages = [
                {"to": "447700900101", "variables": {"name": "Анна", "code": "{12}"}},
                {"to": "447700900102", "text": "braces {name} stay"},
                {"to": "447700900103", "variables": {"code": "3", "name": "千代 😀"}},
            ]
            body = {"messages": messages, "text": "{name}: {code} {{fixed}}"}
            assert (await house.ask("alice", "POST", "/messages", body)).status == 202
            texts = {row["recipient"][-1]: row["text"] for row in rows(house.app.settings, schema.message)}
            assert texts == {"1": "Анна: {12} {fixed}", "2": "braces {name} stay", "3": "千代 😀: 3 {fixed}"}

    run(story())


WRONG: list[tuple[str, object, int, str, str]] = [
    # what, body, status, code, where
    ("no JSON", b"{", 400, "bad_request", ""),
    ("not UTF-8", b'{"to":"1","text":"\xff"}', 400, "bad_request", ""),
    ("a list", [], 400, "bad_request", ""),
    ("an unknown field", {"to": PHONE, "text": "x", "txet": "y"}, 400, "bad_request", "/txet"),
    ("a number for a text", {"to": PHONE, "text": 5}, 400, "bad_request", "/text"),
    ("nobody", {"text": "x"}, 400, "bad_request", "/to"),
    ("nobody at all", {"to": [], "text": "x"}, 400, "bad_request", "/to"),
    ("nothing", {"to": PHONE}, 400, "bad_request", "/text"),
    ("an empty text", {"to": PHONE, "text": ""}, 422, "empty_text", ""),
    ("a number that is none", {"to": "12", "text": "x"}, 422, "bad_recipient", ""),
    ("too long", {"to": PHONE, "text": "x" * 39_900}, 422, "text_too_long", ""),
    ("a sender that is not theirs", {"to": PHONE, "text": "x", "originator": "EVIL"}, 422, "bad_originator", ""),
    ("an unknown class", {"to": PHONE, "text": "x", "service": "gold"}, 400, "bad_request", "/service"),
    ("no time zone", {"to": PHONE, "text": "x", "scheduled_at": "2027-01-01T00:00:00"}, 400, "", "/scheduled_at"),
    ("beyond all time", {"to": PHONE, "text": "x", "scheduled_at": "9999-12-31T00:00:00Z"}, 400, "", "/scheduled_at"),
    ("no time to live", {"to": PHONE, "text": "x", "validity_s": 0}, 400, "bad_request", "/validity_s"),
    ("no URL", {"to": PHONE, "text": "x", "callback_url": "ftp://x"}, 400, "bad_request", "/callback_url"),
    (
        "a name without a value",
        {"text": "{name}", "messages": [{"to": PHONE, "text": "x"}, {"to": PHONE, "variables": {"nam": "x"}}]},
        400,
        "bad_request",
        "/messages/1/variables",
    ),
    ("both ways", {"to": PHONE, "text": "x", "messages": [{"to": PHONE}]}, 400, "bad_request", "/to"),
    ("a deep field", {"messages": [{"to": PHONE, "text": "x", "foo": 1}]}, 400, "bad_request", "/messages/0/foo"),
]


GROWING = [
    {"text": "{a}" * 10_000, "messages": [{"to": PHONE, "variables": {"a": "x" * 100}}] * 300},
    {"text": "{a|}" * 10_000, "messages": [{"to": PHONE, "variables": {"a": ""}}] * 300},
    {"text": "x" * 40_000, "messages": [{"to": PHONE}] * 300},
    {"text": "x" * 40_000, "messages": [{"to": PHONE, "variables": {f"a{each}": ""}} for each in range(300)]},
]


@pytest.mark.parametrize("body", GROWING)
def test_a_small_request_asks_for_no_endless_work(tmp_path: Path, body: dict[str, object]) -> None:
    """Texts that variables, or a common text, make larger than any body are refused before they are made."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            for path in ("/messages", "/messages/preview"):
                said = await house.ask("alice", "POST", path, body)
                assert (said.status, said.code) == (413, "too_large")
            assert rows(house.app.settings, schema.message) == []

    run(story())


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    """Each wrong request is a problem with its code and the field that is wrong, and leaves no row and no charge."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            for what, body, status, code, where in WRONG:
                said = await house.ask("alice", "POST", "/messages", body)
                told = said.body
                assert (said.status, told["code"]) == (status, code or "bad_request"), (what, told)
                assert told["type"] == f"/v1/problems/{told['code']}"
                assert [one["pointer"] for one in told.get("errors", [{"pointer": ""}])] == [where], (what, told)
            assert rows(house.app.settings, schema.message) == []
            form = await house.ask("alice", "POST", "/messages", b"to=1&text=x", content_type="text/plain")
            assert (form.status, form.code) == (415, "unsupported_media_type")
            huge = await house.ask("alice", "POST", "/messages", b" " * (8 << 20) + b"{}")
            assert (huge.status, huge.code) == (413, "too_large")
            assert (await house.ask("alice", "PUT", "/messages")).headers["allow"] == "POST, GET, HEAD"
            assert (await house.ask("alice", "GET", "/nowhere")).code == "not_found"
            assert (await house.ask("alice", "GET", "/balance?x=1")).body["errors"][0]["pointer"] == "x"
            kind = (await house.ask("", "GET", "/problems/no_funds")).body
            assert kind == {"code": "no_funds", "title": "There is too little money", "status": 402}

    run(story())


def test_too_little_money_refuses_all(tmp_path: Path) -> None:
    """Where the money does not reach for all, nothing is sent and the problem says so."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            said = await house.send("bob", to=[f"4477009{n:05}" for n in range(101)], originator="Bob")
            assert (said.status, said.code) == (402, "no_funds")
            assert rows(house.app.settings, schema.message) == []

    run(story())


def test_a_message_that_waits_can_change(tmp_path: Path) -> None:
    """A scheduled message gets another time or text, is taken back alone, and its money comes back."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            sent = (await house.send("alice", to=[PHONE, "447700900124"], scheduled_at=LATER)).body
            first, second = (one["id"] for one in sent["messages"])
            moved = await house.ask("alice", "PATCH", f"/messages/{first}", {"scheduled_at": SOONER})
            assert (moved.status, moved.body["text"]) == (200, "Hello")
            assert moved.body["due_at"][:19] == SOONER[:19]
            longer = await house.ask("alice", "PATCH", f"/messages/{first}", {"text": "x" * 161})
            assert (longer.status, longer.code) == (400, "bad_request")
            other = await house.ask("alice", "PATCH", f"/messages/{first}", {"text": "Other", "scheduled_at": LATER})
            assert (other.body["text"], other.body["due_at"][:19]) == ("Other", LATER[:19])
            assert (await house.ask("alice", "PATCH", f"/messages/{first}", {})).code == "bad_request"
            assert (await house.ask("alice", "DELETE", f"/messages/{first}")).body == {"cancelled_count": 1}
            assert (await house.ask("alice", "DELETE", f"/messages/{first}")).code == "too_late"
            states = {row["id"]: row["state"] for row in rows(house.app.settings, schema.message)}
            assert states == {int(first): "cancelled", int(second): "scheduled"}
            assert (await house.ask("alice", "PATCH", f"/messages/{first}", {"scheduled_at": LATER})).code == "too_late"
            assert (await house.ask("alice", "GET", "/balance")).body["balance"]["amount"] == "99.99"
            story_told = (await house.ask("alice", "GET", f"/messages/{first}/story")).body
            assert "cancelled" in [one["kind"] for one in story_told["chapters"]]

    run(story())


def test_lists_come_in_pages(tmp_path: Path) -> None:
    """Following the cursor, or the Link header, gives every message once, newest first; filters narrow it."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            numbers = [f"44770090{n:04}" for n in range(200, 207)]
            await house.send("alice", to=numbers, reference="seven & more")
            await house.send("alice", reference="another")
            await all_are(house.app.settings, "delivered")
            found, path = [], "/messages?limit=3&reference=seven%20%26%20more"
            while path:
                page = await house.ask("alice", "GET", path)
                found += [one["recipient"] for one in page.body["items"]]
                assert len(page.body["items"]) <= 3
                link = page.headers.get("link", "")
                assert bool(link) == (page.body["next_cursor"] is not None)
                path = link.removeprefix("</v1").removesuffix('>; rel="next"')
            assert found == numbers[::-1]
            for filters, count in (
                ("recipient=447700900203", 1),
                ("recipient=44770090020*", 7),
                ("state=delivered&state=sent", 8),
                ("state=cancelled", 0),
                ("originator=ACME", 8),
                (f"from={LATER[:10]}T00:00:00Z", 0),
            ):
                page = await house.ask("alice", "GET", f"/messages?{filters}")
                assert len(page.body["items"]) == count, filters
            for wrong in ("limit=0", "limit=501", "cursor=x", "state=x", "from=yesterday", "limit=1&limit=2"):
                assert (await house.ask("alice", "GET", f"/messages?{wrong}")).code == "bad_request", wrong

    run(story())


def test_a_preview_keeps_nothing(tmp_path: Path) -> None:
    """A preview tells alphabet, segments, price, routes and refusals, and leaves no row."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            body = {"to": [PHONE, "x"], "text": "Добрый день " * 10}
            told = (await house.ask("alice", "POST", "/messages/preview", body)).body
            assert (told["segments"], told["price"]["amount"]) == (2, "0.02")
            [text] = told["texts"]
            assert (text["alphabet"], len(text["pieces"]), text["segments_in_latin"]) == ("UCS-2", 2, 1)
            assert "U+0414" in text["why"]
            first, second = told["messages"]
            assert (first["carriers"], first["country"], second["refusal"]["code"]) == (["sim"], "GB", "bad_recipient")
            assert [(one["is_taken"], one["prefix"]) for one in first["routes"]] == [(True, "")]
            assert rows(house.app.settings, schema.message) == []

    run(story())


def test_test_keys_live_in_a_world_of_their_own(tmp_path: Path) -> None:
    """What a test key sends costs nothing, meets the fate that was chosen, and is seen by test keys alone."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            fate = {"recipient": PHONE, "fate": "undeliverable"}
            assert (await house.ask("alice", "POST", "/simulator/fates", fate)).code == "missing_scope"
            assert (await house.ask("test", "POST", "/simulator/fates", fate)).status == 201
            assert (await house.ask("test", "POST", "/simulator/fates", fate | {"fate": "x"})).code == "bad_request"
            tested = (await house.send("test")).body
            assert tested["price"]["amount"] == "0.00"
            real = (await house.send("alice")).body
            await all_are(house.app.settings, "delivered", "undeliverable")
            seen = {who: (await house.ask(who, "GET", "/messages")).body["items"] for who in ("test", "alice")}
            assert [(one["id"], one["state"]) for one in seen["test"]] == [(tested["id"], "undeliverable")]
            assert [(one["id"], one["state"]) for one in seen["alice"]] == [(real["id"], "delivered")]
            assert (await house.ask("test", "GET", f"/messages/{real['id']}")).status == 404
            assert (await house.ask("alice", "GET", f"/messages/{tested['id']}")).status == 404
            assert len((await house.ask("alice's password", "GET", "/messages")).body["items"]) == 2
            phone = {"originator": PHONE, "recipient": "447700900001", "text": "<b>Привет</b>"}
            assert (await house.ask("test", "POST", "/simulator/inbound", phone)).status == 201
            [inbound] = (await house.ask("test", "GET", "/inbound")).body["items"]
            assert (inbound["originator"], inbound["text"]) == (PHONE, "<b>Привет</b>")
            foreign = await house.ask("test", "POST", "/simulator/inbound", phone | {"recipient": "447700900999"})
            assert foreign.status == 404
            assert (await house.ask("test", "POST", "/numbers", {"country": "GB"})).code == "forbidden"

    run(story())


def test_numbers_are_rented_forwarded_and_given_back(tmp_path: Path) -> None:
    """A number is offered, rented once for a month's price, forwarded, and given back."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            offers = (await house.ask("alice", "GET", "/numbers/offers?country=gb")).body["items"]
            assert [one["number"] for one in offers] == ["447700900077"]
            wish = {"number": "447700900077"}
            first = await house.ask("alice", "POST", "/numbers", wish, idempotency_key="rent")
            assert (first.status, first.body["is_rented"]) == (201, True)
            again = await house.ask("alice", "POST", "/numbers", wish, idempotency_key="rent")
            assert (again.octets, again.headers["idempotency-replayed"]) == (first.octets, "true")
            assert (await house.ask("bob", "POST", "/numbers", wish)).status == 404
            own = (await house.ask("alice", "GET", "/numbers")).body["items"]
            assert {one["number"]: one["is_rented"] for one in own} == {"447700900077": True, "447700900001": False}
            there = {"forward_url": "https://example.org/in"}
            assert (await house.ask("alice", "PATCH", "/numbers/447700900077", there)).body["forward_url"]
            assert (await house.ask("bob", "PATCH", "/numbers/447700900077", there)).status == 404
            assert (await house.ask("bob", "DELETE", "/numbers/447700900077")).status == 404
            assert (await house.ask("alice", "DELETE", "/numbers/447700900077")).status == 204
            assert (await house.ask("alice", "GET", "/balance")).body["balance"]["amount"] == "99.00"

    run(story())


def test_subaccounts_are_their_parents_business(tmp_path: Path) -> None:
    """A subaccount is made with credit, changed and ended by its parent alone, and money moves both ways."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            wish = {"name": "child", "password": "long enough", "credit": "5"}
            assert (await house.ask("alice", "POST", "/accounts", wish | {"credit": "101"})).code == "no_funds"
            made = await house.ask("alice", "POST", "/accounts", wish)
            assert (made.status, made.body["balance"]["amount"]) == (201, "5.00")
            assert (await house.ask("alice", "POST", "/accounts", wish)).code == "forbidden"
            path = f"/accounts/{made.body['id']}"
            less = await house.ask("alice", "PATCH", path, {"credit": "-2.5", "name": "son"})
            assert (less.body["balance"]["amount"], less.body["name"]) == ("2.50", "son")
            assert (await house.ask("alice", "PATCH", path, {"credit": "1000"})).code == "no_funds"
            assert (await house.ask("bob", "PATCH", path, {"name": "mine"})).status == 404
            names = [one["name"] for one in (await house.ask("alice", "GET", "/accounts")).body["items"]]
            assert names == ["alice", "son"]
            assert len((await house.ask("operator", "GET", "/accounts")).body["items"]) == 3
            ended = await house.ask("alice", "PATCH", path, {"is_active": False})
            assert ended.body["is_active"] is False

    run(story())


def test_callbacks_are_made_again(tmp_path: Path) -> None:
    """A callback that failed is listed, and made again alone or with all of its span."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            await house.send("alice")
            await all_are(house.app.settings, "delivered")

            async def is_listed() -> bool:
                return bool((await house.ask("alice", "GET", "/callbacks")).body["items"])

            await eventually(is_listed)
            [*_, one] = (await house.ask("alice", "GET", "/callbacks")).body["items"]
            assert (one["dialect"], one["kind"]) == ("chappe", "receipt")
            assert (await house.ask("bob", "POST", f"/callbacks/{one['id']}/replay")).status == 404
            span = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
            assert (await house.ask("bob", "POST", "/callbacks/replay", span)).body["replayed_count"] == 0
            assert (await house.ask("alice", "POST", "/callbacks/replay", span)).status == 202

    run(story())


def test_a_limit_is_told_and_kept(tmp_path: Path) -> None:
    """Answers say how many requests are left; beyond the limit an account is told when to come back, others go on."""

    async def story() -> None:
        async with house_in(tmp_path, api_rate=2.0) as house:
            said = [await house.ask("alice", "GET", "/balance") for _ in range(4)]
            assert said[0].headers["ratelimit-policy"] == '"requests";q=2;w=1'
            assert said[0].headers["ratelimit"] == '"requests";r=1;t=1'
            limited = [one for one in said if one.status == 429]
            assert {one.code for one in limited} == {"throttled"}
            assert int(limited[0].headers["retry-after"]) >= 1
            assert (await house.ask("bob", "GET", "/balance")).status == 200

    run(story())


def test_a_bucket_fills_again() -> None:
    """Tokens come back with time, never more than there were."""

    class Time(SystemClock):
        now_s = 0.0

        def monotonic_s(self) -> float:
            return self.now_s

    time = Time()
    limits = Limits(time, 3.0)
    assert [limits.take((1, 0))[0] for _ in range(4)] == [True, True, True, False]
    time.now_s = 0.4
    assert [limits.take((1, 0))[0] for _ in range(2)] == [True, False]
    time.now_s = 100.0
    assert [limits.take((1, 0))[0] for _ in range(4)] == [True, True, True, False]
    assert all(Limits(time, 0).take((1, 0))[0] for _ in range(1_000))


@pytest.mark.parametrize("path", ["", "/openapi.json"])
def test_the_way_in_is_open(tmp_path: Path, path: str) -> None:
    """The index and the document are told to anybody."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            assert (await house.ask("", "GET", path)).status == 200
            assert (await house.ask("", "HEAD", path)).octets == b""

    run(story())
