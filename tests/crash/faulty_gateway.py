"""The `chappe` command with one fault planted in it: `python faulty_gateway.py FAULT serve ...`.

What the crash tests are worth is shown by what they see; each fault here takes away one thing that they are about.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

from chappe import cli
from chappe.core import lifecycle
from chappe.core.model import UncertainPolicy
from chappe.gateway import dispatch
from chappe.store.database import Database
from chappe.store.group_commit import GroupCommit
from chappe.store.messages import Acceptance


def answer_before_commit() -> None:
    """A submission is answered as soon as it waits to be written."""
    put = GroupCommit.put

    def put_and_answer(self: GroupCommit, verb: Any, item: Any) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = put(self, verb, item)
        if isinstance(item, Acceptance):
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


FAULTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant for plant in (answer_before_commit, forget_policy, commit_without_sync)
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    cli.main()
