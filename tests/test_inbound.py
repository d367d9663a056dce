"""Messages from phones through the whole gateway: from a carrier's call to the owner's URL, mailbox or phone."""

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from click.testing import CliRunner, Result
from sqlalchemy import update

from chappe.cli import program
from chappe.cli.check import findings
from chappe.settings import Settings
from chappe.store import schema
from chappe.store.database import Database
from whole import Call, Sink, all_are, apply, ask, audit, eventually, get, post, rows, run, serving, settings_in

PRICE = 10_000
NOWHERE = "http://127.0.0.1:8099"
PHONE, NUMBER, OTHER_NUMBER, FORWARD = "447700900123", "447700900001", "447700900002", "447700900777"


def world(more: str = "", *, numbers: str = f'"{NUMBER}"', balance: str = "10.00", url: str = NOWHERE) -> str:
    return f"""
[[carrier]]
name = "sim"
kind = "simulated"

[[carrier]]
name = "up"
kind = "proovl"
login = "us"
password = "their token"
url = "{url}"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "correct horse"
balance = "{balance}"
numbers = [{numbers}]
{more}

[[account]]
name = "bob"
password = "another secret"
numbers = ["447700900003"]
"""


def carrier_path(settings: Settings) -> str:
    """Where the provider that the carrier `up` is calls us back."""
    [row] = [row for row in rows(settings, schema.carrier) if row["name"] == "up"]
    return "/carrier/" + str(msgspec.json.decode(row["settings"])["callback_key"])


def brought(settings: Settings, text: str = "Hello", to: str = NUMBER, message_id: str = "77", **more: str) -> bytes:
    fields = {"token": "their token", "id": message_id, "from": PHONE, "to": to, "text": text}
    return post(carrier_path(settings), **(fields | more))


def chappe(settings: Settings, *words: str) -> Result:
    return CliRunner().invoke(program, ["inbound", "--data", settings.data, *words])


def inbound_texts(settings: Settings) -> list[str]:
    return [row["text"] for row in rows(settings, schema.inbound)]


def callback_states(settings: Settings) -> list[str]:
    return [row["state"] for row in rows(settings, schema.callback)]


async def callbacks_are(settings: Settings, *states: str) -> None:
    async def look() -> bool:
        return callback_states(settings) == list(states)

    await eventually(look)


def test_from_a_carriers_call_to_the_customers_url(tmp_path: Path) -> None:
    """What a Proovl carrier calls us with reaches the owner's URL in the owner's words; brought again, it does not."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, world(f'inbound_url = "{sink.url}"')) as app:
            for _ in range(2):
                answer = await ask(app.http_port, brought(settings, "Grüße ☃", to=f"+{NUMBER}"))
                assert answer.status == 200
            [call] = await sink.until(lambda calls: len(calls) == 1)
            [row] = rows(settings, schema.inbound)
            assert call.fields == {
                "token": "correct horse",
                "id": str(row["id"]),
                "from": PHONE,
                "to": NUMBER,
                "text": "Grüße ☃",
            }
            await callbacks_are(settings, "done")
            assert len(sink.calls) == 1

    run(story())


WRONG_CALLS = [
    # the path, the fields, the answer
    ("/carrier/nobody", {"token": "their token", "from": PHONE, "to": NUMBER, "text": "x"}, 404),
    ("", {"token": "wrong", "from": PHONE, "to": NUMBER, "text": "x"}, 400),
    ("", {"token": "their token", "from": PHONE, "text": "x"}, 400),
    ("", {}, 400),
]


@pytest.mark.parametrize("path, fields, status", WRONG_CALLS)
def test_wrong_calls_keep_nothing(path: str, fields: dict[str, str], status: int, tmp_path: Path) -> None:
    """A call under an unknown key, without the token, or that is neither receipt nor message, is refused."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            answer = await ask(app.http_port, post(path or carrier_path(settings), **fields))
            assert answer.status == status
            assert rows(settings, schema.inbound) == []

    run(story())


