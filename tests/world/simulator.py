"""One seed is one history: customers, carriers, clocks, faults and kills around real gateways on a real database.

Each step the seed picks one act and tells it in a sentence; after each the rules must hold. Then the faults end, the
clock runs on, and everything must come to its end. Whatever a life of the gateway told anybody is remembered outside.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator

import structlog
from msgspec import Struct, structs
from sqlalchemy import insert

from chappe.core.centre import (
    Accepted,
    Call,
    Cancel,
    CancelAll,
    Cancelled,
    Done,
    MessageCentre,
    Outcome,
    Query,
    Refusal,
    Refused,
    Verdict,
)
from chappe.core.ids import IdMaker
from chappe.core.ledger import Kind, Purse, entry
from chappe.core.lifecycle import FINAL
from chappe.core.model import (
    Account,
    Carrier,
    Priority,
    Report,
    Route,
    Secret,
    State,
    Submission,
    UncertainPolicy,
)
from chappe.core.numbers import Number, RentNumber, ReturnNumber
from chappe.core.phonebook import BlockNumbers, UnblockNumbers
from chappe.core.routing import RoutingTable
from chappe.dialects.base import CallbackTarget, Failure, HttpRequest, HttpResponse, Reply
from chappe.dialects.proovl import PROOVL
from chappe.dialects.smsfox import SMSFOX
from chappe.gateway.callbacks import INBOUND, RECEIPT
from chappe.gateway.submission import allowed_originator
from chappe.store import schema
from chappe.store.database import Database, StoreError
from chappe.store.inbox import PATIENCE_MS, Kept
from chappe.store.money import Ledger
from chappe.store.numbers import NumberRow, Pool
from chappe.store.receipts import Told
from world.carriers import Company, Letter, Line, pick
from world.life import FAULTS, Killed, Known, Life
from world.phones import MailServer, Phones, Piece
from world.rules import OPEN, CallbackSeen, MessageRow, Reader, Tables, broken_rules, rents_of

DIALECTS = {dialect.name: dialect for dialect in (SMSFOX, PROOVL)}
STEPS = 200
STEPS_TOLD = 30
START_MS = 1_800_000_000_000
DAY_S = 86_400
PRICE_MICROS = 10_000
CALM_ROUNDS_MAX = 400
OVERDUE_S = 60.0
CALM_COMMITS_MAX = 200

RECEIVERS: dict[str, int] = {
    "answers": 60,
    "fails": 15,
    "is slow": 6,
    "asks to wait": 8,
    "is never there": 8,
    "is gone": 1,
}
ROUNDS = ("callbacks", "callbacks", "callbacks", "doubts", "expiry", "numbers", "segments", "blacklist")
COMMITS = {"fine": 85, **{fault: 2 for fault in FAULTS if fault != "fine"}}
NUMBERS = ("447700900", "393331234", "888000111")  # the last has no route
# Whose they are: an account with two numbers, one with a single one, one with a short code; the last is nobody's.
OWNED = {1: ("447700900901", "447700900902"), 2: ("447700900903",), 3: ("60999",)}
NOBODYS = "60998"
FAMILIAR = tuple(f"{prefix}{number:03}" for prefix in NUMBERS[:2] for number in range(3))  # phones that write, too
FORWARDED_TO = "393331234777"
MONTH_MS = 2_635_200_000  # 30.5 days
RENTED = ("447700900001", "447700900002", "60600")
RENT_MICROS = 2 * PRICE_MICROS
TEXTS = ("Your code is 123456", "Long. " * 60, "Добрый день, " * 12)


class Violation(AssertionError):
    """A rule does not hold."""


class Asked(Struct):
    """What a customer asked, and what they were told; None until they are, for ever where the gateway died before."""

    account_id: int
    scheduled_ms: int
    verdict: Verdict | None = None


class Landlord(Struct):
    """What customers heard about numbers they wanted to rent."""

    rented_count: int = 0
    asked_count: int = 0
    refused_count: int = 0  # for certain: what is told as overload may have happened


class Calendar:
    """The clock that months of rent are counted by: ahead of the world's, so that they pass while messages are under
    way."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return self._world.now_ms() + self.ahead_ms

    def monotonic_s(self) -> float:
        return self._world.monotonic_s()


