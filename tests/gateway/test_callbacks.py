"""The outbox towards customers: what a reply means, when it is tried again, in what order, and that nothing is lost."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from structlog.testing import capture_logs

from chappe.core.centre import RETRY_AFTER_MAX_S, Refusal, Refused
from chappe.core.model import Account, Report, State, Submission
from chappe.dialects.base import Failure, HttpResponse, Reply
from chappe.dialects.smpp import SMPP
from chappe.gateway import callbacks
from chappe.gateway.callbacks import BACKOFF_S, Way, backoff_s, judge
from chappe.gateway.earlier import IN_HAND_S
from chappe.gateway.pace import FAILURES_MAX
from chappe.store import schema
from chappe.store.callbacks import CallbackDraft, DueCallback
from gateway.middle import PROOVL, SMSFOX, START_MS, YES, Middle, ScriptedCarrier, play

ALICE = "http://alice.example"
BOB = "http://bob.example"
DOWN = Failure(is_certain=True, detail="no connection")


def world(alice: str = "") -> str:
    return f"""
[[carrier]]
name = "first"
kind = "simulated"
window = 1000

[[route]]
prefix = ""
carriers = ["first"]
price = "0"

[[account]]
name = "alice"
password = "alices secret"
receipt_url = "{ALICE}/receipt"
receipt_dialect = "proovl"
{alice}

[[account]]
name = "bob"
password = "bobs secret"
receipt_url = "{BOB}/receipt"
receipt_dialect = "proovl"
"""


def status(number: int, retry_after: str = "") -> HttpResponse:
    return HttpResponse(status=number, headers=((b"Retry-After", retry_after.encode()),) if retry_after else ())


def due(attempt: int = 1, callback_id: int = 1000) -> DueCallback:
    return DueCallback(
        id=callback_id,
        account_id=1,
        message_id=5,
        kind="receipt",
        dialect="proovl",
        payload="{}",
        attempt=attempt,
        due_ms=START_MS + 30_000,
    )


# What a reply means: the state, and after how many seconds it comes due again

VERDICTS: list[tuple[str, Reply, int, str, float]] = [
    ("200", status(200), 1, "done", 0),
    ("204", status(204), 1, "done", 0),
    ("299", status(299), 13, "done", 0),
    ("a redirect is not followed", status(302), 1, "pending", 5),
    ("not found may be repaired", status(404), 2, "pending", 30),
    ("the receiver broke", status(500), 3, "pending", 120),
    ("no connection", DOWN, 4, "pending", 600),
    ("gone for good", status(410), 1, "disabled", 0),
    ("gone at the end", status(410), 13, "disabled", 0),
    ("come back in an hour", status(429, "3600"), 1, "pending", 3600),
    ("come back in an hour, when full", status(503, "3600"), 1, "pending", 3600),
    ("sooner than the back-off", status(503, "2"), 3, "pending", 120),
    ("another status asks for nothing", status(500, "3600"), 1, "pending", 5),
    ("a date", status(503, "Fri, 31 Dec 2027 23:59:59 GMT"), 1, "pending", 5),
    ("a number below zero", status(503, "-5"), 1, "pending", 5),
    ("digits of another script", status(503, "٣"), 1, "pending", 5),
    ("far too long", status(429, "999999999"), 1, "pending", RETRY_AFTER_MAX_S),
    ("longer than any number", status(429, "9" * 50), 1, "pending", 5),
    ("the last attempt but one", status(500), 12, "pending", 86_400),
    ("the last attempt", status(500), 13, "failed", 0),
]


@pytest.mark.parametrize("name, reply, attempt, state, wait_s", VERDICTS, ids=[row[0] for row in VERDICTS])
def test_what_a_reply_means(name: str, reply: Reply, attempt: int, state: str, wait_s: float) -> None:
    """Only 2xx is success, 410 is for good, Retry-After is obeyed for 429 and 503, all else follows the back-off."""
    result = judge(due(attempt), reply, START_MS)
    assert (result.state, result.due_ms - START_MS) == (state, wait_s * 1000)
    assert (result.id, result.attempt, result.is_tried) == (1000, attempt, True)


def test_the_back_off_lasts_three_days_and_parts_the_retries() -> None:
    """Thirteen attempts over more than three days; each wait is cut by up to a tenth, never to nothing."""
    assert sum(BACKOFF_S) > 3 * 86_400
    for attempt, planned_s in enumerate(BACKOFF_S, start=1):
        waits = {backoff_s(attempt, spread) for spread in range(200)}
        assert len(waits) == 100
        assert 0.9 * planned_s < min(waits) < max(waits) == planned_s


# With a store


async def sent(middle: Middle, number: str = "447700900123", account: str = "alice") -> str:
    """A message of an account that its carrier has taken; the carrier's reference for it."""
    submission = Submission(recipients=(number,), text="Hello", originator="ACME")
    await middle.result(middle.intake.submit(middle.account(account), submission, PROOVL))
    return f"first-{middle.rows(schema.message)[-1]['id']}"


