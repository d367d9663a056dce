"""The phones of the simulated carriers, played by people and tests: what the next message to a number comes to, and
what a phone writes to one of our numbers.

Fates are chosen for an account's messages to a number, one after the other, and are remembered by this process alone
until the message is sent. What a phone writes takes the way of everything that carriers bring.
"""

from collections import OrderedDict, deque
from collections.abc import Callable

from chappe.core.centre import Refusal, Refused
from chappe.core.fates import NAMED, Fate, fate_named
from chappe.core.model import TEST_CARRIER, Account, Carrier, Inbound
from chappe.core.people import Caller, Sight
from chappe.gateway.directory import Directory
from chappe.gateway.inbound import InboundDesk, number_of
from chappe.sms.numbers import parse_msisdn
from chappe.store.engine import Store
from chappe.store.handsets import Bubble as Bubble
from chappe.store.inbox import TEXT_MAX, Kept

SIMULATED = "simulated"
NUMBERS_MAX = 1_000  # that fates wait for; beyond them the oldest is forgotten
FATES_MAX = 20  # that wait for one number
NO_FATE = Refused(Refusal.BAD_REQUEST, f"no such fate; there are {', '.join(NAMED)}")


class SimulatorDesk:
    """`directory` gives the current snapshot."""

    def __init__(self, store: Store, directory: Callable[[], Directory], inbox: InboundDesk, *, is_demo: bool) -> None:
        self._store = store
        self._directory = directory
        self._inbox = inbox
        self._is_demo = is_demo
        self._waiting: OrderedDict[tuple[int, str], deque[Fate]] = OrderedDict()

    def is_open(self, caller: Caller) -> bool:
        """Whether there is anything to play with: the demo, test mode, or a simulated carrier."""
        return self._is_demo or caller.is_test or bool(self.simulated_carriers())

    def simulated_carriers(self) -> tuple[Carrier, ...]:
        """Those that are configured and there."""
        return tuple(one for one in self._directory().carriers if one.is_active and one.kind == SIMULATED)

    def carrier_ids(self) -> tuple[int, ...]:
        """All whose messages reach no real phone, the one of test mode among them."""
        return (TEST_CARRIER.id, *(one.id for one in self._directory().carriers if one.kind == SIMULATED))

    async def phones(self, sight: Sight) -> list[Bubble]:
        """The last message of each phone of a simulated carrier that accounts in sight had to do with."""
        return await self._store.read(
            lambda transaction: self._store.handsets.phones(transaction, sight.account_ids, self.carrier_ids())
        )

    async def conversation(self, sight: Sight, phone: str) -> list[Bubble]:
        """What accounts in sight and such a phone wrote to each other lately, the oldest first."""
        return await self._store.read(
            lambda transaction: self._store.handsets.conversation(
                transaction, phone, sight.account_ids, self.carrier_ids()
            )
        )

    def set_fate(
        self, sight: Sight, recipient: str, fate: str, *, late_s: float | None = None, account_id: int = 0
    ) -> Fate | Refused:
        """Choose what the next message to a number comes to, where a simulated carrier takes it. It is for the messages
        of `account_id`, else of the only account in sight; where all are in sight and none is named, of everybody."""
        number = parse_msisdn(recipient.strip().removeprefix("+"), strict=True)
        if number is None:
            return Refused(Refusal.BAD_RECIPIENT)
        chosen = fate_named(fate, late_s)
        if chosen is None:
            return NO_FATE
        whose = account_id or only_one(sight)
        if whose is None or (whose and not sight.sees(whose)):
            return Refused(Refusal.NOT_FOUND)
        waiting = self._waiting.setdefault((whose, number), deque())
        if len(waiting) >= FATES_MAX:
            return Refused(Refusal.OVERLOADED, f"{FATES_MAX} fates wait for this number already")
        waiting.append(chosen)
        self._waiting.move_to_end((whose, number))
        if len(self._waiting) > NUMBERS_MAX:
            self._waiting.popitem(last=False)
        return chosen

    def waiting_fates(self, account_id: int, recipient: str) -> tuple[Fate, ...]:
        """What was chosen for an account's next messages to a number, the next one first."""
        own, everybodys = self._waiting.get((account_id, recipient), ()), self._waiting.get((0, recipient), ())
        return (*own, *everybodys)

    def take_fate(self, account_id: int, recipient: str) -> Fate | None:
        """What was chosen for this message, which now is sent: it is not chosen for another."""
        if not self._waiting:
            return None
        for key in ((account_id, recipient), (0, recipient)):
            waiting = self._waiting.get(key)
            if waiting:
                fate = waiting.popleft()
                if not waiting:
                    del self._waiting[key]
                return fate
        return None

    async def receive(self, sight: Sight, originator: str, recipient: str, text: str) -> Kept | Refused:
        """A phone writes to a number of an account in sight. Raises StoreError where the message was not kept."""
        if not text or len(text) > TEXT_MAX:
            return Refused(Refusal.BAD_REQUEST if text else Refusal.EMPTY_TEXT)
        phone, number = number_of(originator), number_of(recipient)
        if not phone:
            return Refused(Refusal.BAD_ORIGINATOR)
        owner = self._directory().owner(number)
        if owner is None or not sight.sees(owner.id):
            return Refused(Refusal.NOT_FOUND, "no account has that number")
        return await self._inbox.receive(
            TEST_CARRIER, Inbound(reference="", originator=phone, recipient=number, text=text)
        )


def only_one(sight: Sight) -> int | None:
    """The account in sight; 0 = all are; None where several are, and nobody says which."""
    if sight.account_ids is None:
        return 0
    return next(iter(sight.account_ids)) if len(sight.account_ids) == 1 else None


def reply_number(account: Account, originator: str) -> str:
    """The number that a phone's answer goes to: the sender of the message where it is one of the account's, else the
    account's first; empty where it has none."""
    return originator if originator in account.numbers else next(iter(account.numbers), "")
