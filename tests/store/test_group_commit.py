"""Group commit: callers share one commit, the guilty one fails alone, an outage is told to everybody and survived."""

import asyncio
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from chappe.store import schema
from chappe.store.database import Database, StoreBroken, StoreError, StoreUnavailable
from chappe.store.engine import Store
from chappe.store.group_commit import WAITING_MAX, WEIGHT_MAX, Verb
from chappe.store.messages import Cancellation
from postgres import PostgresServer
from store.givens import ACCOUNT, NOW_MS, PRICE_MICROS, House, a_message, a_receipt, an_acceptance, result, sent, settle
from store.proxy import Proxy


def accept(store: Store, *message_ids: int) -> "list[asyncio.Future[bool]]":
    return [store.accept(an_acceptance(a_message(message_id))) for message_id in message_ids]


def test_everybody_who_waits_shares_one_commit(house: House) -> None:
    """All that is waiting, of every kind, is written in one round, up to the limit of a round."""
    claimed = house.sending(1)
    rounds_count = house.store._commits.rounds_count
    futures = accept(house.store, *range(2, 302))
    others: list[asyncio.Future[Any]] = [
        house.store.record(sent(claimed)),
        house.store.receive(a_receipt("ref-1")),
        house.store.cancel(Cancellation(ACCOUNT, 77_777, NOW_MS)),
    ]
    assert not any(future.done() for future in futures)
    assert settle(house.store, *futures) == [True] * 300
    assert all(future.done() for future in others)
    assert house.store._commits.rounds_count == rounds_count + 1
    settle(house.store, *accept(house.store, *range(10_000, 10_001 + WEIGHT_MAX)))
    assert house.store._commits.rounds_count == rounds_count + 3


def test_the_revision_is_raised_first(house: House) -> None:
    """Whatever raises the revision stands before all that locks anything, so that two nodes never wait in a ring."""
    store = house.store
    raising: set[Verb[Any, Any]] = {
        store._disable_url,
        store.configuration.change_password,
        store.reselling.make,
        store.reselling.change,
        store.aliases.end,
        store.aliases.decision,
        store.versions.rewrite,
        store.numbers.rent,
        store.numbers.release,
        store.numbers.forward,
        store.numbers.renew,
    }
    rooms = [store, *vars(store).values()]
    verbs = {one for room in rooms for one in getattr(room, "__dict__", {}).values() if isinstance(one, Verb)}
    assert raising < verbs
    assert max(verb.rank for verb in raising) < min(verb.rank for verb in verbs - raising)


def test_callers_share_commits_under_load(url: str) -> None:
    """With a writer thread, sixty-four callers at once need far fewer commits than messages."""
    house = House(url)

    async def load() -> int:
        store = Store(Database(url))
        store.start()
        numbers = itertools.count(1)

        async def caller() -> None:
            for _ in range(10):
                assert await accept(store, next(numbers))[0]

        await asyncio.gather(*(caller() for _ in range(64)))
        assert len(await store.read(store.of_submission(640, 1))) == 1
        store.stop()
        return store._commits.rounds_count

    assert asyncio.run(load()) <= 160
    assert len(house.states()) == 640
    house.check_books()
    house.close()


@pytest.mark.parametrize("guilty", [[1], [50], [100], [7, 8], [1, 33, 100], list(range(1, 101, 2))])
def test_the_guilty_fail_alone(house: House, guilty: list[int]) -> None:
    """Items that cannot be written fail; all others of the round are kept, in whatever place they stood."""
    settle(house.store, *accept(house.store, *guilty))
    answers = settle(house.store, *accept(house.store, *range(1, 101)))
    failed = [number for number, answer in enumerate(answers, 1) if isinstance(answer, StoreError)]
    assert failed == guilty
    assert [answer for answer in answers if answer is True] == [True] * (100 - len(guilty))
    assert len(house.states()) == 100
    house.check_books()


