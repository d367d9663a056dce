"""A carrier that was removed: like one that is down for good, so that a backup gets what still waits for it.

What has no backup waits on, until the carrier returns or the validity ends: an operator's slip loses nothing.
"""

from chappe.carriers.unlinked import Unlinked
from chappe.core.centre import Balance, Cancelled, Refusal, Refused, Uncertain, Verdict
from chappe.core.model import Report, Submission

REMOVED = Refused(Refusal.UNREACHABLE, "the carrier was removed")


class RemovedCarrier(Unlinked):
    """Certain about all that was not sent yet. What was in doubt when it went stays so until its validity ends."""

    finds_our_reference = False
    receipts_name_our_reference = False

    async def submit(self, submission: Submission) -> Verdict:
        return REMOVED

    async def query(self, reference: str, originator: str = "", recipient: str = "") -> Report | Refused | Uncertain:
        return Uncertain(REMOVED.detail)

    async def cancel(self, reference: str, recipient: str = "") -> Cancelled | Refused | Uncertain:
        return REMOVED

    async def balance(self) -> Balance | Refused | Uncertain:
        return REMOVED
