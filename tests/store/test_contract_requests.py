"""Kept requests: found by what they led to and by whose they are, gone with their time, never too many."""

from chappe.core.ids import first_id
from chappe.store.requests import PAGE_MAX, KeptRequest, RequestSweep
from store.givens import ACCOUNT, NOW_MS, House, lose_the_answer, result, settle

OTHER = 8


def a_request(number: int, **changes: object) -> KeptRequest:
    plain: dict[str, object] = {
        "id": first_id(NOW_MS) + number,
        "account_id": ACCOUNT,
        "submission_id": number,
        "dialect": "smsfox",
        "method": "POST",
        "target": "/en/api/?msg=caffè+🙂",
        "headers": (("X-Ünï", 'a "quote"'),),
        "body": "<script>",
        "status": 200,
        "answer": "01",
        "took_us": 1_234,
        "expires_ms": NOW_MS + 1_000,
    }
    return KeptRequest(**{**plain, **changes})  # type: ignore[arg-type]


def keep(house: House, *requests: KeptRequest) -> None:
    settle(house.store, *(house.store.commit(house.store.requests.keep, one) for one in requests))


def latest(house: House, accounts: frozenset[int] | None, **page: int) -> list[int]:
    found = house.store.ask(lambda transaction: house.store.requests.latest(transaction, accounts, **page))
    return [one.id - first_id(NOW_MS) for one in found]


def of_submission(house: House, submission_id: int) -> list[KeptRequest]:
    return house.store.ask(lambda transaction: house.store.requests.of_submission(transaction, submission_id))


def sweep(house: House, now_ms: int, count_max: int = 100, kept_max: int = 100) -> int:
    return result(
        house.store, house.store.commit(house.store.requests.sweep, RequestSweep(now_ms, count_max, kept_max))
    )


def test_a_request_is_found_by_what_it_led_to(house: House) -> None:
    """What was kept comes back whole, by the submission it led to; what led to nothing is no submission's."""
    keep(house, a_request(1), a_request(2), a_request(3, submission_id=0))
    assert of_submission(house, 1) == [a_request(1)]
    assert of_submission(house, 1)[0].made_ms == NOW_MS
    assert of_submission(house, 0) == []
    assert of_submission(house, 1 << 62) == []


def test_the_latest_are_those_of_who_asks(house: House) -> None:
    """Requests come newest first, in pages, of the accounts in sight and no others; nobody's to who sees all."""
    keep(
        house, *(a_request(n, account_id=OTHER if n % 2 else ACCOUNT) for n in range(1, 7)), a_request(7, account_id=0)
    )
    assert latest(house, None) == [7, 6, 5, 4, 3, 2, 1]
    assert latest(house, frozenset({ACCOUNT})) == [6, 4, 2]
    assert latest(house, frozenset({ACCOUNT, OTHER}), count=3) == [6, 5, 4]
    assert latest(house, frozenset({ACCOUNT, OTHER}), count=3, before_id=first_id(NOW_MS) + 4) == [3, 2, 1]
    assert latest(house, frozenset()) == []
    assert latest(house, frozenset({99})) == []
    assert latest(house, None, count=10**9) == [7, 6, 5, 4, 3, 2, 1]
    assert PAGE_MAX < 10**9


def test_requests_go_with_their_time(house: House) -> None:
    """Each request is forgotten when its own time is over, a limited number in one round."""
    keep(house, *(a_request(n) for n in (1, 2, 3)), a_request(4, expires_ms=NOW_MS + 5_000))
    assert sweep(house, NOW_MS) == 0
    assert sweep(house, NOW_MS + 1_000, count_max=2) == 2
    assert sweep(house, NOW_MS + 1_000, count_max=2) == 1
    assert latest(house, None) == [4]


def test_the_oldest_go_where_there_are_too_many(house: House) -> None:
    """Beyond the number that is kept the oldest are forgotten first."""
    keep(house, *(a_request(n) for n in range(1, 8)))
    assert sweep(house, NOW_MS, kept_max=5) == 2
    assert latest(house, None) == [7, 6, 5, 4, 3]


def test_a_repeated_commit_keeps_a_request_once(house: House) -> None:
    """A commit whose answer was lost is made again, and the request is there once."""
    kept = house.store.commit(house.store.requests.keep, a_request(1))
    lose_the_answer(house.store)
    settle(house.store, kept)
    assert latest(house, None) == [1]
