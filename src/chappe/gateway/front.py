"""Answers every contract call a listener may make: the gateway seen from the north."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from chappe.core.centre import Call, Outcome, Refusal, Refused
from chappe.dialects.base import Dialect
from chappe.store.database import StoreError

Handler = Callable[[Any, Dialect, str], Awaitable[Outcome]]
Answers = Mapping[type[Call], Handler]  # what a desk answers: by kind of call, asked in a dialect from a network


class Front:
    """The desks' tables, put together."""

    def __init__(self, *desks: Answers) -> None:
        self._answers: dict[type[Call], Handler] = {kind: answer for desk in desks for kind, answer in desk.items()}

    async def answer(self, call: Call, dialect: Dialect, network: str) -> Outcome:
        """The outcome of one call, made in a dialect from a network address."""
        try:
            return await self._answers[type(call)](call, dialect, network)
        except StoreError:
            return Refused(Refusal.OVERLOADED)
