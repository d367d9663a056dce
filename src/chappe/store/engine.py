"""The store: what the gateway remembers, as verbs of our own field.

Each verb below takes one item and answers after the commit that holds it; many callers share one commit (see
`group_commit.py`). There is no other way to write, and none to touch single rows. Reads run beside the writer.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from chappe.core.model import Message
from chappe.store.aliases import AliasBook
from chappe.store.blocks import BlockList
from chappe.store.callbacks import (
    BoundClaim,
    CallbackClaim,
    CallbackResult,
    Callbacks,
    DisabledUrl,
    DueCallback,
    Plan,
    Resignation,
)
from chappe.store.campaigns import Campaigns
from chappe.store.configuration import Configuration
from chappe.store.database import Database, StoreBroken, StoreUnavailable, Transaction
from chappe.store.figures import Figures
from chappe.store.group_commit import REVISION_RANK, GroupCommit, Verb
from chappe.store.handsets import Handsets
from chappe.store.happenings import Happenings
from chappe.store.histories import Histories
from chappe.store.inbox import Inbox
from chappe.store.kept_answers import KeptAnswers
from chappe.store.keys import Keys
from chappe.store.links import LinkBook
from chappe.store.messages import Acceptance, Cancellation, Expiry, Messages, Recall, Replacement
from chappe.store.money import Ledger
from chappe.store.nodes import Node, Nodes
from chappe.store.numbers import Numbers
from chappe.store.parts import Parts
from chappe.store.payments import Payments
from chappe.store.people import People
from chappe.store.phonebook import Phonebook
from chappe.store.pins import Pins
from chappe.store.receipts import ReceiptRow, Receipts, Told
from chappe.store.replay import Replays
from chappe.store.requests import Requests
from chappe.store.reselling import Reselling
from chappe.store.search import Search
from chappe.store.sending import Claim, Outbox, Reconsideration, Recorded, Sending
from chappe.store.sessions import Sessions
from chappe.store.statement import Statements
from chappe.store.stories import StoryBook
from chappe.store.tallies import Tallies
from chappe.store.versions import Versions

Item = TypeVar("Item")
Result = TypeVar("Result")
Future = asyncio.Future
READERS = 2


class Store:
    """The verbs. `has_threads=False` leaves the rounds and reads to the caller's thread (tests, simulator)."""

    def __init__(self, database: Database, *, has_threads: bool = True) -> None:
        self.database = database
        self.node = Node()
        self._commits = GroupCommit(database, asyncio.get_running_loop())
        self._readers = ThreadPoolExecutor(READERS, "chappe-reader") if has_threads else None
        self.ledger = Ledger(database)
        self.nodes = Nodes(database)
        self.configuration = Configuration(database, self.ledger)
        self.versions = Versions(database, self.configuration)
        self.payments = Payments(database, self.ledger)
        self.figures = Figures(database)
        self.sessions = Sessions(database)
        self.reselling = Reselling(database, self.ledger, self.configuration)
        self.numbers = Numbers(database, self.ledger, self.configuration.pool, self.configuration.raise_revision)
        self.people = People(database)
        self.phonebook = Phonebook(database)
        self.aliases = AliasBook(database, self.configuration)
        self.pins = Pins(database)
        self.campaigns = Campaigns(database, self.node)
        self.requests = Requests(database)
        self.handsets = Handsets(database)
        self.keys = Keys(database)
        self.kept_answers = KeptAnswers(database)
        self.tallies = Tallies(database)
        self._commits.finish = self.tallies.write
        self._happenings = Happenings(database, self.node)
        self.stories = StoryBook(database)
        self._callbacks = Callbacks(database, self._happenings, self.node)
        self.blocks = BlockList(database)
        self.inbox = Inbox(database, self._callbacks, self.blocks)
        self.parts = Parts(database, self._callbacks)
        self._receipts = Receipts(database, self.ledger, self._callbacks, self._happenings)
        self._messages = Messages(database, self.ledger, self._callbacks, self._happenings, self.node)
        self.histories = Histories(database)
        self.search = Search(database)
        self.replays = Replays(database)
        self.statements = Statements(database, self.figures)
        self.links = LinkBook(database, self.node)
        self._outbox = Outbox(database, self.ledger, self._callbacks, self._receipts, self._happenings, self.node)
        # The rank is the order within a round: verdicts before the receipts that may belong to them, intake before the
        # claims that may already take from it, balances (locked by intake) last of the shared rows.
        self._record = Verb(1, self._outbox.record_many)
        self._receive = Verb(2, self._receipts.record_many)
        self._cancel = Verb(3, self._messages.cancel_many)
        self._recall = Verb(3, self._messages.recall_many)
        self._replace = Verb(3, self._messages.replace_many)
        self._expire = Verb(3, self._expire_many)
        self._reconsider = Verb(3, self._outbox.reconsider_many)
        self._close_callback = Verb(4, self._callbacks.record_many)
        self._disable_url = Verb(REVISION_RANK, self._callbacks.disable_many)
        self._accept = Verb(5, self._messages.accept_many, lambda item: len(item.messages))
        self._claim = Verb(6, self._outbox.claim_many)
        self._adopt = Verb(6, self._outbox.adopt_many)
        self._claim_callbacks = Verb(6, self._callbacks.claim_many)
        self._claim_bound = Verb(6, self._callbacks.claim_bound_many)
        self._resign = Verb(3, self._callbacks.resign_many)

    # Verbs: each answers after its commit

    def accept(self, item: Acceptance) -> Future[bool]:
        """Keep a submission with its reservation; False where the money does not reach."""
        return self._commits.put(self._accept, item)

    def cancel(self, item: Cancellation) -> Future[int]:
        """Take back what still waits of a submission; how many messages that were."""
        return self._commits.put(self._cancel, item)

    def recall(self, item: Recall) -> Future[int]:
        """Take back what an account has scheduled; how many messages that were."""
        return self._commits.put(self._recall, item)

    def replace(self, item: Replacement) -> Future[bool]:
        """Give a message that waits another text; False where it does not wait (any more)."""
        return self._commits.put(self._replace, item)

    def expire(self, item: Expiry) -> Future[list[DueCallback]]:
        """Close what ran out of time; the callbacks now due."""
        return self._commits.put(self._expire, item)

    def claim(self, item: Claim) -> Future[list[Message]]:
        """Due messages of a carrier, now `sending` and ours."""
        return self._commits.put(self._claim, item)

    def adopt(self, item: Claim) -> Future[list[Message]]:
        """Doubtful messages of a carrier, now ours."""
        return self._commits.put(self._adopt, item)

    def reconsider(self, item: Reconsideration) -> Future[int]:
        """Make all doubtful messages of a carrier due now; how many those were."""
        return self._commits.put(self._reconsider, item)

    def record(self, item: Sending) -> Future[Recorded]:
        """What a carrier said to a message we were sending."""
        return self._commits.put(self._record, item)

    def receive(self, item: ReceiptRow) -> Future[Told]:
        """A delivery receipt."""
        return self._commits.put(self._receive, item)

    def claim_callbacks(self, item: CallbackClaim) -> Future[list[DueCallback]]:
        """Callbacks that are due, now ours."""
        return self._commits.put(self._claim_callbacks, item)

    def claim_bound(self, item: BoundClaim) -> Future[list[DueCallback]]:
        """Callbacks to an account's binds that are due, now ours."""
        return self._commits.put(self._claim_bound, item)

    def resign(self, item: Resignation) -> Future[int]:
        """Give up callbacks that waited too long for a bind; how many those were."""
        return self._commits.put(self._resign, item)

    def close_callback(self, item: CallbackResult) -> Future[None]:
        """How an attempt at a callback went."""
        return self._commits.put(self._close_callback, item)

    def disable_url(self, item: DisabledUrl) -> Future[None]:
        """Never call this URL again for this account."""
        return self._commits.put(self._disable_url, item)

    def commit(self, verb: Verb[Item, Result], item: Item) -> Future[Result]:
        """Ask one of the further verbs (of `sessions`, `inbox`, `numbers` ...) to do something to an item."""
        return self._commits.put(verb, item)

    async def read(self, question: Callable[[Transaction], Result]) -> Result:
        """Answer a question beside the writer, in a transaction of its own."""
        if self._readers is None:
            return self.ask(question)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.ask, question)

    def ask(self, question: Callable[[Transaction], Result]) -> Result:
        """The same in the calling thread. A connection that was lost since the last question is made anew."""
        with contextlib.suppress(StoreUnavailable), self.database.reading() as transaction:
            return question(transaction)
        with self.database.reading() as transaction:
            return question(transaction)

    def of_submission(self, submission_id: int, count_max: int) -> Callable[[Transaction], list[Message]]:
        """The first messages of a submission, whoever's; the price of one that was given back is 0."""

        def look(transaction: Transaction) -> list[Message]:
            past = self.histories.of_submission(transaction, 0, submission_id)
            return [one.message for one in past[:count_max]]

        return look

    def bound_accounts(self, account_ids: Sequence[int], now_ms: int) -> Callable[[Transaction], list[int]]:
        """Which of these accounts have callbacks to their binds that are due."""
        return lambda transaction: self._callbacks.bound_accounts(transaction, account_ids, now_ms)

    def _expire_many(
        self, transaction: Transaction, expiries: Sequence[Expiry], is_repeat: bool
    ) -> list[list[DueCallback]]:
        closed = self._messages.expire_many(transaction, expiries, is_repeat)
        results = []
        for one, messages in zip(expiries, closed, strict=True):
            changes = [(each, each.state, "") for each in messages]
            announced = self._callbacks.announce(transaction, changes, one.now_ms)
            overtaken = self._receipts.meet_overtaken(transaction, one.now_ms, one.count_max)
            results.append(
                [each for told in (announced, overtaken) for callbacks in told.values() for each in callbacks]
            )
            self._receipts.forget(transaction, one.now_ms)
        return results

    # Life

    def set_plan(self, plan: Plan) -> None:
        """Who is to be told that a message came into a state: asked within the commit that changes it."""
        self._callbacks.plan = plan

    def on_broken(self, stop: Callable[[StoreBroken], None]) -> None:
        """What to do when a write could not be made durable: nothing may be acknowledged any more."""
        self._commits.on_broken = stop

    def register(self, node_id: int, name: str, now_ms: int, *, is_alone: bool) -> int:
        """Become a node and free what dead ones held: all others where this process is alone with its database, else
        those whose lease has lapsed. Tells how many messages are doubtful because of it."""
        with self.database.transaction() as transaction:
            self.nodes.register(transaction, node_id, name)
            dead = self.nodes.fence_others(transaction, node_id) if is_alone else self.nodes.fence_lapsed(transaction)
            self.node.id = node_id
            return self._free(transaction, dead, now_ms)

    def renew(self, now_ms: int) -> bool:
        """Hold our lease and free what lapsed nodes held; False where we were fenced off ourselves."""
        with self.database.transaction() as transaction:
            is_held = self.nodes.renew(transaction, self.node.id)
            self._free(transaction, self.nodes.fence_lapsed(transaction), now_ms)
            return is_held

    def leave(self, now_ms: int) -> None:
        """Give back everything that is still ours, and the lease."""
        with self.database.transaction() as transaction:
            self.nodes.strike(transaction, self.node.id)
            self._free(transaction, [self.node.id], now_ms)

    def _free(self, transaction: Transaction, node_ids: Sequence[int], now_ms: int) -> int:
        for node_id in node_ids:
            self._callbacks.release(transaction, node_id, now_ms)
        return self._outbox.free(transaction)

    def start(self) -> None:
        self._commits.start()

    def stop(self) -> None:
        """Write what is waiting and close."""
        self._commits.stop()
        if self._readers is not None:
            self._readers.shutdown()
        self.database.close_readers()

    def commit_once(self) -> int:
        """One round of the group commit in the calling thread (stores without threads)."""
        return self._commits.run_once()

    @property
    def waiting_count(self) -> int:
        """How much waits to be written: the measure of overload."""
        return self._commits.waiting_count
