"""The `chappe` command with one fault planted in it: `python faulty_gateway.py FAULT serve ...`.

What the crash tests are worth is shown by what they see; each fault here takes away one thing that they are about.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

from chappe import cli
from chappe.carriers import smpp
from chappe.core import lifecycle
from chappe.core.centre import Refusal, Refused, Uncertain
from chappe.core.model import UncertainPolicy
from chappe.gateway import dispatch
from chappe.gateway.bound import TAKEN
from chappe.listeners.esme import Esme
from chappe.smpp.pdu import DeliverSmResponse
from chappe.store.database import Database
from chappe.store.group_commit import GroupCommit
from chappe.store.messages import Acceptance
from chappe.store.parts import Puzzle

LATER_S = 0.1


def answer_before_commit() -> None:
    """A submission is answered at once, and written when there is time."""
    put = GroupCommit.put

    def put_and_answer(self: GroupCommit, verb: Any, item: Any) -> "asyncio.Future[Any]":
        if not isinstance(item, Acceptance):
            return put(self, verb, item)
        loop = asyncio.get_running_loop()
        loop.call_later(LATER_S, put, self, verb, item)
        future: asyncio.Future[Any] = loop.create_future()
        future.set_result(True)
        return future

    GroupCommit.put = put_and_answer  # type: ignore[method-assign]


def forget_policy() -> None:
    """Whatever is in doubt leaves again, whatever its carrier's policy."""

    def resend(message: Any, policy: UncertainPolicy, now_ms: int) -> Any:
        return lifecycle.after_doubt(message, UncertainPolicy.RESEND, now_ms)

    vars(dispatch)["after_doubt"] = resend


def commit_without_sync() -> None:
    """SQLite syncs its log only when it moves it into the database."""
    make_engine = Database._sqlite_engine

    def make_careless_engine(self: Database) -> Engine:
        engine = make_engine(self)
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL"))
        return engine

    Database._sqlite_engine = make_careless_engine  # type: ignore[method-assign]


def forget_copies() -> None:
    """A part of a long message that is submitted again begins the message anew."""
    Puzzle.copy_of = lambda self, one: None  # type: ignore[method-assign]


def take_lost_for_refused() -> None:
    """What was submitted over a link that was lost was not taken, and is submitted again."""
    answer_of = smpp.answer_of

    def answer_or_refusal(waiting: Any) -> Any:
        answer = answer_of(waiting)
        # For a reason that is tried again soon, and slows no link.
        return Refused(Refusal.DUPLICATE) if isinstance(answer, Uncertain) else answer

    vars(smpp)["answer_of"] = answer_or_refusal


def answer_receipts_unkept() -> None:
    """A carrier's receipt is answered as soon as it is heard, and kept when there is time."""
    hear = smpp.SmppCarrier._hear

    def answer_and_hear(self: smpp.SmppCarrier, connection: Any, request: Any) -> None:
        connection.answer(request, DeliverSmResponse())
        asyncio.get_running_loop().call_later(LATER_S, hear, self, connection, request)

    smpp.SmppCarrier._hear = answer_and_hear  # type: ignore[method-assign]
    smpp.SmppCarrier._answer = lambda *_: None  # type: ignore[method-assign]


def trust_binds() -> None:
    """A receipt to a bind is done once it is written."""
    deliver = Esme.deliver

    def deliver_and_trust(self: Esme, kind: str, payload: str, reference: int, hear: Any) -> None:
        deliver(self, kind, payload, reference, lambda answer: None)
        asyncio.get_running_loop().call_soon(hear, TAKEN)

    Esme.deliver = deliver_and_trust  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        answer_before_commit,
        forget_policy,
        commit_without_sync,
        forget_copies,
        take_lost_for_refused,
        answer_receipts_unkept,
        trust_binds,
    )
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    cli.main()
