"""The pytest plug-in: a gateway for tests, and what each test's code sends through it.

`chappe` is a fresh account of a gateway that runs beside the tests, with a simulated carrier; `chappe_server` is that
gateway, one for each test process. Nothing is imported or started before a test asks for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from chappe.testing import Chappe, ChappeServer


@pytest.fixture(scope="session")
def chappe_server() -> Iterator[ChappeServer]:
    """A gateway with a simulated carrier, on free ports, that forgets everything at the end of the run."""
    from chappe.testing import ChappeServer

    server = ChappeServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def chappe(chappe_server: ChappeServer) -> Iterator[Chappe]:
    """A fresh account of the gateway: its login, and the messages that this test's code sends with it."""
    account = chappe_server.open_account()
    try:
        yield account
    finally:
        chappe_server.close_account(account)
