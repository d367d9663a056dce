"""API keys and answers that are kept: made once, ended once, the first answer counts; however a commit ends."""

import pytest

from chappe.core.people import Permission
from chappe.store import schema
from chappe.store.kept_answers import AnswerSweep, GivenAnswer, Intent, KeptAnswer, Withdrawal
from chappe.store.keys import KeyDraft, KeyEnd, KeyUse
from store.givens import ACCOUNT, HOUR_MS, NOW_MS, House, lose_the_answer, result, settle

DAY_MS = 24 * HOUR_MS


def draft(digest: str = "d", account_id: int = ACCOUNT, count_max: int = 3) -> KeyDraft:
    return KeyDraft(
        account_id=account_id,
        name="Имя",
        digest=digest,
        hint="live_abcde",
        scopes=(Permission.SEND, Permission.READ_KEYS),
        is_test=False,
        now_ms=NOW_MS,
        count_max=count_max,
    )


def made(house: House, one: KeyDraft) -> int:
    return result(house.store, house.store.commit(house.store.keys.make, one))


def test_a_key_is_found_by_its_digest(house: House) -> None:
    """A key is found as it was made, listed for its owner, and by nothing else."""
    key_id = made(house, draft())
    found = house.store.ask(lambda transaction: house.store.keys.find(transaction, "d"))
    assert found is not None
    assert (found.id, found.name, found.scopes) == (key_id, "Имя", (Permission.SEND, Permission.READ_KEYS))
    assert house.store.ask(lambda transaction: house.store.keys.find(transaction, "D")) is None
    other = made(house, draft("e", account_id=0))

    def ids(account_ids: list[int] | None) -> list[int]:
        keys = house.store.ask(lambda transaction: house.store.keys.of_accounts(transaction, account_ids))
        return [one.id for one in keys]

    lists = [ids([ACCOUNT]), ids([]), ids([0]), ids(None)]
    assert lists == [[key_id], [], [other], [other, key_id]]


def test_an_owner_has_so_many_keys(house: House) -> None:
    """Beyond the limit none is made, until one is ended; others' keys do not count."""
    ids = [made(house, draft(f"d{n}")) for n in range(4)]
    assert ids[3] == 0
    assert made(house, draft("other", account_id=8)) > 0
    assert result(house.store, house.store.commit(house.store.keys.end, KeyEnd(ids[0], NOW_MS))) is True
    assert made(house, draft("d4")) > 0


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_key_is_made_and_ended_however_its_commit_ends(house: House, is_kept: bool) -> None:
    """A repeated commit makes one key, and tells whoever ended it so; whoever ends it later hears that it was over."""
    lose_the_answer(house.store, is_kept=is_kept)
    key_id = made(house, draft())
    assert len(house.rows(schema.api_key)) == 1
    lose_the_answer(house.store, is_kept=is_kept)
    assert result(house.store, house.store.commit(house.store.keys.end, KeyEnd(key_id, NOW_MS))) is True
    assert result(house.store, house.store.commit(house.store.keys.end, KeyEnd(key_id, NOW_MS + 1))) is False


def test_a_use_is_never_older(house: House) -> None:
    """The last use stays the last, in whatever order uses are written."""
    key_id = made(house, draft())
    settle(house.store, *(house.store.commit(house.store.keys.use, KeyUse(key_id, NOW_MS + n)) for n in (2, 3, 1)))
    assert house.rows(schema.api_key)[0]["used_ms"] == NOW_MS + 3


def intent(first_id: int, digest: str = "a", *, key: str = "k", now_ms: int = NOW_MS) -> Intent:
    return Intent(
        account_id=ACCOUNT,
        key=key,
        request_digest=digest,
        first_id=first_id,
        now_ms=now_ms,
        oldest_ms=now_ms - DAY_MS,
    )


def begun(house: House, *intents: Intent) -> list[KeptAnswer | BaseException]:
    return settle(house.store, *(house.store.commit(house.store.kept_answers.begin, one) for one in intents))


def given(first_id: int, body: str) -> GivenAnswer:
    return GivenAnswer(account_id=ACCOUNT, key="k", first_id=first_id, status=202, headers=(("a", "é"),), body=body)


@pytest.mark.parametrize("is_kept", [True, False])
def test_the_first_ids_count(house: House, is_kept: bool) -> None:
    """Whoever begins later, or again, hears of the first one's ids; a day later the key is free."""
    lose_the_answer(house.store, is_kept=is_kept)
    first, other_key, second = begun(house, intent(1), intent(5, key="j"), intent(2, "b"))
    assert [getattr(one, "first_id", one) for one in (first, other_key, second)] == [1, 5, 1]
    assert getattr(second, "request_digest", "") == "a"
    [later] = begun(house, intent(3, now_ms=NOW_MS + DAY_MS + 1))
    assert getattr(later, "first_id", later) == 3


def test_the_first_answer_counts(house: House) -> None:
    """Of two nodes that carried out the same, both tell the answer that was first."""
    begun(house, intent(1))
    finish = house.store.kept_answers.finish
    first, second = settle(house.store, *(house.store.commit(finish, given(1, body)) for body in ("x", "y")))
    assert (
        first
        == second
        == KeptAnswer(request_digest="a", first_id=1, made_ms=NOW_MS, status=202, headers=(("a", "é"),), body="x")
    )
    withdrawal = Withdrawal(account_id=ACCOUNT, key="k", first_id=1)
    result(house.store, house.store.commit(house.store.kept_answers.withdraw, withdrawal))
    assert len(house.rows(schema.kept_answer)) == 1  # what was answered stays


def test_what_was_withdrawn_is_free(house: House) -> None:
    """A request that did nothing gives its key back, to nobody else's harm."""
    begun(house, intent(1))
    for first_id, left in ((2, 1), (1, 0)):
        withdrawal = Withdrawal(account_id=ACCOUNT, key="k", first_id=first_id)
        result(house.store, house.store.commit(house.store.kept_answers.withdraw, withdrawal))
        assert len(house.rows(schema.kept_answer)) == left


def test_old_answers_are_swept(house: House) -> None:
    """A sweep forgets as many old answers as it may, and no newer ones."""
    begun(house, *(intent(n, key=f"k{n}", now_ms=NOW_MS + n) for n in range(1, 4)))

    def sweep(before_ms: int) -> int:
        return result(house.store, house.store.commit(house.store.kept_answers.sweep, AnswerSweep(before_ms, 2)))

    assert [sweep(NOW_MS), sweep(NOW_MS + 4), sweep(NOW_MS + 4)] == [0, 2, 1]
