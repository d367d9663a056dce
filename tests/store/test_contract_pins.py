"""One-time codes: right once, wrong a few times, gone with their time; however often a commit is repeated."""

import pytest

from chappe.core.phonebook import PinVerdict
from chappe.store import schema
from chappe.store.pins import PinDraft, PinGuess, PinSweep
from store.givens import ACCOUNT, NOW_MS, House, lose_the_answer, result, settle

OTHER = 8
NUMBER = "447700900123"
RIGHT, WRONG = "digest of the code", "digest of another"
UNTIL_MS = NOW_MS + 60_000
USED = PinVerdict(is_right=True, tries_left=0)


def put(house: House, digest: str = RIGHT, *, account_id: int = ACCOUNT, recipient: str = NUMBER) -> None:
    draft = PinDraft(account_id=account_id, recipient=recipient, digest=digest, expires_ms=UNTIL_MS, tries=3)
    result(house.store, house.store.commit(house.store.pins.put, draft))


def a_guess(guess_id: int, digest: str, **changes: object) -> PinGuess:
    plain = {"id": guess_id, "account_id": ACCOUNT, "recipient": NUMBER, "digest": digest, "now_ms": NOW_MS}
    return PinGuess(**{**plain, **changes})  # type: ignore[arg-type]


def guess(house: House, *guesses: PinGuess) -> list[PinVerdict | BaseException | None]:
    return settle(house.store, *(house.store.commit(house.store.pins.guess, one) for one in guesses))


def wrong(tries_left: int) -> PinVerdict:
    return PinVerdict(is_right=False, tries_left=tries_left)


def test_a_right_code_is_used_up(house: House) -> None:
    """The right code is right once."""
    put(house)
    assert guess(house, a_guess(1, RIGHT)) == [USED]
    assert guess(house, a_guess(2, RIGHT)) == [None]


def test_wrong_codes_use_up_the_right_one(house: House) -> None:
    """Each wrong code costs a try; without tries the right one is wrong too."""
    put(house)
    assert guess(house, a_guess(1, WRONG)) == [wrong(2)]
    assert guess(house, a_guess(2, WRONG), a_guess(3, WRONG)) == [wrong(1), wrong(0)]
    assert guess(house, a_guess(4, RIGHT)) == [None]


def test_guesses_at_once_gain_nothing(house: House) -> None:
    """Of many guesses in one commit no more are judged than there are tries."""
    put(house)
    answers = guess(house, *(a_guess(n, WRONG) for n in range(1, 20)), a_guess(20, RIGHT))
    assert answers == [wrong(2), wrong(1), wrong(0), *[None] * 17]


def test_two_nodes_judge_one_guess_after_the_other(house: House) -> None:
    """What was guessed through one node counts at the other."""
    other = house.new_store()
    put(house)
    assert guess(house, a_guess(1, WRONG)) == [wrong(2)]
    assert result(other, other.commit(other.pins.guess, a_guess(2, WRONG))) == wrong(1)
    assert guess(house, a_guess(3, RIGHT)) == [USED]
    assert result(other, other.commit(other.pins.guess, a_guess(4, RIGHT))) is None


def test_a_new_code_replaces_the_old(house: House) -> None:
    """A new code has all its tries and its own time; the old one is right no more."""
    put(house, "old")
    guess(house, a_guess(1, WRONG))
    put(house)
    assert guess(house, a_guess(2, "old"), a_guess(3, RIGHT)) == [wrong(2), USED]
    put(house)
    assert guess(house, a_guess(4, RIGHT)) == [USED]


# Whose code is guessed, when; whether there is one.
ELSEWHERE: list[tuple[str, dict[str, object], bool]] = [
    ("in time", {"now_ms": UNTIL_MS - 1}, True),
    ("too late", {"now_ms": UNTIL_MS}, False),
    ("by another account", {"account_id": OTHER}, False),
    ("for another recipient", {"recipient": "447700900124"}, False),
]


@pytest.mark.parametrize("name, changes, is_there", ELSEWHERE, ids=[row[0] for row in ELSEWHERE])
def test_a_code_is_for_one_account_recipient_and_time(
    house: House, name: str, changes: dict[str, object], is_there: bool
) -> None:
    """A code is there for the account that sent it, for the recipient it went to, until it has run out."""
    put(house)
    assert guess(house, a_guess(1, RIGHT, **changes)) == [USED if is_there else None]


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_right_code_is_right_however_its_commit_ends(house: House, is_kept: bool) -> None:
    """The guess that used the code is told so when its commit is repeated; another one that comes with it is not."""
    put(house)
    lose_the_answer(house.store, is_kept=is_kept)
    assert guess(house, a_guess(1, RIGHT), a_guess(2, RIGHT)) == [USED, None]


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_repeated_wrong_guess_gains_nothing(house: House, is_kept: bool) -> None:
    """A wrong guess whose commit is repeated costs a try at least."""
    put(house)
    lose_the_answer(house.store, is_kept=is_kept)
    [answer] = guess(house, a_guess(1, WRONG))
    assert answer in (wrong(2), wrong(1))
    assert house.rows(schema.pin)[0]["tries_left"] <= 2


def test_only_what_has_run_out_is_swept(house: House) -> None:
    """A sweep forgets as many codes that have run out as it may, and no other."""
    for n in range(3):
        put(house, recipient=f"44770090000{n}")

    def sweep(now_ms: int) -> int:
        return result(house.store, house.store.commit(house.store.pins.sweep, PinSweep(now_ms, 2)))

    assert [sweep(UNTIL_MS - 1), len(house.rows(schema.pin))] == [0, 3]
    assert [sweep(UNTIL_MS), sweep(UNTIL_MS), sweep(UNTIL_MS)] == [2, 1, 0]
    assert house.rows(schema.pin) == []
