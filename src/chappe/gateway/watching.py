"""Looks on while a request is answered, for whoever keeps requests."""

from collections.abc import Awaitable, Callable

from chappe.core.centre import Accepted, Call, Outcome
from chappe.core.model import Account
from chappe.core.sessions import Authenticate
from chappe.gateway.hiding import secrets_in


class Watch:
    """What happens while one request is answered: who asks, with which secrets, and what it leads to.

    `ask` stands in for whoever answers the calls of a dialect."""

    __slots__ = ("_answer", "account_id", "is_test", "public", "secrets", "submission_id")

    def __init__(self, answer: Callable[[Call], Awaitable[Outcome]]) -> None:
        self._answer = answer
        self.account_id = 0
        self.submission_id = 0
        self.is_test = False
        self.secrets: set[str] = set()
        self.public: set[str] = set()

    async def ask(self, call: Call) -> Outcome:
        self.secrets.update(secrets_in(call))
        if isinstance(call, Authenticate):
            self.public.add(call.name)
        outcome = await self._answer(call)
        self.secrets.update(secrets_in(outcome))
        if isinstance(outcome, Account):
            self.account_id = outcome.id
            self.is_test = self.is_test or outcome.is_test
        elif isinstance(outcome, Accepted) and not self.submission_id:
            self.submission_id = submission_of(outcome)
        return outcome


def submission_of(accepted: Accepted) -> int:
    """Our id of what was accepted: that of its first message; 0 where nothing was kept."""
    kept = next((one.reference for one in accepted.tickets if one.reference), "")
    return int(kept) if kept.isdigit() else 0
