"""Answers every contract call a listener may make: the gateway seen from the north."""

from collections.abc import Awaitable, Callable
from typing import Any

from chappe.core.centre import Authenticate, Call, Cancel, FetchBalance, Outcome, Query, Submit
from chappe.dialects.base import Dialect
from chappe.gateway.accounts import Accounts
from chappe.gateway.queries import QueryDesk
from chappe.gateway.submission import Intake


class Front:
    def __init__(self, accounts: Accounts, intake: Intake, queries: QueryDesk) -> None:
        self._accounts = accounts
        self._intake = intake
        self._queries = queries
        self._answers: dict[type[Any], Callable[[Any, Dialect, str], Awaitable[Outcome]]] = {
            Authenticate: self._authenticate,
            Submit: self._submit,
            Query: self._query,
            Cancel: self._cancel,
            FetchBalance: self._balance,
        }

    async def answer(self, call: Call, dialect: Dialect, network: str) -> Outcome:
        """The outcome of one call, made in a dialect from a network address."""
        return await self._answers[type(call)](call, dialect, network)

    async def _authenticate(self, call: Authenticate, _dialect: Dialect, network: str) -> Outcome:
        return await self._accounts.authenticate(call.name, call.secret, network)

    async def _submit(self, call: Submit, dialect: Dialect, _network: str) -> Outcome:
        return await self._intake.submit(call.account, call.submission, dialect)

    async def _query(self, call: Query, _dialect: Dialect, network: str) -> Outcome:
        return await self._queries.query(call, network)

    async def _cancel(self, call: Cancel, _dialect: Dialect, _network: str) -> Outcome:
        return await self._queries.cancel(call)

    async def _balance(self, call: FetchBalance, _dialect: Dialect, _network: str) -> Outcome:
        return await self._queries.balance(call)