def first_of(middle: Middle) -> ScriptedCarrier:
    carrier = middle.scripts["first"]
    carrier.always = YES
    return carrier


def words(middle: Middle, origin: str = ALICE) -> list[str]:
    called = [request for request in middle.customers.called if request.origin == origin]
    return [request.body.rpartition(b"status=")[2].decode() for request in called]


def test_a_change_is_told_at_once_in_the_customers_words(tmp_path: Path) -> None:
    """The callback leaves in the dialect and method the account chose, with its id and token, and closes its row."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        reference = await sent(middle)
        await middle.told("first", reference, State.DELIVERED)
        [first, second] = middle.customers.called
        message_id = middle.message()["id"]
        assert (first.method, first.url) == ("POST", f"{ALICE}/receipt")
        assert first.body.decode() == f"id={message_id}&token=alices+secret&status=Sent"
        assert second.body.decode() == f"id={message_id}&token=alices+secret&status=Delivered"
        assert middle.callback_states() == {"done": 2}

    play(tmp_path, script, world(), ["first"])


def test_a_customer_chooses_method_and_dialect(tmp_path: Path) -> None:
    """With GET the fields stand in the query; without a dialect of its own the submission's dialect is used."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        await middle.submit("447700900123", dialect=SMSFOX, originator="ACME", reference="77")
        assert middle.customers.called == []  # smsfox has no word for "sent"
        await middle.told("first", f"first-{middle.message()['id']}", State.DELIVERED)
        [request] = middle.customers.called
        assert (request.method, request.body) == ("GET", b"")
        assert request.url == f"{ALICE}/receipt?id=77&phone=447700900123&status=01"

    chosen = world('receipt_method = "GET"').replace('receipt_dialect = "proovl"\nreceipt_method', "receipt_method")
    play(tmp_path, script, chosen, ["first"])


def test_who_did_not_ask_is_not_called(tmp_path: Path) -> None:
    """Neither an account without a URL nor a submission that wants no callbacks leaves a row."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        await middle.submit("447700900123", wants_callbacks=False)
        assert middle.rows(schema.callback) == []
        middle.configure(world().replace(f'receipt_url = "{ALICE}/receipt"', ""))
        await middle.open()
        await middle.submit("447700900123")
        assert middle.rows(schema.callback) == []

    play(tmp_path, script, world(), ["first"])


def test_only_the_states_that_were_asked_for_are_told(tmp_path: Path) -> None:
    """Where a dialect lets submissions choose states, no other is told, in whatever words."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        asks_for_failures, asks_on_the_way = "2.5.0.1.1", "16.5.0.1.1"
        for memo in (asks_for_failures, asks_for_failures, asks_on_the_way):
            await middle.submit("447700900123", dialect=SMPP, originator="ACME", memo=memo)
        assert words(middle) == ["Sent"]
        ends = (State.DELIVERED, State.EXPIRED, State.DELIVERED)
        for message, state in zip(middle.rows(schema.message), ends, strict=True):
            await middle.told("first", f"first-{message['id']}", state)
        assert words(middle) == ["Sent", "Undelivered"]

    play(tmp_path, script, world(), ["first"])


