"""Which message a carrier's receipts mean, while it is not known in which digits it writes its ids.

A receipt may name a message in decimal digits that was answered in hexadecimal ones, or the other way round. Receipts
often come at once, even before the answer, and so before the store knows the id. Therefore the ids that were answered
last are kept here with their recipients, and with them the receipts that fitted none of them: whichever comes second
finds the first. Messages that were sent earlier, or by another process, are found by the store, which then tells under
which spelling. Three receipts that show the same rule, and none another, end all this: from then on the rule is known.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator

from msgspec.structs import replace

from chappe.core.model import Receipt
from chappe.core.recipients import is_same_number
from chappe.dialects.smpp.ids import readings, rule_of
from chappe.dialects.smpp.words import Ids

AGREEING_MIN = 3
ANSWERED_MAX = 10_000
EARLY_MAX = 1_000


class ReceiptIds:
    """Nothing is kept once the rule is known."""

    def __init__(self, rule: Ids) -> None:
        self.rule = rule
        self._seen: Counter[Ids] = Counter()
        self._answered: OrderedDict[str, str] = OrderedDict()  # id -> recipient
        self._early: OrderedDict[str, Receipt] = OrderedDict()  # reading -> a receipt that no id fitted yet

    @property
    def is_learning(self) -> bool:
        return self.rule is Ids.LEARN

    def answer(self, message_id: str, recipient: str) -> Receipt | None:
        """Keep an id that was given; returns a receipt that came before and means it, under this id."""
        self._answered[message_id] = recipient
        if len(self._answered) > ANSWERED_MAX:
            self._answered.popitem(last=False)
        early = self._early.pop(message_id, None)
        if early is None or not is_same_number(early.recipient, recipient):
            return None
        self._forget(early)
        # Kept under its own reference it has been already, and is found there.
        return replace(early, reference=message_id, spellings=()) if early.reference != message_id else None

    def read(self, receipt: Receipt) -> Receipt:
        """A receipt under the id that it means, where one of those that were given fits; else as it is."""
        for reading in (receipt.reference, *receipt.spellings):
            recipient = self._answered.get(reading)
            if recipient is not None and is_same_number(receipt.recipient, recipient):
                return replace(receipt, reference=reading, spellings=())
        return receipt

    def park(self, receipt: Receipt) -> Receipt | None:
        """Keep a receipt that found no message: its answer may be on the way. Returns it under another id, where one
        was given meanwhile, or the rule became known, since it was read."""
        again = self.read(receipt) if self.is_learning else self._by_rule(receipt)
        if again.reference != receipt.reference or not self.is_learning:
            return again if again.reference != receipt.reference else None
        for reading in (receipt.reference, *receipt.spellings):
            self._early[reading] = receipt
        while len(self._early) > EARLY_MAX:
            self._early.popitem(last=False)
        return None

    def learn(self, written: str, matched: str) -> Iterator[Receipt]:
        """Learn from a receipt that named a message as `written`, which is called `matched`; once the rule is known,
        yields what came before and means something else by it."""
        rule = rule_of(written, matched)
        if rule is None or not self.is_learning:
            return
        self._seen[rule] += 1
        if len(self._seen) > 1 or self._seen[rule] < AGREEING_MIN:
            return
        self.rule = rule
        early = {id(receipt): receipt for receipt in self._early.values()}.values()
        self._early.clear()
        self._answered.clear()
        for receipt in early:
            again = self._by_rule(receipt)
            if again.reference != receipt.reference:
                yield again

    def _by_rule(self, receipt: Receipt) -> Receipt:
        reference, spellings = readings(receipt.reference, "", self.rule)
        return replace(receipt, reference=reference, spellings=spellings)

    def _forget(self, receipt: Receipt) -> None:
        for reading in (receipt.reference, *receipt.spellings):
            self._early.pop(reading, None)
