"""The wrong requests, against the whole gateway on its socket: exact answers, nothing kept, nothing charged."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from chappe.app import App
from dialects.wrong_requests import RIGHT_REQUESTS, WORLD, WRONG_REQUESTS, RightRequest, WrongRequest
from whole import Answer, apply, ask, counts, settings_in, wire


class House:
    """A running gateway, asked from outside its loop."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_in(folder)
        apply(self.settings, WORLD)
        self._runner = asyncio.Runner()
        self._app = App(self.settings)
        self._asked_count = 0
        self._runner.run(self._app.start())

    def ask(self, raw: bytes) -> Answer:
        """Each time from another address: who guesses from one of them is slowed down."""
        self._asked_count += 1
        source = f"127.1.{self._asked_count // 250}.{self._asked_count % 250 + 1}"
        return self._runner.run(ask(self._app.http_port, raw, source))

    def close(self) -> None:
        self._runner.run(self._app.stop())
        self._runner.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway for all rows: none of them may leave anything behind for the next."""
    built = House(tmp_path_factory.mktemp("wrong"))
    yield built
    built.close()


@pytest.mark.parametrize("wrong", WRONG_REQUESTS, ids=lambda wrong: f"{wrong.dialect}: {wrong.name}")
def test_a_wrong_request_gets_its_answer_and_leaves_nothing(house: House, wrong: WrongRequest) -> None:
    """Status and body are exactly the dialect's, and no row, charge or callback is left."""
    before = counts(house.settings)
    answer = house.ask(wire(wrong.request))
    assert (answer.status, answer.body) == (wrong.response.status, wrong.response.body)
    assert answer.headers["content-type"] == dict(wrong.response.headers)[b"content-type"].decode()
    assert counts(house.settings) == before


@pytest.mark.parametrize("right", RIGHT_REQUESTS, ids=lambda right: right.dialect)
def test_what_the_wrong_requests_are_made_from_is_kept(house: House, right: RightRequest) -> None:
    """The right request leaves a message and a charge: the test above would see them."""
    before = counts(house.settings)
    assert house.ask(wire(right.request)).body.startswith(right.start)
    after = counts(house.settings)
    assert after["message"] == before["message"] + 1
    assert after["entry"] > before["entry"]
    assert after["available_micros"] == before["available_micros"] - 10_000