def test_one_guilty_item_costs_few_commits(house: House) -> None:
    """Finding one guilty item among hundreds takes a number of commits that grows with the logarithm."""
    settle(house.store, *accept(house.store, 200))
    commits = 0

    def count() -> None:
        nonlocal commits
        commits += 1

    house.store._commits.before_commit = count
    settle(house.store, *accept(house.store, *range(1, 401)))
    assert commits <= 10


def test_when_the_write_is_not_durable_nothing_is_acknowledged_any_more(house: House) -> None:
    """After a failed sync nobody is told success: not this round, not what waits, not what comes."""
    broken: list[StoreBroken] = []

    def fail() -> None:
        raise StoreBroken("fsync failed")

    house.store.on_broken(broken.append)
    house.store._commits.before_commit = fail
    now = accept(house.store, *range(1, WEIGHT_MAX + 10))
    answers = settle(house.store, *now)
    house.store._commits.before_commit = None
    later = settle(house.store, *accept(house.store, 9_000))
    assert {type(answer) for answer in answers + later} == {StoreBroken}
    house._loop.run_until_complete(asyncio.sleep(0))
    assert len(broken) == 1
    assert house.states() == {}


def test_a_failed_sync_is_known_for_what_it_is(tmp_path: Path) -> None:
    """Of SQLite's errors, a failed sync is fatal, a full or busy database is not, and a broken rule is one item's."""
    database = Database(f"sqlite:///{tmp_path}/chappe.db")
    errors = database._driver
    sync, full = errors.OperationalError("disk I/O error"), errors.OperationalError("database or disk is full")
    sync.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    kinds = [type(database.classify(one)) for one in (sync, full, errors.IntegrityError("UNIQUE"))]
    assert kinds == [StoreBroken, StoreUnavailable, StoreError]


def test_overload_is_refused_at_the_door(house: House) -> None:
    """When too much waits, a caller is refused at once, and nothing that waits is dropped."""
    waiting = [house.store.cancel(Cancellation(ACCOUNT, 1, NOW_MS)) for _ in range(WAITING_MAX)]
    [refused] = accept(house.store, 1)
    assert isinstance(refused.exception(), StoreUnavailable)
    assert settle(house.store, *waiting) == [0] * WAITING_MAX
    assert result(house.store, accept(house.store, 1)[0])


def test_a_caller_who_went_away_disturbs_nobody(house: House) -> None:
    """A future that was cancelled meanwhile is written all the same, and the others are answered."""
    first, second = accept(house.store, 1, 2)
    first.cancel()
    assert result(house.store, second)
    assert house.states() == {1: "queued", 2: "queued"}


def test_stopping_writes_what_waits(url: str) -> None:
    """A store that is stopped writes what is waiting, and takes nothing any more."""
    house = House(url)

    async def work() -> None:
        store = Store(Database(url))
        futures = accept(store, *range(1, 50))
        store.start()
        store.stop()
        with pytest.raises(StoreUnavailable):
            await accept(store, 99)[0]
        assert await asyncio.gather(*futures) == [True] * 49

    asyncio.run(work())
    assert len(house.states()) == 49
    house.close()


def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    """While SQLite has no room everybody is told so and nothing is kept; once there is room the same store goes on."""
    house = House(f"sqlite:///{tmp_path}/chappe.db")
    house.accept(a_message(1))
    connection = house.store._commits._connection._raw.driver_connection
    [pages_count] = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages_count}")
    texts = [house.store.accept(an_acceptance(a_message(number, text="x" * 9_000))) for number in range(2, 12)]
    assert {type(answer) for answer in settle(house.store, *texts)} == {StoreUnavailable}
    assert house.states() == {1: "queued"}
    house.check_books()
    connection.execute(f"PRAGMA max_page_count = {pages_count + 1_000}")
    assert settle(house.store, *accept(house.store, 2, 3)) == [True, True]
    house.check_books()
    house.close()