def test_a_failed_callback_is_tried_again_until_it_succeeds(tmp_path: Path) -> None:
    """After 5 s, 30 s, 2 min ... the same callback is made again; success ends it."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(500), DOWN, status(302)]
        await sent(middle)
        assert words(middle) == ["Sent"]
        for passing_s, tries in ((3, 1), (5, 2), (20, 2), (15, 3), (90, 3), (40, 4), (600, 4)):
            await middle.pass_time(passing_s, step_s=1)
            assert len(words(middle)) == tries
        [row] = middle.rows(schema.callback)
        assert (row["state"], row["attempt"], row["status"]) == ("done", 4, 200)

    play(tmp_path, script, world(), ["first"])


def test_a_callback_is_given_up_after_days(tmp_path: Path) -> None:
    """A URL that never answers is tried thirteen times over three and a half days, then no more."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [DOWN] * 1000
        await sent(middle)
        for wait_s in BACKOFF_S:
            await middle.pass_time(wait_s + 2, step_s=max(1.0, wait_s / 4))
        row = middle.rows(schema.callback)[0]
        assert (row["state"], row["attempt"], row["detail"]) == ("failed", 13, "no connection")
        assert words(middle).count("Sent") == 13

    play(tmp_path, script, world(), ["first"])


def test_gone_disables_the_url(tmp_path: Path) -> None:
    """After 410 the account's URL is not called again, now or for later messages; other accounts are."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(410)]
        reference = await sent(middle)
        await middle.directory.refresh(middle.store)
        await middle.told("first", reference, State.DELIVERED)
        await sent(middle)
        await sent(middle, account="bob")
        await middle.pass_time(60, step_s=5)
        assert (words(middle), words(middle, BOB)) == (["Sent"], ["Sent"])
        assert middle.callback_states() == {"disabled": 3, "done": 1}

    play(tmp_path, script, world(), ["first"])


def test_what_waits_in_a_lane_is_not_made_once_its_url_is_gone(tmp_path: Path) -> None:
    """A callback that waited behind another is not made where the URL answered 410 meanwhile."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        hanging = middle.customers.hang(ALICE)
        reference = await sent(middle)
        await middle.told("first", reference, State.DELIVERED)
        await sent(middle, "447700900124")
        hanging[1].set_result(status(410))
        await middle.settle()
        await middle.directory.refresh(middle.store)
        hanging[0].set_result(status(200))
        await middle.settle()
        assert words(middle) == ["Sent", "Sent"]
        assert middle.callback_states() == {"done": 1, "disabled": 2}

    play(tmp_path, script, world(), ["first"])


def test_one_messages_callbacks_keep_their_order(tmp_path: Path) -> None:
    """`Delivered` never overtakes a `Sent` that has to be tried again, or a customer would end with the wrong one."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(500), status(500)]
        reference = await sent(middle)
        await middle.told("first", reference, State.DELIVERED)
        await middle.pass_time(60, step_s=0.5)
        assert words(middle) == ["Sent", "Sent", "Sent", "Delivered"]
        assert middle.callback_states() == {"done": 2}

    play(tmp_path, script, world(), ["first"])


def test_callbacks_under_way_keep_their_order(tmp_path: Path) -> None:
    """While a message's first callback has no answer, the second one waits in its lane."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        hanging = middle.customers.hang(ALICE)
        reference = await sent(middle)
        await middle.told("first", reference, State.DELIVERED)
        other = await sent(middle, "447700900124")
        await middle.told("first", other, State.DELIVERED)
        assert words(middle) == ["Sent", "Sent"]
        hanging[0].set_result(status(200))
        await middle.settle()
        assert words(middle) == ["Sent", "Sent", "Delivered"]

    play(tmp_path, script, world(), ["first"])