class World:
    """Everything around the gateways. `url` is an empty database."""

    def __init__(self, seed: int, url: str) -> None:
        self.trace: deque[str] = deque(maxlen=STEPS_TOLD)
        self._choose = random.Random(seed)
        self._url = url
        self._mono_s = 1_000.0
        self._offset_ms = START_MS
        self._is_calm = False
        self._violations: list[str] = []
        self._letters: dict[asyncio.Future[Told], tuple[Life, Letter]] = {}
        self._kept_letters: list[Letter] = []
        self._asked: dict[str, Asked] = {}
        self._heard: list[tuple[Life, int, int]] = []  # which life heard, as which node, that a message was taken
        self._answered: set[tuple[str, bytes, bytes]] = set()  # callbacks that were answered with 2xx
        self._landlord = Landlord()
        self._calendar = Calendar(self)
        self._pieces: dict[asyncio.Task[Kept], tuple[Life, Piece]] = {}
        self._blocks: dict[str, frozenset[tuple[int, str, str]]] = {}  # that a life, by its name, has to know
        self._blocks_before: dict[str, frozenset[tuple[int, str, str]]] = {}  # the same before its last commit
        self._pardons: set[tuple[int, str]] = set()  # accounts and numbers that somebody may have unblocked
        self._gone: set[tuple[int, str]] = set()  # URLs that answered 410
        self._recalling: set[int] = set()  # accounts that wanted all to be cancelled
        self._cancellable: set[int] = set()  # messages that somebody wanted to be cancelled
        self._latest_ms = 0  # that any clock ever showed
        self._lives_count = 0
        self._make_customers()
        self._make_carriers()
        numbers = [*(one for owned in OWNED.values() for one in owned), NOBODYS]
        self._phones = Phones(self._choose, self.now_ms, list(self._companies), numbers)
        self._mail = MailServer(self._choose)
        self._found()
        self._lives = [self._new_life() for _ in range(pick(self._choose, {1: 7, 2: 3}))]

    # The clocks: one that steps, and one that never does

    def now_ms(self) -> int:
        return self._offset_ms + int(self._mono_s * 1000)

    def monotonic_s(self) -> float:
        return self._mono_s

    # How it begins

    def _make_customers(self) -> None:
        self._accounts = {
            number: Account(
                id=number,
                name=f"customer{number}",
                senders=("ACME",),
                receipt_url="" if self._choose.random() < 0.2 else f"http://customer{number}.example/receipt",
                receipt_dialect=self._choose.choice(["", "", *DIALECTS]),
                token=Secret("token"),
                numbers=OWNED[number],
                inbound_url=f"http://customer{number}.example/inbound" if number != 2 else "",
                inbound_email=f"customer{number}@example.com" if number != 3 else "",
                inbound_phone=FORWARDED_TO if number != 1 else "",
            )
            for number in (1, 2, 3)
        }

    def _make_carriers(self) -> None:
        self._companies = {number: Company(number, self._choose) for number in (11, 12)}
        self._carriers = {
            number: Carrier(
                id=number,
                name=f"carrier{number}",
                kind="scripted",
                window=self._choose.choice([1, 2, 8]),
                throughput=self._choose.choice([0.0, 0.0, 5.0]),
                uncertain=self._choose.choice(list(UncertainPolicy)),
                timeout_s=self._choose.choice([5.0, 30.0]),
            )
            for number in self._companies
        }
        self._resending: set[int] = set()  # carriers that ever had the policy `resend`
        self._price_micros = PRICE_MICROS
        self._orders = {prefix: self._any_order() for prefix in NUMBERS[:2]}

    def _any_order(self) -> tuple[int, ...]:
        return self._choose.choice([(11,), (12,), (11, 12), (12, 11)])

    def _found(self) -> None:
        """Tables, a witness, and money for the customers."""
        database = Database(self._url)
        schema.metadata.create_all(database.engine)
        ledger = Ledger(database)
        with database.engine.begin() as connection:
            for account_id in self._accounts:
                limit_micros = self._choose.choice([0, 0, -5 * PRICE_MICROS])
                connection.execute(insert(schema.balance).values(account_id=account_id, limit_micros=limit_micros))
                row = {"id": account_id, "name": f"customer{account_id}", "password_hash": "", "settings": "{}"}
                connection.execute(insert(schema.account).values(row))
        with database.transaction() as transaction:
            for account_id in self._accounts:
                amount_micros = self._choose.choice([3, 15, 60]) * PRICE_MICROS
                ledger.write(transaction, [entry(Kind.CREDIT, account_id, account_id, amount_micros)], START_MS)
            Pool(database).put_file(transaction, [NumberRow(number=one, price_micros=RENT_MICROS) for one in RENTED])
        database.engine.dispose()
        self._reader = Reader(self._url)
        self._reader.install_witness()
        self._tables = self._reader.tables()

    def _new_life(self, *, is_alone: bool = False) -> Life:
        self._lives_count += 1
        self._note_policies()
        life = Life(
            name=f"life {self._lives_count}",
            url=self._url,
            clock=self,
            calendar=self._calendar,
            ids=IdMaker(self._choose.getrandbits),
            rental_ids=IdMaker(self._choose.getrandbits),
            is_alone=is_alone,
            known=self._known(),
            carriers=self._carriers.values(),
            dialects=DIALECTS,
            centre=self._centre,
            send=self._receive_callback,
            post=self._mail.post,
        )
        self._note_blocks(life)
        return life

    def _note_blocks(self, life: Life) -> None:
        """A life has looked at the blacklist."""
        self._blocks[life.name] = self._reader.tables().blocks

    def _known(self) -> Known:
        routes = [
            Route(prefix=prefix, service=None, carrier_ids=order, price_micros=self._price_micros)
            for prefix, order in self._orders.items()
        ]
        return Known(self._accounts, RoutingTable(routes), self._tables.disabled_urls)

    def _note_policies(self) -> None:
        self._resending |= {one.id for one in self._carriers.values() if one.uncertain is UncertainPolicy.RESEND}

    # How it goes on

    def run(self) -> None:
        """The history of this seed. Raises Violation with its last steps."""
        with structlog.testing.capture_logs() as logged:
            try:
                for _ in range(STEPS):
                    self._step(pick(self._choose, ACTS))
                self._calm_down()
                self._check_end()
                for line in logged:
                    is_ours = line["event"] != "carrier_broke"  # the world's carriers break on purpose
                    if line["log_level"] in ("error", "critical") and is_ours:
                        raise Violation(f"logged {line['event']}")
            except Exception as error:
                steps = "\n".join(f"  {step}" for step in self.trace)
                raise Violation(f"{error}\n{steps}") from error

    def close(self) -> None:
        for life in self._lives:
            life.kill()
        self._reader.close()

    def _step(self, act: Callable[["World"], str]) -> None:
        told = act(self)
        self._settle()
        if told:
            self.trace.append(f"{self.now_ms() - START_MS:>12} ms  {told}")
        self._check()

    def _settle(self) -> None:
        for life in self._lives:
            if not life.is_stalled:
                life.loop.settle()

    def _life(self) -> Life:
        """A life that is not stalled; there is always one."""
        return self._choose.choice([life for life in self._lives if not life.is_stalled])

    # Acts: each does one thing and tells it

    def commit(self) -> str:
        life = self._life()
        if not life.store.waiting_count:
            return ""
        fault = pick(self._choose, COMMITS)
        self._blocks_before = dict(self._blocks)
        try:
            count = life.commit(fault)
        except Killed:
            self._bury(life)
            return f"{life.name} is {fault} its commit; {self._lives[-1].name} starts"
        return f"{life.name} commits {count}: {'away' if life.is_away else fault}"

    def kill(self) -> str:
        life = self._life()
        self._bury(life)
        return f"{life.name} is killed; {self._lives[-1].name} starts"

    def _bury(self, life: Life) -> None:
        life.kill()
        self._take_back_letters(lambda owner: owner is life)
        self._take_back_pieces(life)
        self._lives.remove(life)
        if self._lives:  # the others notice when its lease lapses
            self._reader.run(f"UPDATE node SET lease_until_ms = 0 WHERE id = {life.store.node.id}")
        self._lives.append(self._new_life(is_alone=not self._lives))

    def stall(self) -> str:
        """A life stands still until its lease has lapsed, and another takes over what it held."""
        awake = [life for life in self._lives if not life.is_stalled]
        if len(awake) < 2:
            return ""
        life = self._choose.choice(awake)
        self._drain(life)
        life.is_stalled = True
        self._reader.run(f"UPDATE node SET lease_until_ms = 0 WHERE id = {life.store.node.id}")
        return f"{life.name} stands still, its lease lapses"

    def wake_up(self) -> str:
        for life in self._lives:
            if life.is_stalled:
                life.is_stalled = False
                return f"{life.name} goes on"
        return ""

    def renew(self) -> str:
        life = self._life()
        if life.is_away:
            return ""
        life.renew()
        return f"{life.name} renews its lease"

    def lose_database(self) -> str:
        life = self._life()
        life.is_away = True
        return f"{life.name} loses the database"

    def find_database(self) -> str:
        for life in self._lives:
            if life.is_away:
                life.is_away = False
                return f"{life.name} finds the database"
        return ""

    def begin_round(self) -> str:
        life, name = self._life(), self._choose.choice(ROUNDS)
        life.begin_round(name)
        if name == "blacklist":
            life.loop.settle()
            self._note_blocks(life)
        return f"{life.name} begins its round of {name}"

    def follow(self) -> str:
        life = self._life()
        self._lead(life)
        return f"{life.name} follows the configuration"

    def _lead(self, life: Life) -> None:
        self._note_policies()
        life.follow(self._known(), self._carriers.values())

    def configure(self) -> str:
        what = self._choose.choice(["price", "route", "policy"])
        if what == "price":
            self._price_micros = self._choose.choice([0, 5_000, PRICE_MICROS, 25_000])
        elif what == "route":
            self._orders[self._choose.choice(list(self._orders))] = self._any_order()
        else:
            carrier = self._choose.choice(list(self._carriers.values()))
            policy = self._choose.choice(list(UncertainPolicy))
            self._carriers[carrier.id] = structs.replace(carrier, uncertain=policy)
            what = f"policy: {carrier.name} {policy}"
        return f"configured: {what}"

    def wait_a_moment(self) -> str:
        moment_s = self._choose.choice([0.001, 0.05, 0.3, 1.0, 2.5])
        self._mono_s += moment_s
        return f"{moment_s} s pass"

    def wait_long(self) -> str:
        for life in self._lives:  # a commit waits for milliseconds, never for days
            self._drain(life)
        long_s = self._choose.choice([6.0, 31.0, 70.0, 400.0, 3_700.0, 7_200.0, 40_000.0, DAY_S])
        self._mono_s += long_s
        return f"{long_s} s pass"

    def wait_a_month(self) -> str:
        for life in self._lives:
            self._drain(life)
        self._calendar.ahead_ms += MONTH_MS
        return "a month of rent passes"

    def wait_for_schedule(self) -> str:
        """To the very moment at which something comes due, or just before or after it."""
        now_ms = self.now_ms()
        waiting = [one for one in self._tables.messages.values() if one.state is State.SCHEDULED]
        dues = [one.due_ms for one in waiting if one.due_ms > now_ms]
        if not dues:
            return ""
        for life in self._lives:
            self._drain(life)
        moment_s = max(0.0, (min(dues) - now_ms) / 1000 + self._choose.choice([-0.002, 0.0, 0.3]))
        self._mono_s += moment_s
        return f"{moment_s} s pass until something is due"

    def step_clock(self) -> str:
        for life in self._lives:
            self._drain(life)
        self._phones.notice_clock()
        leap_s = self._choose.choice([-DAY_S, -3_600, -1, 1, 3_600])
        self._offset_ms += leap_s * 1000
        return f"the wall clock steps by {leap_s} s"

    def _drain(self, life: Life) -> None:
        for _ in range(CALM_COMMITS_MAX):
            if life.is_stalled:
                return
            life.loop.settle()
            if not life.store.waiting_count:
                return
            self._blocks_before = dict(self._blocks)
            life.commit()
        raise Violation(f"{life.name} never stops writing")

    # Customers

    def submit(self) -> str:
        life, number = self._life(), len(self._asked) + 1
        account = self._choose.choice(list(self._accounts.values()))
        dialect = self._choose.choice(list(DIALECTS.values()))
        submission = self._submission(account, f"s{number}")
        asked = self._asked[submission.reference] = Asked(account.id, submission.scheduled_ms or 0)
        originator = allowed_originator(account, submission.originator, dialect.north.default_originator) or ""
        names = {(account.id, one, under) for one in submission.recipients for under in ("", originator)}
        is_blocked = bool(names & self._blocks[life.name])

        def hear(answer: "asyncio.Task[Verdict]") -> None:
            asked.verdict = answer.result()
            if is_blocked and isinstance(asked.verdict, Accepted):
                self._violations.append(f"{submission.reference} was accepted, but {life.name} knew it was blocked")
            is_excused = is_blocked or names & self._blocks[life.name]
            if asked.verdict == Refused(Refusal.BLOCKED) and not is_excused:
                self._violations.append(f"{submission.reference} was refused as blocked, and nobody blocked it")

        life.begin(life.intake.submit(account, submission, dialect)).add_done_callback(hear)
        many = len(submission.recipients)
        return f"{account.name} asks {life.name} for {submission.reference}, {many} recipients, by {dialect.name}"

    def _submission(self, account: Account, reference: str) -> Submission:
        choose = self._choose
        prefix = choose.choices(NUMBERS, [10, 10, 1])[0]
        count = choose.choice([1, 1, 1, 2, 4])
        is_scheduled, is_short = choose.random() < 0.3, choose.random() < 0.3
        blocked = sorted({one for account_id, one, _ in self._tables.blocks if account_id == account.id})
        return Submission(
            recipients=tuple(
                choose.choice(blocked) if blocked and choose.random() < 0.3 else f"{prefix}{choose.randrange(10):03}"
                for _ in range(count)
            ),
            text=choose.choices(TEXTS, [4, 1, 1])[0],
            originator=choose.choices(["ACME", "", "STRANGER", OWNED[1][0]], [8, 2, 1, 2])[0],
            priority=choose.choice(list(Priority)),
            reference=reference,
            scheduled_ms=self.now_ms() + choose.choice([500, 60_000, 7_200_000]) if is_scheduled else None,
            validity_s=choose.choice([5, 60, 3_600]) if is_short else None,
            wants_callbacks=choose.random() < 0.9,
            is_charged_late=is_scheduled and choose.random() < 0.7,
        )

    def _accepted(self) -> list[tuple[str, Asked, list[int]]]:
        return [
            (reference, asked, [int(ticket.reference) for ticket in asked.verdict.tickets])
            for reference, asked in self._asked.items()
            if isinstance(asked.verdict, Accepted)
        ]

    def cancel(self) -> str:
        """Take back a whole submission, or its message to one recipient."""
        accepted = self._accepted()
        life = self._life()
        if not accepted or life.is_away:
            return ""
        reference, asked, ids = self._choose.choice(accepted[-5:])
        assert isinstance(asked.verdict, Accepted)
        recipient = self._choose.choice(["", self._choose.choice(asked.verdict.tickets).recipient])

        def hear(answer: "asyncio.Task[Outcome]") -> None:
            messages = [one for one in self._reader.tables().messages.values() if one.id in ids]
            states = {one.state for one in messages if recipient in ("", one.recipient)}
            if isinstance(answer.result(), Cancelled) and State.CANCELLED not in states:
                self._violations.append(f"{reference} was said to be cancelled, but is {sorted(states)}")

        tickets = zip(ids, asked.verdict.tickets, strict=True)
        self._cancellable |= {one for one, ticket in tickets if recipient in ("", ticket.recipient)}
        call = Cancel(self._accounts[asked.account_id], str(ids[0]), recipient)
        life.begin(life.front.answer(call, PROOVL, "")).add_done_callback(hear)
        return f"{reference} is to be cancelled {recipient and 'for ' + recipient}"

    def cancel_all(self) -> str:
        life, account = self._life(), self._choose.choice(list(self._accounts.values()))
        scheduled = self._scheduled_of(account)
        if not scheduled:
            return ""
        self._recalling.add(account.id)

        def hear(answer: "asyncio.Task[Outcome]") -> None:
            left = scheduled & self._scheduled_of(account)
            if isinstance(answer.result(), Cancelled) and left:
                self._violations.append(f"all of {account.name} was said to be cancelled, but not {sorted(left)}")

        life.begin(life.front.answer(CancelAll(account), PROOVL, "")).add_done_callback(hear)
        return f"all that {account.name} has scheduled is to be cancelled"

    def _scheduled_of(self, account: Account) -> set[int]:
        messages = self._reader.tables().messages.values()
        return {one.id for one in messages if one.account_id == account.id and one.state is State.SCHEDULED}

    def query(self) -> str:
        accepted = self._accepted()
        if not accepted:
            return ""
        reference, asked, ids = self._choose.choice(accepted)
        life = self._life()

        def hear(answer: "asyncio.Task[Outcome]") -> None:
            report = answer.result()
            if not isinstance(report, Report) or report.id != ids[0]:
                self._violations.append(f"asked for {reference}: {report}")

        call = Query(reference=str(ids[0]), account=self._accounts[asked.account_id])
        life.begin(life.front.answer(call, PROOVL, "")).add_done_callback(hear)
        return f"{reference} is asked for"

    def rent(self) -> str:
        life, number = self._life(), self._choose.choice(RENTED)
        account = self._choose.choice(list(self._accounts.values()))
        self._landlord.asked_count += 1

        def hear(answer: "asyncio.Task[Outcome]") -> None:
            outcome = answer.result()
            self._landlord.rented_count += isinstance(outcome, Number)
            is_certain = isinstance(outcome, Refused) and outcome.reason is not Refusal.OVERLOADED
            self._landlord.refused_count += is_certain

        life.begin(life.front.answer(RentNumber(account, number), PROOVL, "")).add_done_callback(hear)
        return f"{account.name} wants to rent {number}"

    def give_back(self) -> str:
        if not self._tables.rentals:
            return ""
        one, life = self._choose.choice(self._tables.rentals), self._life()
        call = ReturnNumber(self._accounts[one.account_id], one.number)

        def hear(answer: "asyncio.Task[Outcome]") -> None:
            has_it = any(each.rental_id == one.rental_id for each in self._reader.tables().rentals)
            if isinstance(answer.result(), Number) and has_it:
                self._violations.append(f"{one.number} was given back, but it is still rented")

        life.begin(life.front.answer(call, PROOVL, "")).add_done_callback(hear)
        return f"{self._accounts[one.account_id].name} gives {one.number} back"

    def block(self) -> str:
        life, account = self._life(), self._choose.choice(list(self._accounts.values()))
        number = self._choose.choice(FAMILIAR)
        self._change_blocks(life, BlockNumbers(account=account, numbers=(number,)), (account.id, number, ""))
        return f"{account.name} blocks {number} at {life.name}"

    def unblock(self) -> str:
        if not self._tables.blocks:
            return ""
        life = self._life()
        account_id, number, _ = self._choose.choice(sorted(self._tables.blocks))
        self._pardons.add((account_id, number))
        self._change_blocks(life, UnblockNumbers(self._accounts[account_id], (number,)), None)
        return f"customer{account_id} no longer blocks {number} at {life.name}"

    def _change_blocks(self, life: Life, call: Call, name: tuple[int, str, str] | None) -> None:
        def hear(answer: "asyncio.Task[Outcome]") -> None:
            if isinstance(answer.result(), Done):
                self._note_blocks(life)
                self._check_blocked(life, name)

        life.begin(life.front.answer(call, PROOVL, "")).add_done_callback(hear)

    def _check_blocked(self, life: Life, name: tuple[int, str, str] | None) -> None:
        """Whoever was told that a number is blocked finds it on the list, unless somebody may have taken it off."""
        if name and name not in self._blocks[life.name] and name[:2] not in self._pardons:
            self._violations.append(f"{name[1]} was said to be blocked, but is not")

    async def _receive_callback(self, request: HttpRequest, _timeout_s: float) -> Reply:
        """The customers' web servers."""
        account_id = int(request.origin.removeprefix("http://customer").removesuffix(".example"))
        url = request.url.partition("?")[0]
        is_gone = (account_id, url) in self._tables.disabled_urls
        if is_gone and all(life.known.is_disabled(account_id, url) for life in self._lives):
            self._violations.append(f"{request.url} was called although it is gone")
        how = "answers" if self._is_calm else pick(self._choose, RECEIVERS)
        if how == "is never there":
            await asyncio.sleep(10.0)
            return Failure(is_certain=False, detail="no answer in time")
        if how == "is slow":
            await asyncio.sleep(self._choose.choice([0.5, 5.0]))
        if how == "asks to wait":
            return HttpResponse(status=429, headers=((b"Retry-After", b"120"),))
        if how == "is gone":
            self._gone.add((account_id, url))
        if how in ("fails", "is gone"):
            return HttpResponse(status=500 if how == "fails" else 410)
        self._answered.add((request.url, request.query, request.body))
        return HttpResponse(status=200)

    # Phones

    def write(self) -> str:
        written = self._phones.write(self._choose.choice(FAMILIAR))
        account_id = self._owner_of(written.recipient)
        if written.is_word:
            self._pardons |= {(account_id, written.originator)} if "start" in written.texts[0] else set()
        return f"{written.originator} writes {len(written.texts)} segments to {written.recipient}"

    def bring(self) -> str:
        piece = self._phones.take()
        return self._bring(piece) if piece is not None else ""

    def _bring(self, piece: Piece) -> str:
        life, carrier = self._life(), self._carriers[piece.written.carrier_id]
        task = life.begin(life.inbox.receive(carrier, piece.inbound))
        self._pieces[task] = life, piece
        task.add_done_callback(self._hear_brought)
        return f"{life.name} is brought segment {piece.position} of what {piece.written.originator} wrote"

    def _hear_brought(self, task: "asyncio.Task[Kept]") -> None:
        life, piece = self._pieces.pop(task)
        if isinstance(task.exception(), StoreError):
            self._phones.post.append(piece)
            return
        kept, written = task.result(), piece.written
        self._phones.hear_kept(piece, is_calm=self._is_calm)
        if kept.changes_blocks:
            self._note_blocks(life)
        owner_id = self._owner_of(written.recipient)
        if written.texts == ("STOP",) and owner_id and not kept.is_copy:
            under = "" if len(OWNED[owner_id]) == 1 else written.recipient
            self._check_blocked(life, (owner_id, written.originator, under))

    def _take_back_pieces(self, life: Life) -> None:
        """What was not answered is brought again."""
        for task, (owner, piece) in list(self._pieces.items()):
            if owner is life:
                del self._pieces[task]
                self._phones.post.append(piece)

    def _owner_of(self, number: str) -> int:
        return next((account_id for account_id, owned in OWNED.items() if number in owned), 0)

    # Carriers

    def _centre(self, life: Life, carrier: Carrier) -> MessageCentre:
        def watch(one: Carrier, submission: Submission) -> Callable[[Verdict], None]:
            message_id, node_id = int(submission.reference), life.store.node.id
            self._check_leaving(life, message_id)

            def hear(verdict: Verdict) -> None:
                if isinstance(verdict, Accepted):
                    self._heard.append((life, node_id, message_id))

            return hear

        return Line(carrier, self._companies[carrier.id], watch)

    def _check_leaving(self, life: Life, message_id: int) -> None:
        """What must be true in the very moment in which a message leaves."""
        tables = self._reader.tables()
        row = tables.messages.get(message_id)
        if row is None:
            self._violations.append(f"message {message_id} left although nobody kept it")
            return
        if row.state is not State.SENDING or row.node_id != life.store.node.id:
            self._violations.append(f"message {message_id} left while it was {row.state} of node {row.node_id}")
        if row.expires_ms <= self.now_ms():
            self._violations.append(f"message {message_id} left after its time")
        names = {(row.account_id, row.recipient, under) for under in ("", row.originator)}
        if names & tables.blocks & self._blocks_before.get(life.name, frozenset()):
            self._violations.append(f"message {message_id} left, but {life.name} knew its phone wants none")
        if row.is_charged_late:
            self._violations.append(f"message {message_id} left before it was charged")
        if row.reference:
            self._check_asked(row)
        copies = [copy for company in self._companies.values() for copy in company.copies.get(message_id, ())]
        unexplained = [copy.carrier_id for copy in copies if copy.carrier_id not in self._resending]
        if unexplained:
            self._violations.append(f"message {message_id} leaves again; carrier {unexplained[0]} took it, no `resend`")

    def _check_asked(self, row: MessageRow) -> None:
        """The same of one that a customer asked for; the others are forwards."""
        if max(self._latest_ms, self.now_ms()) < self._asked[row.reference].scheduled_ms:
            self._violations.append(f"message {row.id} left before it was due")
        if isinstance(self._asked[row.reference].verdict, Refused) and not self._may_be_kept(row.reference):
            self._violations.append(f"message {row.id} left although it was refused")

    def carrier_acts(self) -> str:
        company = self._choose.choice(list(self._companies.values()))
        if self._choose.random() < 0.4 and company.answer_one():
            return f"carrier {company.carrier_id} answers late"
        if not company.post:
            return ""
        letter = company.post.pop(self._choose.randrange(len(company.post)))
        return self._deliver(letter)

    def _deliver(self, letter: Letter) -> str:
        life = self._life()
        with life.loop.running():
            told = life.receipts.receive(self._carriers[letter.carrier_id], letter.receipt)
            self._letters[told] = life, letter
            told.add_done_callback(self._hear_kept)
        return f"{life.name} gets a receipt: {letter.receipt.reference} {letter.receipt.state}"

    def _hear_kept(self, told: "asyncio.Future[Told]") -> None:
        _, letter = self._letters.pop(told)
        if isinstance(told.exception(), StoreError):
            self._companies[letter.carrier_id].post.append(letter)
        else:
            self._kept_letters.append(letter)

    def _take_back_letters(self, is_lost: Callable[[Life], bool]) -> None:
        """A receipt that was not answered is sent again."""
        for told, (life, letter) in list(self._letters.items()):
            if is_lost(life):
                del self._letters[told]
                self._companies[letter.carrier_id].post.append(letter)

    def write_to_nobody(self) -> str:
        company = self._choose.choice(list(self._companies.values()))
        company.write_to_nobody()
        return ""

    # What must hold

    def _check(self) -> None:
        self._tables = self._reader.tables()
        self._latest_ms = max(self._latest_ms, self.now_ms())
        broken = [
            *self._violations,
            *(surprise for life in self._lives for surprise in life.loop.surprises),
            *broken_rules(self._tables, self._accounts, DIALECTS),
            *self._broken_promises(self._tables),
            *self._broken_cancellations(self._tables),
            *self._broken_rentals(self._tables),
            *self._phones.broken(self._tables),
            *self._mail.broken(self._tables),
        ]
        if broken:
            raise Violation(broken[0])

    def _broken_promises(self, tables: Tables) -> Iterator[str]:
        """Accepted means kept; refused means that nothing is left of it."""
        kept: dict[str, list[int]] = {}
        for one in tables.messages.values():
            kept.setdefault(one.reference, []).append(one.id)
        for reference, asked in self._asked.items():
            if isinstance(asked.verdict, Accepted):
                promised = [int(ticket.reference) for ticket in asked.verdict.tickets]
                if kept.get(reference) != promised:
                    yield f"{reference} was accepted as {promised}, kept is {kept.get(reference)}"
            elif isinstance(asked.verdict, Refused) and reference in kept and not self._may_be_kept(reference):
                yield f"{reference} was refused ({asked.verdict.reason}), but it is kept"

    def _broken_cancellations(self, tables: Tables) -> Iterator[str]:
        """Only what somebody wanted to be cancelled is."""
        for one in tables.messages.values():
            is_wanted = one.id in self._cancellable or one.account_id in self._recalling
            if one.state is State.CANCELLED and not is_wanted:
                yield f"message {one.id} is cancelled, and nobody wanted that"

    def _broken_rentals(self, tables: Tables) -> Iterator[str]:
        """Rented means paid; refused means that nobody paid."""
        count, told = len(rents_of(tables)), self._landlord
        if not told.rented_count <= count <= told.asked_count - told.refused_count:
            yield f"{told.rented_count} of {told.asked_count} heard that they rent, {count} pay"

    def _may_be_kept(self, reference: str) -> bool:
        """Where the connection is lost in the commit and then stays away, nobody can know; that is said as overload."""
        verdict = self._asked[reference].verdict
        return isinstance(verdict, Refused) and verdict.reason is Refusal.OVERLOADED

    # How it ends

    def _calm_down(self) -> None:
        """No more faults; the clock runs until nothing is left to do."""
        self.trace.append("calm: the faults end")
        self._is_calm = self._mail.is_calm = True
        for company in self._companies.values():
            company.is_calm = True
        for life in self._lives:
            life.is_stalled = life.is_away = False
        for _ in range(CALM_ROUNDS_MAX):
            for life in self._lives:
                self._one_calm_round(life)
            self._check()
            if self._is_over():
                return
            self._pass_time()
        raise Violation(f"it never ends: {self._stuck()}")

    def _one_calm_round(self, life: Life) -> None:
        for company in self._companies.values():
            while company.answer_one():
                pass
            for letter in company.post:
                self._deliver(letter)
            company.post.clear()
        while (piece := self._phones.take()) is not None:
            self._bring(piece)
        self._settle()
        life.renew()
        self._lead(life)
        for name in ("doubts", "expiry", "numbers", "segments", "blacklist", "callbacks"):
            life.begin_round(name)
        for each in self._lives:
            self._drain(each)

    def _pass_time(self) -> None:
        """To the next instant something is due at, at least a second and at most a day away. What is overdue waits for
        a link that is paused, which may be for as long as the other side named: a minute at a time."""
        now_ms = self.now_ms()
        dues = [one.due_ms for one in self._tables.messages.values() if one.state in OPEN]
        dues += [each.due_ms for each in self._tables.callbacks if each.state == "pending"]
        dues += [now_ms + PATIENCE_MS] if self._tables.segments else []
        wait_s = min((due_ms - now_ms) / 1000 for due_ms in dues) if dues else DAY_S
        self._mono_s += min(wait_s if wait_s >= 1.0 else OVERDUE_S, DAY_S)

    def _stuck(self) -> list[str]:
        messages = [f"message {one.id} {one.state}" for one in self._tables.messages.values() if not is_over(one.state)]
        callbacks = [f"callback {each.id}" for each in self._tables.callbacks if each.state == "pending"]
        unpaid = [one for one in self._tables.rentals if one.expires_ms <= self._calendar.now_ms()]
        rentals = [f"number {one.number} unpaid" for one in unpaid]  # a round pays one month, and more may have passed
        return messages + callbacks + rentals + [f"segment {each}" for each in self._tables.segments]

    def _is_over(self) -> bool:
        is_brought = not (self._letters or self._pieces or self._phones.post)
        return is_brought and not self._stuck() and not any(one.post for one in self._companies.values())

    def _check_end(self) -> None:
        for account_id, (_, reserved, _) in self._tables.balances.items():
            if reserved:
                raise Violation(f"account {account_id} has {reserved} reserved, and nothing is open")
        for one in self._tables.rentals:
            if one.expires_ms <= self._calendar.now_ms():
                raise Violation(f"number {one.number} is rented beyond what is paid")
        for broken in self._phones.broken_at_the_end(self._tables):
            raise Violation(broken)
        self._check_payment()
        self._check_receipts()
        self._check_callbacks()

    def _check_payment(self) -> None:
        """What a carrier took is paid, where whoever heard so lives on and was never fenced off."""
        paid = {each.source_id for each in self._tables.entries if each.credit is Purse.REVENUE}
        for life, node_id, message_id in self._heard:
            is_free = not self._tables.messages[message_id].price_micros
            if life in self._lives and life.store.node.id == node_id and message_id not in paid and not is_free:
                raise Violation(f"message {message_id} was taken, {life.name} heard so, and nobody pays")

    def _check_receipts(self) -> None:
        """Where final receipts were kept for all references of a message, it has ended."""
        told = {(letter.carrier_id, letter.receipt.reference) for letter in self._kept_letters if is_final(letter)}
        told_all: dict[int, bool] = {}
        for reference, (message_id, _) in self._tables.matched.items():
            told_all[message_id] = told_all.get(message_id, True) and reference in told
        for message_id, is_told in told_all.items():
            state = self._tables.messages[message_id].state
            if is_told and state not in FINAL:
                raise Violation(f"message {message_id} is {state} although its receipts were kept")

    def _check_callbacks(self) -> None:
        """What counts as done was answered with success; what came from phones is done, unless its URL is gone."""
        for each in self._tables.callbacks:
            request = self._request_of(each)
            if request is None:
                continue
            if each.state == "done" and (request.url, request.query, request.body) not in self._answered:
                raise Violation(f"callback {each.id} is done, but nobody took it")
            is_gone = (each.account_id, request.url.partition("?")[0]) in self._gone
            if each.kind == INBOUND and each.state != "done" and not is_gone:
                raise Violation(f"callback {each.id} about a message from a phone is {each.state}")

    def _request_of(self, each: CallbackSeen) -> HttpRequest | None:
        """How a callback looks on the wire, where it goes by HTTP."""
        account, north = self._accounts[each.account_id], DIALECTS[each.dialect].north if each.dialect else None
        url = account.receipt_url if each.kind == RECEIPT else account.inbound_url
        target = CallbackTarget(url=url, method=account.receipt_method, token=account.token)
        if isinstance(each.about, Report):
            assert north is not None
            assert north.receipt is not None
            return north.receipt(target, each.about)
        if each.kind != INBOUND:
            return None
        assert north is not None
        assert north.inbound is not None
        return north.inbound(target, each.about)


