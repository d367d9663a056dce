"""A gateway in which much has happened: accounts, messages in every state, odd texts, phones that write, versions.

Everything comes in the way it does in earnest: requests in the providers' languages, a gateway file, phones. Only the
first user is made by hand, because nobody could read the one-time link.
"""

import asyncio
import contextlib
import gettext
import io
from collections.abc import Iterator
from pathlib import Path

from browser.injections import TEXTS
from chappe.app import App
from chappe.cli.applying import applied
from chappe.core.campaigns import Campaign, CampaignState, Step
from chappe.core.centre import Refused
from chappe.core.model import Secret, State
from chappe.core.people import EVERYTHING, Role
from chappe.gateway.campaign_file import Choices
from chappe.gateway.campaigns import Wording
from chappe.listeners.panel import words
from chappe.settings import Settings
from chappe.store import schema
from whole import ask, eventually, post, rows, settings_in, states

OWNER, PASSWORD = "demo", "demo demo"
NUMBER = "447700900100"
OTHER_NUMBER = "390612345678"
ODD_ACCOUNT = "Café <b>Müller</b> & Söhne"
SECRET = "correct horse"
ENDINGS = ("9001", "9002", "9003", "9004", "9005", "9006", "9007", "9009", "9010", "0123")
LONG = "This is a long text, which goes on and on, so that it takes several segments. " * 9
GREETINGS = (
    "Your code is 123456",
    "Ваш код 123456: никому его не сообщайте",
    "Il tuo codice è 123456",
    "€uro [brackets] {braces} ~tilde^",
    "👋 Hello 你好 مرحبا",
    LONG,
    "Supercalifragilisticexpialidocious" * 6,
)

CHANGEABLE = (
    schema.message,
    schema.inbound,
    schema.block,
    schema.configuration_version,
    schema.panel_user,
    schema.invitation,
    schema.api_key,
    schema.campaign,
)

GATEWAY_FILE = """
[[carrier]]
name = "sim"
kind = "simulated"
throughput = {throughput}

[[carrier]]
name = "backup with quite a long name"
kind = "simulated"

[[carrier]]
name = "nobody there"
kind = "smpp"
host = "127.0.0.1"
port = 9
system_id = "chappe"
password = "hidden"

[[route]]
prefix = ""
carriers = ["sim", "backup with quite a long name"]
price = "0.0100"

[[route]]
prefix = "39"
service = "premium"
carriers = ["backup with quite a long name", "sim"]
price = "0.0450"

[[route]]
prefix = "7"
carriers = ["nobody there"]
price = "0.0300"

[[account]]
name = "demo"
password = "{secret}"
balance = "1000.00"
numbers = ["{number}"]
timezone = "Europe/Rome"

[[account]]
name = "{odd}"
password = "{secret}"
currency = "RUB"
balance = "99999999.99"
numbers = ["{other}"]
senders = ["ACME", "<b>bold</b>"]
receipt_url = "http://127.0.0.1:50001/receipt?x=<script>"
inbound_url = "http://127.0.0.1:50001/inbound"

[[account]]
name = "poor"
password = "{secret}"
balance = "0.00"

[[number]]
number = "447700900555"
price = "2.00"
country = "GB"
"""


@contextlib.contextmanager
def patched_reading(fallback: gettext.NullTranslations) -> Iterator[None]:
    """Catalogues that are read inside ask this one for what they have not."""
    read = words.read

    def reading(path: Path) -> gettext.GNUTranslations:
        translations = read(path)
        translations.add_fallback(fallback)
        return translations

    words.read = reading
    try:
        yield
    finally:
        words.read = read