def test_a_dead_url_delays_nobody_else(tmp_path: Path) -> None:
    """With one customer's URL hanging, another's callbacks are made at once; at most 32 hang at a time."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        hanging = middle.customers.hang(ALICE)
        for index in range(50):
            await sent(middle, str(447_700_900_000 + index))
        assert 0 < len(hanging) <= callbacks.LANES
        await sent(middle, account="bob")
        assert words(middle, BOB) == ["Sent"]

    play(tmp_path, script, world(), ["first"])


def test_trouble_slows_only_its_own_url(tmp_path: Path) -> None:
    """A URL that fails is left alone for a while, whoever's turn it is; nothing of it counts as an attempt."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(503, "40")]
        await sent(middle)
        for index in range(30):
            await sent(middle, str(447_700_900_000 + index))
        await middle.pass_time(39, step_s=3)
        assert len(words(middle)) == 1
        await sent(middle, account="bob")
        assert words(middle, BOB) == ["Sent"]
        await middle.pass_time(20, step_s=1)
        assert len(words(middle)) == 32
        attempts = [row["attempt"] for row in middle.rows(schema.callback)]
        assert attempts == [2] + [1] * 31
        assert middle.callback_states() == {"done": 32}

    play(tmp_path, script, world(), ["first"])


def test_one_failure_alone_delays_nobody_else(tmp_path: Path) -> None:
    """After one callback that failed, and after four in a row, the next message's leaves at once."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(500)] * (FAILURES_MAX - 1)
        for index in range(FAILURES_MAX):
            await sent(middle, str(447_700_900_000 + index))
            assert len(words(middle)) == index + 1
        assert middle.callback_states() == {"pending": FAILURES_MAX - 1, "done": 1}

    play(tmp_path, script, world(), ["first"])


def test_a_named_time_is_obeyed_at_once(tmp_path: Path) -> None:
    """A receiver that asks for an hour is left alone for an hour, after its first answer that says so."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(429, "3600")]
        await sent(middle)
        await sent(middle, "447700900124")
        await middle.pass_time(3590, step_s=10)
        assert words(middle) == ["Sent"]
        await middle.pass_time(20)
        assert middle.callback_states() == {"done": 2}

    play(tmp_path, script, world(), ["first"])


def test_one_callback_finds_out_whether_a_url_is_back(tmp_path: Path) -> None:
    """When a dead URL's pause is over one callback goes there; the others wait until it is answered, in their order."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [DOWN] * FAILURES_MAX
        refs = [await sent(middle, str(447_700_900_000 + index)) for index in range(FAILURES_MAX)]
        refs += [await sent(middle, str(447_700_900_100 + index)) for index in range(20)]
        assert len(words(middle)) == FAILURES_MAX
        hanging = middle.customers.hang(ALICE)
        await middle.pass_time(25)
        assert len(hanging) == 1
        for reference in refs:
            await middle.told("first", reference, State.DELIVERED)
        assert len(hanging) == 1
        del middle.customers.hanging[ALICE]
        hanging[0].set_result(status(200))
        await middle.pass_time(60)
        assert middle.callback_states() == {"done": 2 * len(refs)}
        assert all(one.index("Sent") < one.index("Delivered") for one in told_by_message(middle).values())

    play(tmp_path, script, world(), ["first"])


def told_by_message(middle: Middle) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for request in middle.customers.called:
        fields = dict(parse_qsl(request.body.decode()))
        told.setdefault(fields["id"], []).append(fields["status"])
    return told


def test_what_is_put_off_is_not_overtaken(tmp_path: Path) -> None:
    """A `Sent` that waits for its URL is told before a `Delivered` that comes when the URL is back."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(503, "10")]
        await sent(middle)
        reference = await sent(middle, "447700900124")
        middle.time.now_s += 10  # nothing looks at what is due meanwhile
        await middle.told("first", reference, State.DELIVERED)
        await middle.pass_time(30)
        assert list(told_by_message(middle).values())[-1] == ["Sent", "Delivered"]

    play(tmp_path, script, world(), ["first"])