def test_a_busy_database_is_told_and_survived(tmp_path: Path) -> None:
    """While another process holds SQLite's lock for too long everybody is told so; then the same store goes on."""
    house = House(f"sqlite:///{tmp_path}/chappe.db")
    house.accept(a_message(1))
    house.store._commits._connection._raw.driver_connection.execute("PRAGMA busy_timeout = 0")
    with house.database.transaction():
        assert {type(answer) for answer in settle(house.store, *accept(house.store, 2, 3))} == {StoreUnavailable}
        assert len(house.store.ask(house.store.of_submission(1, 1))) == 1  # readers do not wait
    assert settle(house.store, *accept(house.store, 2, 3)) == [True, True]
    house.check_books()
    house.close()


def test_a_database_restart_under_load_loses_nothing(postgres_url: str, postgres_server: PostgresServer) -> None:
    """PostgreSQL crashes and comes back under load: accepted is kept, refused was told, the store heals by itself."""
    house = House(postgres_url)
    house.fund(8, 10**12)
    accepted, refused = asyncio.run(asyncio.wait_for(survive(postgres_url, postgres_server), SURVIVAL_TIMEOUT_S))
    kept = set(house.states())
    assert accepted <= kept
    assert kept <= accepted | refused
    assert len(kept - accepted) <= CALLERS  # at most the one round whose commit the crash cut off
    assert house.balance(8) == (10**12 - len(kept) * PRICE_MICROS, len(kept) * PRICE_MICROS)
    house.check_books()
    house.close()


CALLERS = 32
SURVIVAL_TIMEOUT_S = 60
BEFORE, DURING, AFTER = 300, 50, 300  # acceptances before the crash, refusals during it, acceptances afterwards


async def survive(url: str, server: PostgresServer) -> tuple[set[int], set[int]]:
    store = Store(Database(url))
    store.start()
    numbers = itertools.count(1)
    accepted: set[int] = set()
    refused: set[int] = set()
    has_moved = asyncio.Condition()

    async def caller() -> None:
        while True:
            number = next(numbers)
            try:
                assert await store.accept(an_acceptance(a_message(number, account_id=8)))
                accepted.add(number)
            except StoreUnavailable:
                refused.add(number)
            async with has_moved:
                has_moved.notify_all()

    async def reach(numbers: set[int], count: int) -> None:
        async with has_moved:
            await has_moved.wait_for(lambda: len(numbers) >= count)

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await reach(accepted, BEFORE)
    assert len(await store.read(store.of_submission(1, 1))) == 1
    server.stop(signal.SIGQUIT)
    await reach(refused, DURING)
    with pytest.raises(StoreUnavailable):
        await store.read(store.of_submission(1, 1))
    server.start()  # from this thread: with a thread that ends, its server would end too
    await reach(accepted, len(accepted) + AFTER)
    assert len(await store.read(store.of_submission(1, 1))) == 1
    for task in callers:
        task.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    store.stop()
    # Futures whose caller was cancelled may have been written: they count as not told.
    return accepted, refused | set(range(max(accepted | refused) - 2 * CALLERS, next(numbers)))


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    folder = parse_qs(urlsplit(postgres_url).query)["host"][0]
    built = Proxy(Path(folder) / ".s.PGSQL.5432")
    try:
        yield built
    finally:
        built.close()


def test_a_commit_whose_answer_was_lost_is_not_doubled(postgres_url: str, proxy: Proxy) -> None:
    """The connection dies between PostgreSQL's commit and its answer: the repeat succeeds and charges once."""
    house = House(postgres_url)
    name = urlsplit(postgres_url).path
    store = house.new_store(f"postgresql://postgres@127.0.0.1:{proxy.port}{name}?sslmode=disable&gssencmode=disable")
    assert settle(store, *accept(store, 1)) == [True]
    proxy.cuts_left = 1
    assert settle(store, *accept(store, 2, 3)) == [True, True]
    assert proxy.cuts_count == 1
    assert house.balance() == (997 * PRICE_MICROS, 3 * PRICE_MICROS)
    assert len(house.rows(schema.message)) == 3
    house.check_books()
    house.close()
