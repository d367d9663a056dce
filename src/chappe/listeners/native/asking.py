"""What an endpoint is, what it is asked, and what it answers."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from msgspec import Struct

from chappe.core.centre import Call, Outcome, Refusal, Refused
from chappe.core.ids import read_id
from chappe.core.model import Account
from chappe.core.people import Caller, Permission
from chappe.dialects.native import NATIVE, FieldError, problem_of
from chappe.gateway.desks import Desks


class Problematic(Exception):
    """It was not done: a problem is the answer."""

    def __init__(self, code: str, detail: str = "", *errors: FieldError, retry_after_s: float | None = None) -> None:
        super().__init__(code)
        self.problem = problem_of(code, detail, errors)
        self.retry_after_s = retry_after_s


NOT_FOUND = Refused(Refusal.NOT_FOUND)


class Asked(Struct, frozen=True, kw_only=True):
    """A request that may be answered: who asks, and what, read into the records that the endpoint names."""

    desks: Desks
    caller: Caller
    network: str
    path: dict[str, str]
    body: Any = None
    parameters: Any = None
    first_id: int = 0  # reserved for the messages that it makes; 0 = none are

    @property
    def account(self) -> Account:
        """Whom the caller acts as. Raises Problematic for those who run the gateway."""
        if self.caller.account is None:
            raise Problematic(Refusal.FORBIDDEN, "an operator's key acts for no account: use one of the account's own")
        return self.caller.account

    def id(self, name: str) -> int:
        """An id in the path. What is none names nothing. Raises Problematic."""
        found = read_id(self.path[name])
        if not found:
            raise Problematic(Refusal.NOT_FOUND)
        return found

    async def ask(self, call: Call) -> Any:
        """What the gateway answers to a call. Raises Problematic where it refuses."""
        outcome: Outcome = await self.desks.front.answer(call, NATIVE, self.network)
        if isinstance(outcome, Refused):
            raise refused(outcome)
        return outcome


def refused(outcome: Refused, *errors: FieldError) -> Problematic:
    return Problematic(outcome.reason, outcome.detail, *errors, retry_after_s=outcome.retry_after_s)


class Answered(NamedTuple):
    """An answer with more than a body."""

    body: Struct | None
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Asked], Awaitable[Struct | Answered | dict[str, Any] | None]]


class Endpoint(NamedTuple):
    """One thing that can be asked. The routes, the OpenAPI document and the reference are made of these."""

    method: str
    path: str  # below /v1; {names} are of its parameters
    summary: str
    handler: Handler
    permission: Permission | None  # None = whoever has a key or a password
    answer: type[Struct] | None = None
    status: int = 200
    body: type[Struct] | None = None
    parameters: type[Struct] | None = None  # of the query
    problems: tuple[str, ...] = ()  # besides those that any may answer
    group: str = ""
    is_public: bool = False  # answered without asking who it is
    is_repeatable: bool = False  # takes an Idempotency-Key
    counts_ids: Callable[[Any], int] | None = None  # how many messages its body may make, where it makes any
    description: str = ""