def test_a_dead_url_is_logged_once(tmp_path: Path) -> None:
    """The log tells when a URL goes down and when it is back, with account and host, never with its path."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(500)] * (FAILURES_MAX + 2)
        for index in range(FAILURES_MAX):
            await sent(middle, str(447_700_900_000 + index))
        await middle.pass_time(300, step_s=1)
        assert middle.callback_states() == {"done": FAILURES_MAX}

    with capture_logs() as lines:
        play(tmp_path, script, world(), ["first"])
    assert [line["event"] for line in lines] == ["callback_url_down", "callback_url_back"]
    assert {line["host"] for line in lines} == {"alice.example"}
    assert "/receipt" not in str(lines)


@pytest.mark.parametrize("reply, event", [(status(410), "callback_url_disabled"), (status(500), "callback_failed")])
def test_an_end_without_success_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, event: str
) -> None:
    """A URL that is gone for good, and a callback that is given up, leave one line each."""
    monkeypatch.setattr(callbacks, "BACKOFF_S", (5,))

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [reply] * 2
        await sent(middle)
        await middle.pass_time(20)

    with capture_logs() as lines:
        play(tmp_path, script, world(), ["first"])
    assert [(line["event"], line["host"]) for line in lines] == [(event, "alice.example")]


def test_what_memory_has_no_room_for_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for four, twenty callbacks all arrive in the end, and waiting did not use up their attempts."""
    monkeypatch.setattr(callbacks, "WAITING_PER_URL_MAX", 4)

    async def script(middle: Middle) -> None:
        first_of(middle)
        hanging = middle.customers.hang(ALICE)
        for index in range(20):
            await sent(middle, str(447_700_900_000 + index))
        assert len(hanging) <= middle.callbacks.waiting_count == 4
        del middle.customers.hanging[ALICE]
        for answer in hanging:
            answer.set_result(status(200))
        await middle.pass_time(6 * IN_HAND_S, step_s=2)
        assert len(words(middle)) == 20
        assert middle.callback_states() == {"done": 20}
        assert {row["attempt"] for row in middle.rows(schema.callback)} == {1}

    play(tmp_path, script, world(), ["first"])


def test_all_urls_together_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory full of one customer's callbacks another's wait in the table, and come when there is room."""
    monkeypatch.setattr(callbacks, "WAITING_MAX", 3)

    async def script(middle: Middle) -> None:
        first_of(middle)
        hanging = middle.customers.hang(ALICE)
        for index in range(5):
            await sent(middle, str(447_700_900_000 + index))
        await sent(middle, account="bob")
        assert words(middle, BOB) == []
        for answer in hanging:
            answer.set_result(status(200))
        del middle.customers.hanging[ALICE]
        await middle.pass_time(2 * IN_HAND_S, step_s=2)
        assert (len(words(middle)), words(middle, BOB)) == (5, ["Sent"])

    play(tmp_path, script, world(), ["first"])


def test_a_callback_nobody_can_write_ends(tmp_path: Path) -> None:
    """A payload that cannot be read is tried like any other, then given up; its lane and URL go on."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[ALICE] = [status(500)]
        await sent(middle)
        with middle.database.engine.begin() as connection:
            connection.execute(schema.callback.update().values(payload="rubbish"))
        for wait_s in BACKOFF_S:
            await middle.pass_time(wait_s + 2, step_s=max(1.0, wait_s / 4))
        row = middle.rows(schema.callback)[0]
        assert (row["state"], row["attempt"]) == ("failed", 13)
        await sent(middle)
        assert words(middle).count("Sent") == 2

    play(tmp_path, script, world(), ["first"])


def test_due_callbacks_of_an_earlier_life_go_on(tmp_path: Path) -> None:
    """What a stopped process had in hand is called by the next one, at once."""

    async def first_life(middle: Middle) -> None:
        first_of(middle)
        middle.customers.hang(ALICE)
        reference = await sent(middle)
        await middle.told("first", reference, State.DELIVERED)

    async def second_life(middle: Middle) -> None:
        await middle.pass_time(0.5)
        assert words(middle) == ["Sent", "Delivered"]
        assert middle.callback_states() == {"done": 2}

    play(tmp_path, first_life, world(), ["first"])
    play(tmp_path, second_life, world(), ["first"])