def tell(seed: int, url: str) -> str:
    """Play one history to its end; what broke in it, how it came to that, and how to see it again. Empty if nothing."""
    world = World(seed, url)
    try:
        world.run()
    except Violation as violation:
        return f"seed {seed} (again: CHAPPE_WORLD_SEED={seed} ./dev test tests/world): {violation}"
    finally:
        world.close()
    return ""


def is_over(state: State) -> bool:
    return state in FINAL or state is State.UNKNOWN


def is_final(letter: Letter) -> bool:
    return letter.receipt.state in FINAL


ACTS: dict[Callable[[World], str], int] = {
    World.commit: 34,
    World.submit: 14,
    World.carrier_acts: 16,
    World.wait_a_moment: 14,
    World.wait_long: 2,
    World.wait_a_month: 1,
    World.rent: 3,
    World.give_back: 1,
    World.step_clock: 1,
    World.begin_round: 10,
    World.cancel: 5,
    World.cancel_all: 1,
    World.wait_for_schedule: 3,
    World.write: 5,
    World.bring: 9,
    World.block: 3,
    World.unblock: 1,
    World.query: 1,
    World.kill: 1,
    World.stall: 2,
    World.wake_up: 2,
    World.renew: 3,
    World.lose_database: 1,
    World.find_database: 8,
    World.configure: 4,
    World.follow: 4,
    World.write_to_nobody: 1,
}
