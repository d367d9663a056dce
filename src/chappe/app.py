"""The building plan: makes every part from the settings, starts them in order, stops them in reverse. Start here.

listeners/http.py, smpp.py ─► dialects (north) ─► gateway/front.py ─► gateway/submission.py ─► store
                                                                                                 │
customer ◄─ outbound.py ◄─ gateway/callbacks.py ◄─ gateway/receipts.py ◄─ carriers ◄─ gateway/dispatch.py
         ◄─ his binds   ◄─ gateway/bound.py     ◄─┘
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from chappe.capabilities import KNOWN
from chappe.carriers.http import HttpCarrier
from chappe.carriers.removed import RemovedCarrier
from chappe.carriers.simulated import SimulatedCarrier
from chappe.carriers.smpp import SmppCarrier
from chappe.clock import SystemClock
from chappe.core.centre import MessageCentre, Verdict
from chappe.core.ids import IdMaker
from chappe.core.model import Account, Carrier, Inbound, Receipt, Secret, Submission
from chappe.dialects.base import Dialect, HttpRequest, HttpResponse, Reply, plain
from chappe.dialects.known import known_dialects
from chappe.dialects.native import NATIVE
from chappe.dialects.smpp import SMPP
from chappe.dialects.smpp.south import heard_together
from chappe.gateway.accounts import Accounts
from chappe.gateway.aliases import AliasDesk
from chappe.gateway.blocks import Blacklist, BlockDesk
from chappe.gateway.bound import BoundDesk
from chappe.gateway.callbacks import CLAIM_MAX, CallbackDesk, Way
from chappe.gateway.campaign_rounds import CampaignRounds
from chappe.gateway.campaigns import CampaignDesk
from chappe.gateway.desks import Desks
from chappe.gateway.directory import Directory, DirectoryHolder
from chappe.gateway.dispatch import Dispatcher
from chappe.gateway.feed import Feed
from chappe.gateway.fleet import Fleet
from chappe.gateway.front import Front
from chappe.gateway.idempotency import AnswerDesk
from chappe.gateway.inbound import (
    DIALECT_DEFAULT,
    MAIL,
    PHONE,
    InboundDesk,
    Planner,
    mail_way,
    phone_way,
    storable_read,
)
from chappe.gateway.keys import KeyDesk
from chappe.gateway.links import LinkDesk
from chappe.gateway.metrics import Metrics
from chappe.gateway.number_stock import NumberStock, Wholesaler
from chappe.gateway.numbers import NumberDesk
from chappe.gateway.overview import OverviewDesk
from chappe.gateway.parts import PartDesk
from chappe.gateway.passwords import PasswordDesk
from chappe.gateway.people import SWEEP_S, PeopleDesk
from chappe.gateway.phonebook import PhonebookDesk
from chappe.gateway.pins import PinDesk
from chappe.gateway.queries import QueryDesk
from chappe.gateway.receipts import CarrierDoor, ReceiptDesk
from chappe.gateway.replacing import ReplaceDesk
from chappe.gateway.replay import ReplayDesk
from chappe.gateway.requests import DEMO_HOURS, RequestBook
from chappe.gateway.reselling import ResellingDesk
from chappe.gateway.search import SearchDesk
from chappe.gateway.secrets import Sealer, SealError
from chappe.gateway.senders import SenderDesk
from chappe.gateway.sessions import WRITTEN_S, SessionDesk
from chappe.gateway.simulator import SIMULATED, SimulatorDesk
from chappe.gateway.statement import StatementDesk
from chappe.gateway.story import StoryDesk
from chappe.gateway.submission import Intake
from chappe.gateway.ticker import tick
from chappe.gateway.treasury import TreasuryDesk
from chappe.gateway.versions import VersionDesk
from chappe.gateway.waiting import WaitingDesk
from chappe.listeners.fronts import Fronts
from chappe.listeners.http import HttpListener
from chappe.listeners.keeping import keeping
from chappe.listeners.native import native_routes
from chappe.listeners.pages import health_page, metrics_page
from chappe.listeners.server import HttpServer
from chappe.listeners.site import make_site
from chappe.listeners.smpp import SmppListener
from chappe.listeners.smpp_parts import PartWords
from chappe.listeners.tls import make_self_signed, server_context
from chappe.networks import OPEN, Networks
from chappe.outbound import Outbound, Unsent
from chappe.outbound_mail import Mailer, MailServer, post_nowhere
from chappe.process import FolderUnusable, RandomBits, lock, tune_interpreter
from chappe.settings import Settings, parse_address
from chappe.smpp.connection import Connection
from chappe.store.database import Database, StoreBroken, StoreError, StoreUnavailable
from chappe.store.engine import Store
from chappe.store.messages import Expiry
from chappe.store.migrate import migrate
from chappe.store.nodes import RENEW_S
from chappe.store.tallies import TallySweep

log = structlog.get_logger()

DEMO_RECEIPT_PATH = "/demo/receipt"
FOLLOW_S = 0.5  # how soon a running gateway follows `chappe apply`
CALLBACKS_S = 1.0
OUTBINDS_S = 5.0
OUTBIND_TIMEOUT_S = 10.0
FORLORN_S = 3600.0
SEGMENTS_S = 5.0
DOUBTS_S = 1.0
EXPIRE_S = 5.0
LINKS_S = 2.0
NUMBERS_S = 60.0
STOCK_S = 300.0
EXPIRE_MAX = 5_000  # each time: a thousand a second
PINS_S = 60.0
OVERVIEW_S = 60.0
TALLIES_S = 60.0
CAMPAIGNS_S = 1.0
REQUESTS_S = 1.0
REQUESTS_SWEEP_S = 60.0
# Shares of the time that shutdown has: answer what was asked, hear what was sent, call back what is due.
SHARE_LISTEN, SHARE_DISPATCH, SHARE_CALLBACKS = 0.3, 0.4, 0.2


DIALECTS = known_dialects()


class StartError(Exception):
    """The gateway cannot start; the message says why and what to do."""


class App:
    def __init__(self, settings: Settings, *, is_demo: bool = False) -> None:
        self.settings = settings
        self.feed = Feed()
        self.broken = asyncio.Event()  # nothing may be acknowledged any more: exit and start anew
        self._is_demo = is_demo
        self._clock = SystemClock()
        self._random_bits = RandomBits()
        self._ids = IdMaker(self._random_bits)
        self._dialects = {dialect.name: dialect for dialect in (*DIALECTS, SMPP)}
        self._arriving: set[asyncio.Task[None]] = set()
        self._closing = contextlib.AsyncExitStack()  # how to stop what was started, the last first

    @property
    def http_port(self) -> int:
        return self._server.port

    @property
    def smpp_port(self) -> int:
        """Where ESMEs bind, if they may."""
        return self.smpp.port

    @property
    def panel_url(self) -> str:
        """Where people open the panel, as far as this process knows."""
        return panel_url(self.settings, self.http_port, is_secure=self._tls_context is not None)

    async def first_owner_link(self) -> str | None:
        """A one-time link that makes whoever opens it the panel's owner; None where somebody is there already."""
        key = await self.people.invite_first()
        return None if key is None else f"{self.panel_url}join/{key.value}"

    async def start(self) -> None:
        """Start everything; returns when requests are accepted. Raises StartError."""
        try:
            self._start_store()
            self._build_south()
            self._build_listener(self._build_desks())
            await self._follow()
            await self._blacklist.follow()
            self._start_rounds()
            await self._listen()
        except BaseException as error:
            await self._closing.aclose()
            if isinstance(error, StoreUnavailable):
                raise StartError(f"database {self._database.url!r}: {error}; is it running and reachable?") from error
            if isinstance(error, StoreError | SealError | FolderUnusable):
                raise StartError(str(error)) from error
            raise

    def _start_store(self) -> None:
        tune_interpreter()
        settings = self.settings
        data = Path(settings.data)
        self._database = Database(settings.database_url)
        if self._database.file is not None:
            self._closing.callback(os.close, lock(self._database.file.with_suffix(".lock")))
        migrate(self._database)
        self._store = Store(self._database)
        self._store.on_broken(self._break)
        now_ms = self._clock.now_ms()
        is_alone = self._database.file is not None  # nobody else gets past the lock
        doubtful_count = self._store.register(
            self._ids.make(now_ms), f"{socket.gethostname()}:{os.getpid()}", now_ms, is_alone=is_alone
        )
        self._closing.push_async_callback(asyncio.to_thread, self._close_store)
        if doubtful_count:
            log.warning("doubtful_after_crash", count=doubtful_count)
        self._sealer = Sealer.open(settings.secret_key, data if self._database.is_sqlite else None)
        self._store.start()

    def _known(self) -> Directory:
        """What is configured at this moment."""
        return self._directory.current

    def _build_south(self) -> None:
        """What leads to carriers and to our customers' own doors, and what comes back from there."""
        store, clock, feed = self._store, self._clock, self.feed
        self._outbound = Outbound(self._networks(), authorities_pem=self._authorities())
        self._closing.push_async_callback(self._outbound.close)
        self._directory = DirectoryHolder(self._sealer)
        writers_ids = IdMaker(self._random_bits)  # apart from ours: the writer's thread makes them
        self._bound = BoundDesk(store=store, clock=clock, feed=feed)
        self._closing.callback(self._bound.close)
        self._callbacks = CallbackDesk(
            store=store,
            directory=self._known,
            dialects=self._dialects,
            send=self._send,
            clock=clock,
            ids=writers_ids,
            feed=feed,
            ways=self._ways(),
            bound=self._bound,
        )
        self._closing.push_async_callback(self._callbacks.drain, self._share(SHARE_CALLBACKS))
        store.set_plan(self._callbacks.plan)
        self._receipts = ReceiptDesk(store=store, clock=clock, feed=feed, announce=self._callbacks.announce)
        self._blacklist = Blacklist(store)
        self._inbox = InboundDesk(
            store=store,
            clock=clock,
            ids=self._ids,
            feed=feed,
            announce=self._callbacks.announce,
            follow=self._blacklist.follow,
        )
        self._requests = RequestBook(
            store=self._store,
            clock=self._clock,
            ids=self._ids,
            hours=self.settings.keep_requests or (DEMO_HOURS if self._is_demo else 0),
        )
        self._closing.push_async_callback(self._write_requests)
        self._simulator = SimulatorDesk(store, self._known, self._inbox, is_demo=self._is_demo)
        planner = Planner(
            directory=self._known, dialects=self._dialects, clock=clock, ids=writers_ids, takes=self._bound.takes
        )
        store.inbox.plan = planner.plan
        store.inbox.read = storable_read(heard_together)
        self._fleet = Fleet(self._make_dispatcher)
        self._links = LinkDesk(
            store=store, clock=clock, dispatchers=lambda: self._fleet.dispatchers, lags=self._receipts.lags.get
        )
        self._closing.push_async_callback(self._fleet.stop, self._share(SHARE_DISPATCH))

    def _build_desks(self) -> Front:
        """What answers applications."""
        store, clock = self._store, self._clock
        self._intake = intake = Intake(
            store=store,
            directory=self._known,
            clock=clock,
            ids=self._ids,
            wake=self._fleet.wake,
            feed=self.feed,
            is_blocked=self._blacklist.is_blocked,
            reserve=self._fleet.reserve,
        )
        words = PartWords()
        store.parts.is_same = words.is_same
        self._parts = PartDesk(
            store=store,
            directory=self._known,
            dialect=SMPP,
            words=words,
            intake=intake,
            clock=clock,
            ids=self._ids,
            tell=self._callbacks.plan,
            announce=self._callbacks.announce,
        )
        store.parts.plan = self._parts.plan
        self._sessions = SessionDesk(store, self._known, self._sealer, clock)
        accounts = Accounts(self._known, clock, self._sessions)
        self._closing.callback(accounts.close)
        self._closing.push_async_callback(self._write_sessions)
        passwords = PasswordDesk(store, self._sealer, self._follow)
        self._closing.callback(passwords.close)
        reselling = ResellingDesk(
            store=store,
            directory=self._known,
            follow=self._follow,
            passwords=passwords,
            clock=clock,
            ids=self._ids,
        )
        self._pins = PinDesk(store=store, submit=intake.submit, sealer=self._sealer, clock=clock, ids=self._ids)
        self._numbers = NumberDesk(
            store=store,
            directory=self._known,
            wholesaler=self._wholesaler,
            follow=self._follow,
            clock=clock,
            ids=self._ids,
        )
        self._stock = NumberStock(store, self._known, self._wholesaler)
        return Front(
            accounts.answers,
            self._sessions.answers,
            passwords.answers,
            reselling.answers,
            intake.answers,
            self._parts.answers,
            QueryDesk(store, clock, self._known).answers,
            ReplaceDesk(store, clock, self._fleet.wake).answers,
            PhonebookDesk(store, clock, self._ids).answers,
            AliasDesk(store, clock, self._ids).answers,
            self._pins.answers,
            self._numbers.answers,
            self._inbox.answers,
            BlockDesk(store, clock, self._blacklist).answers,
        )

    def _make_desks(self, front: Front) -> Desks:
        """What the panel and the native API ask."""
        self.people = people = PeopleDesk(self._store, self._known, self._clock, self._sessions)
        self._closing.callback(people.close)
        self._answers = AnswerDesk(store=self._store, clock=self._clock, ids=self._ids)
        self._overview = OverviewDesk(self._store, self._known, self._clock)
        versions = VersionDesk(
            store=self._store, sealer=self._sealer, known=KNOWN, clock=self._clock, follow=self._follow
        )
        self._closing.callback(versions.close)
        search = SearchDesk(self._store, self._known)
        return Desks(
            requests=self._requests,
            simulator=self._simulator,
            front=front,
            directory=self._known,
            clock=self._clock,
            people=people,
            keys=KeyDesk(store=self._store, directory=self._known, clock=self._clock, is_demo=self._is_demo),
            answers=self._answers,
            api_rate=self.settings.api_rate,
            overview=self._overview,
            search=search,
            replay=ReplayDesk(self._store, search, self._clock, self._callbacks.run_once),
            statement=StatementDesk(self._store, self._clock, self._known),
            story=StoryDesk(self._store, self._known, self._requests.of_submission),
            waiting=WaitingDesk(self._store, search, self._clock),
            versions=versions,
            campaigns=self._make_campaigns(),
            treasury=TreasuryDesk(store=self._store, directory=self._known, clock=self._clock, ids=self._ids),
            is_blocked=self._blacklist.is_blocked,
            is_up=self._links.is_up,
            senders=SenderDesk(self._store, self._follow),
            is_demo=self._is_demo,
        )

    def _make_campaigns(self) -> CampaignDesk:
        store, clock, ids, intake = self._store, self._clock, self._ids, self._intake
        self._campaign_rounds = CampaignRounds(
            store=store,
            directory=self._known,
            clock=clock,
            ids=ids,
            intake=intake,
            dialect=NATIVE,
            is_blocked=self._blacklist.is_blocked,
        )
        return CampaignDesk(
            store=store,
            directory=self._known,
            clock=clock,
            ids=ids,
            intake=intake,
            dialect=NATIVE,
            is_blocked=self._blacklist.is_blocked,
        )

    def _build_listener(self, front: Front) -> None:
        self.desks = self._make_desks(front)
        self._tls_context = self._tls()
        metrics = Metrics(
            self._store,
            self.feed,
            lambda: self._fleet.dispatchers,
            self._callbacks,
            self._links,
            lambda: self.smpp.binds(),
        )
        pages: dict[str, Callable[[HttpRequest], Awaitable[HttpResponse]]] = {
            "/healthz": health_page(self._is_well),
            "/metrics": metrics_page(metrics.samples),
        }
        if self._is_demo:
            pages[DEMO_RECEIPT_PATH] = take_receipt
        door = CarrierDoor(
            directory=self._known,
            dialects=self._dialects,
            receipts=self._receipts,
            inbox=self._inbox,
        )
        self.listener = HttpListener(
            dialects=DIALECTS,
            ask=front.answer,
            pages=pages,
            carrier_callback=door.answer,
            site=keeping(
                make_site(self.desks, native_routes(self.desks), public_url=self.settings.public_url), self._requests
            ),
            requests=self._requests,
        )
        self.smpp = SmppListener(
            ask=front.answer,
            dialect=SMPP,
            directory=self._known,
            bound=self._bound,
            clock=self._clock,
            tls=self._tls_context,
            connect=self._reach,
            requests=self._requests,
        )

    async def _reach(self, place: str, make: Callable[[], Connection]) -> None:
        """Connect to a customer who wants to be asked to bind. Raises OSError."""
        url = place if "://" in place else f"smpp://{place}"
        try:
            await self._outbound.connect(url, make, timeout_s=OUTBIND_TIMEOUT_S)
        except Unsent as error:
            raise OSError(*error.args) from None

    def _make_dispatcher(self, carrier: Carrier) -> Dispatcher:
        return Dispatcher(
            carrier=carrier,
            centre=self._make_centre(carrier),
            store=self._store,
            clock=self._clock,
            feed=self.feed,
            announce=self._callbacks.announce,
            wake=self._fleet.wake,
            is_blocked=self._blacklist.is_blocked,
        )

    def _make_centre(self, carrier: Carrier) -> MessageCentre:
        if not carrier.is_active:
            return RemovedCarrier()
        if carrier.kind == SIMULATED:

            def emit(receipt: Receipt) -> None:
                self._receipts.receive(carrier, receipt)

            def emit_inbound(inbound: Inbound) -> None:
                arriving = asyncio.create_task(self._arrive(carrier, inbound))
                self._arriving.add(arriving)
                arriving.add_done_callback(self._arriving.discard)

            return SimulatedCarrier(emit, self._random_bits, emit_inbound, self._simulator.take_fate)
        if carrier.kind == SMPP.name:
            return SmppCarrier(
                carrier,
                connect=self._outbound.connect,
                emit=lambda receipt: self._receipts.receive(carrier, receipt),
                emit_inbound=lambda inbound: asyncio.ensure_future(self._inbox.receive(carrier, inbound)),
                clock=self._clock,
                random_bits=self._random_bits,
            )
        return HttpCarrier(carrier, self._dialects[carrier.kind].south, self._send)

    async def _arrive(self, carrier: Carrier, inbound: Inbound) -> None:
        try:
            await self._inbox.receive(carrier, inbound)
        except StoreError:
            log.warning("inbound_not_kept", carrier=carrier.name)

    def _ways(self) -> dict[str, Way]:
        """Where messages go besides a URL."""

        def submit(account: Account, submission: Submission, dialect: Dialect, message_id: int) -> Awaitable[Verdict]:
            return self._intake.submit_once(account, submission, dialect, message_id)

        server = mail_server(self.settings)
        return {
            PHONE: phone_way(self._known, submit, self._dialects[DIALECT_DEFAULT]),
            MAIL: mail_way(Mailer(server, self._authorities()).post if server is not None else post_nowhere),
        }

    def _wholesaler(self, carrier: Carrier) -> Wholesaler | None:
        """How a carrier lends us numbers, where it is asked to."""
        dialect = self._dialects.get(carrier.kind)
        lends = dialect is not None and dialect.south.numbers is not None and carrier.options.get("numbers") == "on"
        return HttpCarrier(carrier, dialect.south, self._send) if dialect and lends and carrier.is_active else None

    async def _follow(self) -> None:
        """Look at the configuration; where it changed, the dispatchers change with it."""
        if await self._directory.refresh(self._store):
            self._fleet.follow(self._directory.current.served)

    def _start_rounds(self) -> None:
        rounds: Sequence[tuple[str, float, Callable[[], Awaitable[object]]]] = (
            ("configuration", FOLLOW_S, self._follow),
            ("blacklist", FOLLOW_S, self._blacklist.follow),
            ("callbacks", CALLBACKS_S, self._call_back),
            ("bound callbacks", CALLBACKS_S, self._bound.run_once),
            ("binds", FOLLOW_S, self.smpp.follow_once),
            ("outbinds", OUTBINDS_S, self.smpp.outbind_once),
            ("forlorn callbacks", FORLORN_S, self._bound.resign_once),
            ("segments", SEGMENTS_S, self._inbox.join_once),
            ("parts", SEGMENTS_S, self._parts.run_once),
            ("doubts", DOUBTS_S, self._fleet.settle_doubts_once),
            ("expiry", EXPIRE_S, self._expire),
            ("lease", RENEW_S, self._renew),
            ("links", LINKS_S, self._links.tell_once),
            ("numbers", NUMBERS_S, self._numbers.renew_once),
            ("stock", STOCK_S, self._stock.run_once),
            ("pins", PINS_S, self._pins.sweep_once),
            ("kept answers", PINS_S, self._answers.sweep_once),
            ("requests", REQUESTS_S, self._requests.run_once),
            ("old requests", REQUESTS_SWEEP_S, self._requests.sweep_once),
            ("people", SWEEP_S, self.people.sweep_once),
            ("overview", OVERVIEW_S, self._overview.warm_once),
            ("sessions", WRITTEN_S, self._sessions.run_once),
            ("tallies", TALLIES_S, self._forget_minutes),
            ("campaigns", CAMPAIGNS_S, self._campaign_rounds.run),
        )
        tickers = [asyncio.create_task(tick(name, period_s, each)) for name, period_s, each in rounds]
        self._closing.push_async_callback(end, tickers)

    async def _call_back(self) -> None:
        while await self._callbacks.run_once() == CLAIM_MAX:
            pass

    async def _expire(self) -> None:
        self._callbacks.announce(await self._store.expire(Expiry(self._clock.now_ms(), EXPIRE_MAX)))

    async def _forget_minutes(self) -> None:
        sweep = TallySweep(self._clock.now_ms())
        while await self._store.commit(self._store.tallies.sweep, sweep) == sweep.count_max:
            pass

    async def _write_requests(self) -> None:
        with contextlib.suppress(StoreError):  # they are only for looking at
            await self._requests.run_once()

    async def _write_sessions(self) -> None:
        with contextlib.suppress(StoreError):  # they only end a little early
            await self._sessions.run_once()

    async def _renew(self) -> None:
        now_ms = self._clock.now_ms()
        is_held = await asyncio.to_thread(self._store.renew, now_ms)
        if not is_held:  # another node took what we had in hand; our results for it no longer count
            log.error("lease_lost")
            await asyncio.to_thread(
                self._store.register, self._ids.make(now_ms), socket.gethostname(), now_ms, is_alone=False
            )

    async def _listen(self) -> None:
        host, port = self.settings.http_address
        self._server = self._make_server(host, port)
        try:
            await self._server.start()
        except OSError as error:
            raise cannot_listen("http", host, port, error) from error
        self._closing.push_async_callback(self._stop_listening)
        bound = self.settings.smpp_address
        if bound is None:
            return
        try:
            await self.smpp.start(*bound)
        except OSError as error:
            raise cannot_listen("smpp", *bound, error) from error

    def _make_server(self, host: str, port: int) -> HttpServer | Fronts:
        if self.settings.fronts:
            return Fronts(self.listener, count=self.settings.fronts, host=host, port=port, tls=self._tls_paths)
        return HttpServer(self.listener, host=host, port=port, ssl_context=self._tls_context, door=self.listener)

    async def _stop_listening(self) -> None:
        share_s = self._share(SHARE_LISTEN)
        await asyncio.gather(self._server.stop(share_s), self.smpp.stop(share_s))

    def _tls(self) -> ssl.SSLContext | None:
        certificate, key = self.settings.tls_certificate, self.settings.tls_key
        if not certificate and self._is_demo:
            certificate, key = map(str, make_self_signed(Path(self.settings.data)))
        self._tls_paths = certificate, key
        if not certificate:
            return None
        try:
            return server_context(Path(certificate), Path(key))
        except (OSError, ValueError) as error:
            raise StartError(f"certificate {certificate} with key {key}: {error}") from error

    def _networks(self) -> Networks:
        try:
            return OPEN if self._is_demo else Networks.parse(self.settings.allowed_networks)
        except ValueError as error:
            raise StartError(f"allowed_networks: {error}") from error

    def _authorities(self) -> bytes:
        path = self.settings.ca_certificates
        try:
            return Path(path).read_bytes() if path else b""
        except OSError as error:
            raise StartError(f"ca_certificates {path}: {error.strerror}") from error

    async def _send(self, request: HttpRequest, timeout_s: float) -> Reply:
        return await self._outbound.send(request, timeout_s=timeout_s)

    async def _is_well(self) -> bool:
        if self.broken.is_set():
            return False
        try:
            await self._store.read(self._store.configuration.revision)
        except StoreError:
            return False
        return True

    def _break(self, error: StoreBroken) -> None:
        log.critical("store_broken", error=str(error))
        self.broken.set()

    async def stop(self) -> None:
        """Answer what was asked, hear what was sent, call back what is due, as far as the time reaches; the rest is in
        the tables."""
        await self._closing.aclose()

    def _share(self, share: float) -> float:
        return self.settings.shutdown_s * share

    def _close_store(self) -> None:
        self._store.stop()
        if self.broken.is_set():
            return
        try:
            self._store.leave(self._clock.now_ms())
        except StoreError:  # the next start, or whoever sees our lease lapse, frees what we held
            log.warning("lease_not_returned")


def panel_url(settings: Settings, port: int, *, is_secure: bool) -> str:
    """Where people open the panel, unless a setting says it."""
    host, _ = settings.http_address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    host = f"[{host}]" if ":" in host else host
    scheme = "https" if is_secure else "http"
    return f"{settings.public_url.rstrip('/') or f'{scheme}://{host}:{port}'}/panel/"


def cannot_listen(name: str, host: str, port: int, error: OSError) -> StartError:
    return StartError(
        f"cannot listen on {host}:{port}: {error.strerror or error}; stop what uses it, or choose another with "
        f"--{name} HOST:PORT"
    )


def mail_server(settings: Settings) -> MailServer | None:
    if not settings.mail_server:
        return None
    host, port = parse_address("mail_server", settings.mail_server)
    return MailServer(
        host=host,
        port=port,
        sender=settings.mail_from,
        login=settings.mail_login,
        password=Secret(settings.mail_password),
        tls=settings.mail_tls,
    )


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def take_receipt(_request: HttpRequest) -> HttpResponse:
    """The demo's own customer: takes every receipt."""
    return plain("OK")
