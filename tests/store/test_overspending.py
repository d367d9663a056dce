"""A balance is never overdrawn, however many processes spend it at once."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from store.givens import PRICE_MICROS, House
from store.spending import prepare, spend

PROCESSES = 8
SENDERS = 8  # in each process
WORTH = 1_000  # messages
ROUNDS = 3


def test_eight_processes_spend_exactly_what_is_there(house: House) -> None:
    """Sixty-four senders in eight processes get exactly a thousand messages out of a balance worth a thousand."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, prepare, (spawn.Barrier(PROCESSES),)) as processes:
        for account_id in range(100, 100 + ROUNDS):
            house.fund(account_id, WORTH * PRICE_MICROS + PRICE_MICROS // 2)
            spenders = [processes.submit(spend, house.url, account_id, SENDERS) for _ in range(PROCESSES)]
            accepted_counts = [one.result() for one in spenders]
            assert sum(accepted_counts) == WORTH, accepted_counts
            assert house.balance(account_id) == (PRICE_MICROS // 2, WORTH * PRICE_MICROS)
    assert len(house.states()) == ROUNDS * WORTH
    house.check_books()