def test_draining_finishes_what_is_under_way(tmp_path: Path) -> None:
    """At the end the callback being made is finished, and those that wait stay in the table for the next process."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        hanging = middle.customers.hang(ALICE)
        reference = await sent(middle)
        await middle.told("first", reference, State.DELIVERED)
        drained = asyncio.create_task(middle.callbacks.drain(5.0))
        await middle.settle()
        assert not drained.done()
        hanging[0].set_result(status(200))
        await middle.settle()
        assert drained.done()
        assert words(middle) == ["Sent"]
        assert middle.callback_states() == {"done": 1, "pending": 1}

    play(tmp_path, script, world(), ["first"])


# Where callbacks go

OWN = "http://own.example"


async def sent_with(middle: Middle, account: str = "alice", **more: Any) -> None:
    submission = Submission(recipients=("447700900123",), text="Hello", originator="ACME", **more)
    await middle.result(middle.intake.submit(middle.account(account), submission, PROOVL))


def test_a_submission_may_name_its_own_url(tmp_path: Path) -> None:
    """Its callbacks go there instead of the account's URL, also where the account has none; others go as ever."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        await sent_with(middle, receipt_url=f"{OWN}/r?x=1")
        await sent_with(middle, account="carol", receipt_url=f"{OWN}/c")
        await sent_with(middle, account="carol")
        await sent_with(middle)
        urls = [request.url for request in middle.customers.called]
        assert urls == [f"{OWN}/r?x=1", f"{OWN}/c", f"{ALICE}/receipt"]
        assert middle.callback_states() == {"done": 3}

    play(tmp_path, script, world() + '[[account]]\nname = "carol"\npassword = "p"\n', ["first"])


def test_an_own_url_that_is_gone_ends_with_its_callbacks(tmp_path: Path) -> None:
    """A 410 from a submission's own URL closes the callback, and leaves no mark on the account."""

    async def script(middle: Middle) -> None:
        first_of(middle)
        middle.customers.replies[OWN] = [status(410)]
        await sent_with(middle, receipt_url=f"{OWN}/r")
        assert middle.callback_states() == {"disabled": 1}
        assert middle.rows(schema.disabled_url) == []
        await sent_with(middle, receipt_url=f"{OWN}/r")
        assert middle.callback_states() == {"disabled": 1, "done": 1}

    play(tmp_path, script, world(), ["first"])


def test_a_callback_tells_why_and_when_but_no_text(tmp_path: Path) -> None:
    """The payload holds the reason of a failure and the instant of the change, never the message's text."""

    async def script(middle: Middle) -> None:
        middle.scripts["first"].always = Refused(Refusal.BLOCKED, "their words")
        await sent_with(middle)
        [row] = middle.rows(schema.callback)
        report = msgspec.json.decode(row["payload"], type=Report)
        assert (report.state, report.reason, report.changed_ms) == (State.REJECTED, "blocked", middle.time.now_ms())
        assert report.text == ""
        assert "Hello" not in row["payload"]

    play(tmp_path, script, world(), ["first"])


def test_a_further_kind_of_callback_has_a_way_of_its_own(tmp_path: Path) -> None:
    """A kind in the table of ways goes to its place and is judged like any other; an unknown kind is closed."""

    async def script(middle: Middle) -> None:
        made: list[tuple[str, str]] = []

        async def make(due: DueCallback, account: Account, place: str) -> Reply | None:
            made.append((due.kind, place))
            return status(503) if len(made) == 1 else status(200)

        middle.callbacks._ways["pigeon"] = Way(lambda account: f"loft of {account.name}", make)
        with middle.database.transaction() as transaction:
            middle.store._callbacks.write(
                transaction,
                [
                    CallbackDraft(id=key, account_id=1, message_id=key, kind=kind, dialect="", payload="", url=url)
                    for key, kind, url in ((1, "pigeon", ""), (2, "pigeon", "elsewhere"), (3, "drum", ""))
                ],
                middle.time.now_ms(),
            )
        await middle.pass_time(60)
        places = [place for _, place in made]
        assert sorted(places) == ["elsewhere", "loft of alice", "loft of alice"]
        assert middle.callback_states() == {"done": 2, "disabled": 1}

    play(tmp_path, script, world(), ["first"])