def test_nobodys_number_is_kept_and_counted(tmp_path: Path) -> None:
    """A message to a number that no account has is kept under none, goes nowhere, and is seen in the metrics."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            assert (await ask(app.http_port, brought(settings, to="447700900999"))).status == 200
            [row] = rows(settings, schema.inbound)
            assert (row["account_id"], callback_states(settings)) == (0, [])
            metrics = (await ask(app.http_port, get("/metrics"))).body.decode()
            assert 'step="inbound",subject="unknown number"' in metrics

    run(story())


def test_a_forward_survives_a_restart(tmp_path: Path) -> None:
    """A message that was answered for is told to its owner by the next process, where this one could not."""

    async def story() -> None:
        settings = settings_in(tmp_path, shutdown_s=0.2)
        async with Sink() as sink:
            sink.gate = asyncio.Event()
            async with serving(settings, world(f'inbound_url = "{sink.url}"')) as app:
                assert (await ask(app.http_port, brought(settings))).status == 200
            assert callback_states(settings) == ["pending"]
            sink.gate.set()
            sink.calls.clear()
            async with serving(settings):
                [call] = await sink.until(lambda calls: len(calls) == 1)
                assert call.fields["text"] == "Hello"

    run(story())


# Mail


class Mailbox:
    """A mail server on loopback, somebody else's; keeps what it takes, and answers with `reply`."""

    def __init__(self, reply: str = "250 OK") -> None:
        self.reply = reply
        self.letters: list[EmailMessage] = []
        self.asked_count = 0
        self._server: asyncio.Server | None = None

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self.asked_count += 1
        if self.reply.startswith("250"):
            assert isinstance(envelope.content, bytes)
            letter = message_from_bytes(envelope.content, policy=default)
            assert isinstance(letter, EmailMessage)
            self.letters.append(letter)
        return self.reply

    @property
    def address(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def __aenter__(self) -> "Mailbox":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()


def with_mail(folder: Path, mailbox: Mailbox) -> Settings:
    return settings_in(folder, mail_server=mailbox.address, mail_from="sms@chappe.example", mail_tls="none")


MAIL = 'inbound_email = "alice@example.com"'


def test_mail(tmp_path: Path) -> None:
    """A message becomes one mail that tells both numbers and the text, under an id of ours."""

    async def story() -> None:
        async with Mailbox() as mailbox:
            settings = with_mail(tmp_path, mailbox)
            async with serving(settings, world(MAIL)) as app:
                assert (await ask(app.http_port, brought(settings, "Grüße ☃\nsecond line"))).status == 200
                await callbacks_are(settings, "done")
            [letter] = mailbox.letters
            [row] = rows(settings, schema.inbound)
            assert (letter["from"], letter["to"]) == ("sms@chappe.example", "alice@example.com")
            assert letter["subject"] == f"SMS from +{PHONE} to +{NUMBER}"
            assert letter["message-id"] == f"<{row['id']}@chappe.example>"
            assert letter["auto-submitted"] == "auto-generated"
            body = letter.get_content().replace("\r\n", "\n")
            assert body == f"From: +{PHONE}\nTo: +{NUMBER}\n\nGrüße ☃\nsecond line\n"

    run(story())


@pytest.mark.parametrize(
    "reply, state, detail",
    [
        ("550 no such mailbox", "failed", "mail server: 550"),
        ("451 later", "pending", "mail server: 451"),
    ],
)
def test_what_a_mail_server_says(reply: str, state: str, detail: str, tmp_path: Path) -> None:
    """A permanent refusal ends a mail, any other puts it off; its words, which may quote the mail, are not kept."""

    async def story() -> None:
        async with Mailbox(reply) as mailbox:
            settings = with_mail(tmp_path, mailbox)
            async with serving(settings, world(MAIL)) as app:
                assert (await ask(app.http_port, brought(settings))).status == 200

                async def look() -> bool:
                    return [row["detail"] for row in rows(settings, schema.callback)] == [detail]

                await eventually(look)
            assert (callback_states(settings), mailbox.asked_count) == ([state], 1)

    run(story())


def test_mail_waits_for_its_server(tmp_path: Path) -> None:
    """While no mail server answers, or none is set, a mail stays to be tried again."""

    async def story() -> None:
        async with Mailbox() as mailbox:
            settings = with_mail(tmp_path, mailbox)
        async with serving(settings, world(MAIL)) as app:
            assert (await ask(app.http_port, brought(settings))).status == 200

            async def look() -> bool:
                return all(row["detail"].startswith("mail server: ") for row in rows(settings, schema.callback))

            await eventually(look)
        assert callback_states(settings) == ["pending"]
        other = settings_in(tmp_path)
        async with serving(other) as app:
            assert (await ask(app.http_port, brought(settings, message_id="78"))).status == 200

            async def is_told() -> bool:
                return "mail server: none is set" in {row["detail"] for row in rows(settings, schema.callback)}

            await eventually(is_told)
        assert callback_states(settings) == ["pending", "pending"]

    run(story())


def test_check_tells_who_waits_for_mail(tmp_path: Path) -> None:
    """`chappe check` names accounts that want mail where no server takes it, and the server where one does."""
    settings = settings_in(tmp_path)
    apply(settings, world(MAIL))

    def told(**changes: str) -> list[tuple[str, str]]:
        found = findings(settings_in(tmp_path, **changes))
        return [(one.state.value, one.found) for one in found if one.subject == "mail"]

    assert told() == [("warning", "none, but messages to alice shall go to a mailbox")]
    assert told(mail_server="127.0.0.1:25", mail_from="a@b.example") == [("ok", "by 127.0.0.1:25, starttls")]
    apply(settings, world())
    assert told() == []


# Another phone


def test_to_another_phone(tmp_path: Path) -> None:
    """A message goes on to the owner's phone with the sender's number in front, from the number it came to, charged."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world(f'inbound_phone = "{FORWARD}"')) as app:
            assert (await ask(app.http_port, brought(settings))).status == 200
            await callbacks_are(settings, "done")
            await all_are(settings, "delivered")
            [row] = rows(settings, schema.message)
            assert (row["originator"], row["recipient"], row["text"]) == (NUMBER, FORWARD, f"+{PHONE}: Hello")
            assert row["id"] == rows(settings, schema.callback)[0]["id"]
            assert audit(settings)["revenue_micros"] == PRICE

    run(story())


def test_a_forward_that_is_made_again_is_sent_once(tmp_path: Path) -> None:
    """A forward whose result was lost is made again, and finds the message that it had become."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world(f'inbound_phone = "{FORWARD}"')) as app:
            assert (await ask(app.http_port, brought(settings))).status == 200
            await callbacks_are(settings, "done")
            with Database(settings.database_url).engine.begin() as connection:
                connection.execute(update(schema.callback).values(state="pending", due_ms=0))
            await callbacks_are(settings, "done")
            await all_are(settings, "delivered")
            assert len(rows(settings, schema.message)) == 1
            assert audit(settings)["revenue_micros"] == PRICE

    run(story())


@pytest.mark.parametrize(
    "more, sender, balance, detail",
    [
        (f'inbound_phone = "{FORWARD}"', PHONE, "0.00", "not sent on: no_funds"),
        (f'inbound_phone = "{FORWARD}"', FORWARD, "10.00", "a loop"),
        ('inbound_phone = "447700900003"', PHONE, "10.00", "a loop"),
        (f'inbound_phone = "{NUMBER}"', PHONE, "10.00", "a loop"),
    ],
    ids=["no money", "the sender itself", "another account's number", "its own number"],
)
def test_what_does_not_go_on(more: str, sender: str, balance: str, detail: str, tmp_path: Path) -> None:
    """Without money, or in a loop, nothing is sent or charged, and the row of the forward says why."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world(more, balance=balance)) as app:
            assert (await ask(app.http_port, brought(settings, **{"from": sender}))).status == 200
            await callbacks_are(settings, "failed")
            [row] = rows(settings, schema.callback)
            assert row["detail"].startswith(detail)
            assert rows(settings, schema.message) == []

    run(story())


# STOP and START


def fox(sender: str = NUMBER, to: str = PHONE) -> bytes:
    fields = {"login": "alice", "pwd": "correct horse", "phones": to, "msg": "Hello", "sender": sender, "id": "1"}
    return post("/en/api/", **fields)


def pro(sender: str = NUMBER, to: str = PHONE) -> bytes:
    fields = {"user": "alice", "token": "correct horse", "from": sender, "to": to, "text": "Hello"}
    return post("/api/send.php", **fields)


async def is_taken(port: int, request: bytes) -> bool:
    return (await ask(port, request)).body[:3] in (b"01", b"Sen")


@pytest.mark.parametrize("send", [fox, pro], ids=["smsfox", "proovl"])
def test_stop_and_start(send: Any, tmp_path: Path) -> None:
    """A phone that answers STOP gets no more messages from the account, START lets them through; both are told on."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, world(f'inbound_url = "{sink.url}"')) as app:
            port = app.http_port
            assert await is_taken(port, send())
            assert (await ask(port, brought(settings, " Stop\n", message_id="1"))).status == 200
            assert not await is_taken(port, send())
            assert not await is_taken(port, send(sender="ACME"))
            assert await is_taken(port, send(to="447700900124"))
            assert (await ask(port, brought(settings, "please stop", message_id="2"))).status == 200
            assert (await ask(port, brought(settings, "START", message_id="3"))).status == 200
            assert await is_taken(port, send())
            calls = await sink.until(lambda calls: len(calls) == 3)
            assert {call.fields["text"] for call in calls} == {" Stop\n", "please stop", "START"}
            assert len(rows(settings, schema.message)) == 3

    run(story())


def test_stop_to_one_of_several_numbers(tmp_path: Path) -> None:
    """Where the account has several numbers, STOP to one blocks what comes from that one; its own words count."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        several = world('stop_words = ["ARRÊT"]', numbers=f'"{NUMBER}", "{OTHER_NUMBER}"')
        async with serving(settings, several) as app:
            port = app.http_port
            assert (await ask(port, brought(settings, "STOP", message_id="1"))).status == 200
            assert await is_taken(port, pro())
            assert (await ask(port, brought(settings, "arrêt", message_id="2"))).status == 200
            assert not await is_taken(port, pro())
            assert await is_taken(port, pro(sender=OTHER_NUMBER))
            assert await is_taken(port, pro(sender="ACME"))

    run(story())


def test_a_block_survives_a_restart(tmp_path: Path) -> None:
    """Who said STOP to one process is not written to by the next."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            assert (await ask(app.http_port, brought(settings, "STOP"))).status == 200
        async with serving(settings) as app:
            assert not await is_taken(app.http_port, pro())

    run(story())


# A phone that answers, and one that is played by hand


def test_the_simulated_phone_answers(tmp_path: Path) -> None:
    """A message to a number that ends in 9010 is answered to its sender; one from a name cannot be."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, world(f'inbound_url = "{sink.url}"')) as app:
            assert await is_taken(app.http_port, pro(sender="ACME", to="447700909010"))
            assert await is_taken(app.http_port, pro(to="447700909010"))
            [call] = await sink.until(lambda calls: len(calls) == 1)
            assert (call.fields["from"], call.fields["to"]) == ("447700909010", NUMBER)
            assert call.fields["text"] == "You wrote: Hello"

    run(story())


@pytest.mark.parametrize("words", [[], ["--parts"]], ids=["whole", "in parts"])
def test_by_hand_while_a_server_runs(words: list[str], tmp_path: Path) -> None:
    """`chappe inbound` brings a message that a running server forwards; in parts it arrives whole all the same."""
    text = "€" * 200

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, world(f'inbound_url = "{sink.url}"')) as app:
            typed = ["--from", f"+{PHONE}", "--to", f"+{NUMBER}", "--text", text, *words]
            result = await asyncio.to_thread(chappe, settings, *typed)
            assert result.exit_code == 0, result.output
            [row] = rows(settings, schema.inbound)
            assert f"kept  {NUMBER} of alice  over sim  id {row['id']}" in result.output
            assert ("from 3 segments" in result.output) == bool(words)
            assert f"goes to {sink.url} in the words of proovl" in result.output
            calls: list[Call] = await sink.until(lambda calls: len(calls) == 1)
            assert calls[0].fields["text"] == text
            stop = await asyncio.to_thread(
                chappe, settings, "--from", PHONE, "--to", NUMBER, "--text", "stop", "--carrier", "up"
            )
            assert f"{PHONE} is blocked for alice" in stop.output

            async def is_blocked() -> bool:
                return not await is_taken(app.http_port, pro())

            await eventually(is_blocked)

    run(story())


def test_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """The same on PostgreSQL: brought in parts by hand, joined, told to a URL and a phone, charged; STOP blocks."""

    async def story() -> None:
        settings = settings_in(tmp_path, database=postgres_url)
        async with Sink() as sink:
            ways = world(f'inbound_url = "{sink.url}"\ninbound_phone = "{FORWARD}"')
            async with serving(settings, ways) as app:
                typed = ["inbound", "--database", postgres_url, "--from", PHONE, "--to", NUMBER]
                long = [*typed, "--parts", "--text", "long " * 40]
                result = await asyncio.to_thread(CliRunner().invoke, program, long)
                assert result.exit_code == 0, result.output
                [call] = await sink.until(lambda calls: len(calls) == 1)
                assert call.fields["text"] == "long " * 40
                await callbacks_are(settings, "done", "done")
                await all_are(settings, "delivered")
                assert audit(settings)["revenue_micros"] == 2 * PRICE
                assert (await ask(app.http_port, brought(settings, "STOP"))).status == 200
                assert not await is_taken(app.http_port, pro())

    run(story())


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--to", "447700900999"], f"no account has the number 447700900999: accounts have alice {NUMBER}, bob"),
        (["--carrier", "nobody"], "no carrier is called 'nobody'; there are sim, up"),
        (["--text", ""], "a text has 1 to"),
        (["--data", "/nonexistent"], "no gateway in /nonexistent"),
    ],
)
def test_by_hand_and_wrong(words: list[str], sentence: str, tmp_path: Path) -> None:
    """What cannot be brought is told in one sentence, and nothing is kept."""
    settings = settings_in(tmp_path)
    apply(settings, world())
    result = chappe(settings, "--from", PHONE, "--to", NUMBER, "--text", "Hello", *words)
    assert (result.exit_code, sentence in result.output) == (1, True), result.output
    assert inbound_texts(settings) == []