class Untranslated(gettext.NullTranslations):
    """Keeps what a catalogue was asked for in vain, and answers with what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: set[str] = set()

    def gettext(self, message: str) -> str:
        self.sentences.add(message)
        return message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        self.sentences.add(msgid1)
        return msgid1 if n == 1 else msgid2


class World:
    """The gateway, and what it is full of. `untranslated`: what was shown as it is for want of a translation."""

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = settings_in(folder)
        self.app = App(self.settings, is_demo=True)
        self.untranslated = Untranslated()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.app.http_port}"

    async def start(self) -> None:
        for throughput in (0, 500):  # two versions
            file = GATEWAY_FILE.format(
                throughput=throughput, secret=SECRET, number=NUMBER, other=OTHER_NUMBER, odd=ODD_ACCOUNT
            )
            applied(self.settings, file, "world")
        with patched_reading(self.untranslated):
            await self.app.start()
        await self._make_users()
        await self._send()
        await self._receive()
        await self._campaign()

    async def stop(self) -> None:
        await self.app.stop()

    async def fingerprint(self) -> dict[str, object]:
        """What somebody may change: how many rows there are of it, who may what, what is still scheduled."""
        return await asyncio.to_thread(self._fingerprint)

    def _fingerprint(self) -> dict[str, object]:
        found: dict[str, object] = {table.name: len(rows(self.settings, table)) for table in CHANGEABLE}
        found["users"] = [
            (row["name"], row["role"], row["is_active"]) for row in rows(self.settings, schema.panel_user)
        ]
        found["scheduled"] = states(self.settings).count(State.SCHEDULED)
        return found

    async def _make_users(self) -> None:
        people = self.app.desks.people
        await people.make_sure(OWNER, Secret(PASSWORD))
        directory = self.app.desks.directory()
        account_id = directory.accounts_by_name[ODD_ACCOUNT].id
        for name, role, account in (("olga", Role.OPERATOR, 0), ("carlo", Role.CUSTOMER, account_id)):
            key = await people.invite(OWNER, role, account, "")
            assert isinstance(key, Secret)
            joined = await people.join(key, name, Secret(PASSWORD), "127.0.0.1")
            assert not isinstance(joined, Refused)
        await people.invite(OWNER, Role.VIEWER, 0, "<i>vera</i>")

    async def _send(self) -> None:
        port = self.app.http_port
        for place, ending in enumerate(ENDINGS):
            for turn, text in enumerate(GREETINGS):
                phones = f"44770090{turn}{place}{ending}"[:15]
                fields = {"login": "demo", "psw": SECRET, "phones": phones, "mes": text, "charset": "utf-8"}
                await ask(port, post("/sys/send.php", **fields))
        for place, text in enumerate(TEXTS):
            phones = f"4477009{place:05d}"
            fields = {"login": ODD_ACCOUNT, "psw": SECRET, "phones": phones, "mes": text, "charset": "utf-8"}
            await ask(port, post("/sys/send.php", **fields, sender="<b>bold</b>"))
            await ask(port, post("/en/api/", login="demo", pwd=SECRET, phones=phones, msg=f"{place}", id=text[:60]))
            await ask(port, post("/sys/send.php", login="demo", psw=SECRET, phones=phones, mes="x", sender=text[:11]))
        later = {"login": "demo", "psw": SECRET, "phones": "447700900777", "charset": "utf-8"}
        for hours in range(1, 9):
            await ask(port, post("/sys/send.php", **later, mes=f"Later, {hours}", time=f"+{hours * 60}"))
        await ask(port, post("/sys/send.php", login="demo", psw=SECRET, phones="79161234567", mes="Waits"))
        await ask(port, post("/sys/send.php", login="poor", psw=SECRET, phones="447700900123", mes="No money"))

    async def _receive(self) -> None:
        simulator = self.app.desks.simulator
        for place, text in enumerate((*GREETINGS, *TEXTS, "STOP")):
            for number in (NUMBER, OTHER_NUMBER):
                await simulator.receive(EVERYTHING, f"4477009{place:05d}", number, text)

    async def _campaign(self) -> None:
        """One that is a draft, with columns and rows that would like to be more; one that has run."""
        desk = self.app.desks.campaigns
        account = self.app.desks.directory().accounts_by_name["demo"]
        rows = [f'4477009{place:05d},"{text.replace(chr(34), chr(34) * 2)}"' for place, text in enumerate(TEXTS)]
        file = io.BytesIO("\n".join(["number,<b>words</b>", *rows, "nonsense,x"]).encode())
        await desk.load(account, "<i>author</i>", "<u>Draft</u>", file, Choices(), "<s>file</s>.csv")
        numbers = "\n".join(f"447700900{place:03d}" for place in range(20)) + "\n<b>no number</b>"
        loaded = await desk.load_numbers(account, OWNER, "Everybody", numbers)
        assert isinstance(loaded, Campaign)
        await desk.describe(EVERYTHING, loaded.id, Wording(text="Spring sale! =1+1 <b>now</b>"))
        await eventually(lambda: self._is_campaign(loaded.id, CampaignState.READY))
        await desk.step(EVERYTHING, loaded.id, Step.START)
        await eventually(lambda: self._is_campaign(loaded.id, CampaignState.DONE))

    async def _is_campaign(self, campaign_id: int, wanted: CampaignState) -> bool:
        found = await self.app.desks.campaigns.find(EVERYTHING, campaign_id)
        return found is not None and found.state is wanted
