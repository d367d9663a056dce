"""What may become of a message: the table of moves, and what follows verdicts, doubts, queries and receipts."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.centre import REMEDIES, RETRY_AFTER_MAX_S, Accepted, Refusal, Refused, Uncertain, Verdict
from chappe.core.lifecycle import (
    FINAL,
    MOVES,
    QUERY_AGAIN_S,
    RESENDS_MAX,
    RETRY_MAX_S,
    WAITING,
    WORST_FIRST,
    Money,
    Move,
    after_doubt,
    after_query,
    after_receipt,
    after_verdict,
    combined,
    retry_delay_s,
    spread_delay_s,
)
from chappe.core.model import Message, Priority, Report, Service, State, UncertainPolicy

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
FAR_MS = NOW_MS + 48 * HOUR_MS
HOLD, QUERY, RESEND, FAIL = UncertainPolicy

MESSAGE = Message(
    id=64,
    submission_id=64,
    account_id=7,
    dialect="smsfox",
    reference="",
    originator="ACME",
    recipient="447700900123",
    text="Hello",
    segments=1,
    price_micros=10_000,
    service=Service.STANDARD,
    priority=Priority.NORMAL,
    carrier_id=1,
    backups=(),
    state=State.SENDING,
    attempt=1,
    failures=0,
    due_ms=NOW_MS,
    expires_ms=NOW_MS + HOUR_MS,
    wants_callbacks=True,
)
MESSAGES = st.builds(
    lambda **changes: msgspec.structs.replace(MESSAGE, **changes),
    id=st.integers(1, 2**63 - 1),
    backups=st.lists(st.integers(2, 9), max_size=3, unique=True).map(tuple),
    attempt=st.integers(1, 100),
    failures=st.integers(0, 100),
    expires_ms=st.integers(NOW_MS - HOUR_MS, NOW_MS + 14 * 24 * HOUR_MS),
)
REFUSALS = st.builds(Refused, st.sampled_from(Refusal), retry_after_s=st.none() | st.floats(0, 10**9, allow_nan=False))
VERDICTS = st.one_of(st.just(Accepted(())), REFUSALS, st.just(Uncertain()))
REPORTS = st.sampled_from(State).map(
    lambda state: Report(
        id=1, submission_id=1, reference="", originator="", recipient="", state=state, segments=1, price_micros=1
    )
)


def changed(**changes: object) -> Message:
    return msgspec.structs.replace(MESSAGE, **changes)


def outcome(move: Move) -> tuple[str, str, int, tuple[int, ...], int]:
    """State, money, carrier, backups, and in how many milliseconds."""
    return move.state.value, move.money.value, move.carrier_id, move.backups, move.due_ms - NOW_MS


# --- The table of moves


def test_every_state_has_its_place() -> None:
    """Each state stands in the table of moves and in the order of states, and nothing leads out of a final one."""
    assert set(MOVES) == set(State) == set(WORST_FIRST)
    assert len(WORST_FIRST) == len(State)
    assert set().union(*MOVES.values()) <= set(State)
    assert {state.value for state in FINAL} == {"delivered", "undeliverable", "expired", "rejected", "cancelled"}


def test_the_picture_of_moves() -> None:
    """The moves are exactly those of the picture on top of the module."""
    ends = {"delivered", "undeliverable", "expired", "rejected"}
    picture = {
        "scheduled": {"sending", "cancelled", "expired", "rejected"},
        "queued": {"sending", "cancelled", "expired"},
        "sending": {"queued", "sent", "unknown"} | ends,
        "sent": {"unknown"} | ends,
        "unknown": ends,
    }
    assert {state.value: {one.value for one in following} for state, following in MOVES.items() if following} == picture


def test_nothing_that_may_have_left_waits_again_by_a_cancel_or_receipt() -> None:
    """Only a message that waits can be cancelled, and none that was sent comes to wait again."""
    assert {state for state, following in MOVES.items() if State.CANCELLED in following} == set(WAITING)
    assert {state for state, following in MOVES.items() if State.QUEUED in following} == {State.SENDING}


# --- Verdicts


VERDICT_CASES = [
    # verdict, changes of the message, what follows: state, money, carrier, backups, milliseconds from now
    (Accepted(()), {}, ("sent", "post", 1, (), 0)),
    (Accepted(()), {"backups": (2, 3)}, ("sent", "post", 1, (2, 3), 0)),
    # never possible anywhere
    (Refused(Refusal.BAD_RECIPIENT), {"backups": (2, 3)}, ("rejected", "void", 1, (2, 3), 0)),
    # possible elsewhere: at once, and not here again
    (Refused(Refusal.NO_ROUTE), {"backups": (2, 3)}, ("queued", "keep", 2, (3,), 0)),
    (Refused(Refusal.NO_ROUTE), {}, ("rejected", "void", 1, (), 0)),
    # possible here, but later
    (Refused(Refusal.THROTTLED), {}, ("queued", "keep", 1, (), 1_000)),
    (Refused(Refusal.THROTTLED), {"backups": (2,)}, ("queued", "keep", 1, (2,), 1_000)),
    (Refused(Refusal.THROTTLED), {"failures": 3}, ("queued", "keep", 1, (), 8_000)),
    (Refused(Refusal.THROTTLED, retry_after_s=7.5), {}, ("queued", "keep", 1, (), 7_500)),
    (Refused(Refusal.THROTTLED, retry_after_s=1800), {}, ("queued", "keep", 1, (), 1_800_000)),
    (Refused(Refusal.THROTTLED, retry_after_s=1e9), {"expires_ms": FAR_MS}, ("queued", "keep", 1, (), 86_400_000)),
    (Refused(Refusal.THROTTLED, retry_after_s=301), {"backups": (2,)}, ("queued", "keep", 2, (1,), 0)),
    (Refused(Refusal.THROTTLED, retry_after_s=1e9), {}, ("expired", "void", 1, (), 0)),
    (Refused(Refusal.THROTTLED), {"failures": 99}, ("queued", "keep", 1, (), 300_000)),
    # our trouble with that carrier: round all of them at once, then wait between steps
    (Refused(Refusal.OVERLOADED), {}, ("queued", "keep", 1, (), 1_000)),
    (Refused(Refusal.OVERLOADED), {"backups": (2, 3)}, ("queued", "keep", 2, (3, 1), 0)),
    (Refused(Refusal.INTERNAL), {"carrier_id": 2, "backups": (3, 1), "failures": 1}, ("queued", "keep", 3, (1, 2), 0)),
    (Refused(Refusal.INTERNAL), {"carrier_id": 3, "backups": (1,), "failures": 2}, ("queued", "keep", 1, (3,), 4_000)),
    # not within its validity any more
    (Refused(Refusal.THROTTLED), {"expires_ms": NOW_MS + 1_000}, ("expired", "void", 1, (), 0)),
    (Refused(Refusal.THROTTLED), {"expires_ms": NOW_MS + 1_001}, ("queued", "keep", 1, (), 1_000)),
    (Refused(Refusal.NO_ROUTE), {"backups": (2,), "expires_ms": NOW_MS}, ("expired", "void", 1, (2,), 0)),
]  # fmt: skip


@pytest.mark.parametrize("verdict, changes, following", VERDICT_CASES)
def test_what_follows_a_verdict(verdict: Verdict, changes: dict[str, object], following: tuple[object, ...]) -> None:
    """Accepted is sent and paid; a refusal ends, moves on or waits, as its remedy says and validity allows."""
    assert outcome(after_verdict(changed(**changes), verdict, HOLD, NOW_MS)) == following


DOUBTS = [
    # policy, changes of the message, what follows
    (HOLD, {}, ("sending", "keep", HOUR_MS)),
    (QUERY, {}, ("sending", "keep", QUERY_AGAIN_S * 1_000)),
    (QUERY, {"expires_ms": NOW_MS + 10}, ("sending", "keep", 10)),
    (RESEND, {}, ("queued", "keep", 1_000)),
    (RESEND, {"attempt": RESENDS_MAX}, ("queued", "keep", 1_000)),
    (RESEND, {"attempt": RESENDS_MAX + 1}, ("sending", "keep", HOUR_MS)),
    (RESEND, {"expires_ms": NOW_MS + 500}, ("expired", "void", 0)),
    (FAIL, {}, ("undeliverable", "void", 0)),
    *((policy, {"expires_ms": NOW_MS}, ("unknown", "void", 0)) for policy in UncertainPolicy),
]


@pytest.mark.parametrize("policy, changes, following", DOUBTS)
def test_what_follows_a_doubt(
    policy: UncertainPolicy, changes: dict[str, object], following: tuple[str, str, int]
) -> None:
    """When nobody knows, the carrier's policy decides; with the validity the doubt ends in the customer's favour."""
    move = after_doubt(changed(**changes), policy, NOW_MS)
    assert (move.state.value, move.money.value, move.due_ms - NOW_MS) == following
    assert after_verdict(changed(**changes), Uncertain(), policy, NOW_MS) == move


@given(MESSAGES, VERDICTS, st.sampled_from(UncertainPolicy))
def test_every_move_is_permitted_and_settles_money_once(
    message: Message, verdict: Verdict, policy: UncertainPolicy
) -> None:
    """Whatever a carrier says, the move is permitted, the money fits it, no carrier is lost, it comes due in time."""
    move = after_verdict(message, verdict, policy, NOW_MS)
    assert move.state in MOVES[State.SENDING] | {State.SENDING}
    assert (move.money is Money.KEEP) == (move.state in {State.QUEUED, State.SENDING})
    assert (move.money is Money.POST) == isinstance(verdict, Accepted)
    assert move.due_ms >= NOW_MS
    carriers = {message.carrier_id, *message.backups}
    assert {move.carrier_id, *move.backups} <= carriers
    if move.state is State.QUEUED:
        assert move.due_ms < message.expires_ms
        named_s = getattr(verdict, "retry_after_s", None) or 0.0
        assert move.due_ms <= NOW_MS + max(RETRY_MAX_S, min(named_s, RETRY_AFTER_MAX_S)) * 1_000
        assert move.failures == message.failures + 1
        is_dropped = isinstance(verdict, Refused) and not REMEDIES[verdict.reason].may_retry
        assert {move.carrier_id, *move.backups} == (carriers - {message.carrier_id} if is_dropped else carriers)


@given(MESSAGES)
def test_only_the_chosen_policy_risks_a_double(message: Message) -> None:
    """After a doubt a message goes out again under `resend` only, and no more than so many times."""
    for policy in UncertainPolicy:
        if after_doubt(message, policy, NOW_MS).state is State.QUEUED:
            assert policy is RESEND
            assert message.attempt <= RESENDS_MAX


@given(MESSAGES, st.one_of(REPORTS, REFUSALS, st.just(Uncertain())))
def test_what_follows_a_query(message: Message, answer: Report | Refused | Uncertain) -> None:
    """A carrier that has the message is paid, one that has not gets it again, and all else is asked again later."""
    move = after_query(message, answer, NOW_MS)
    assert move.state in MOVES[State.SENDING] | {State.SENDING}
    if isinstance(answer, Report):
        assert move.money is Money.POST
        assert move.state is (answer.state if answer.state in MOVES[State.SENT] else State.SENT)
    elif isinstance(answer, Refused) and answer.reason is Refusal.NOT_FOUND:
        assert move.state is (State.QUEUED if message.expires_ms > NOW_MS else State.EXPIRED)
    else:
        assert move == after_doubt(message, QUERY, NOW_MS)


def test_every_refusal_has_a_remedy() -> None:
    """No reason is without its remedy, and one that rules out a later try here does not slow the link."""
    assert set(REMEDIES) == set(Refusal)
    assert all(remedy.may_retry for remedy in REMEDIES.values() if remedy.slows_link)


@given(st.integers(0, 10**6), st.integers(-(2**63), 2**63))
def test_retries_wait_longer_and_part(failures: int, spread: int) -> None:
    """Each step waits up to twice as long, never over five minutes, and at least four fifths of its step."""
    whole = retry_delay_s(failures, 0)
    assert whole == min(300.0, 2.0 ** min(failures, 20))
    assert 0.8 * whole < retry_delay_s(failures, spread) <= whole


def test_retries_do_not_come_together() -> None:
    """Neighbouring messages that failed together try again at different times."""
    assert len({retry_delay_s(8, message_id) for message_id in range(64)}) == 64


# --- Receipts


@pytest.mark.parametrize("current, reported", list(itertools.product(State, State)))
def test_receipts_never_lead_back(current: State, reported: State) -> None:
    """A receipt leads only where the table does, never to waiting, and from a final state nowhere."""
    following = after_receipt(current, reported)
    is_permitted = reported in MOVES[current] and reported is not State.QUEUED
    assert following is (reported if is_permitted else None)
    if current in FINAL:
        assert following is None
    assert following not in {State.QUEUED, State.SCHEDULED, current}


@given(st.lists(st.sampled_from(State), max_size=8))
def test_receipts_in_any_order_end_at_the_first_final_one(reported: list[State]) -> None:
    """Whatever comes, in whatever order, a sent message ends at the first final state that a carrier can report."""
    state = State.SENT
    for one in reported:
        state = after_receipt(state, one) or state
    finals = [one for one in reported if one in FINAL and one is not State.CANCELLED]
    expected = finals[0] if finals else (State.UNKNOWN if State.UNKNOWN in reported else State.SENT)
    assert state is expected


@pytest.mark.parametrize(
    "states, whole",
    [
        (["delivered", "delivered"], "delivered"),
        (["delivered", "sent"], "sent"),
        (["undeliverable", "sent"], "sent"),
        (["undeliverable", "delivered"], "undeliverable"),
        (["rejected", "undeliverable", "expired"], "rejected"),
        (["queued", "sending", "delivered"], "queued"),
        (["unknown", "delivered"], "unknown"),
        (["cancelled", "delivered"], "cancelled"),
        (["scheduled"], "scheduled"),
        ([], "unknown"),
    ],
)
def test_a_whole_is_in_the_state_of_its_worst_part(states: list[str], whole: str) -> None:
    """While any part is under way the whole is; then it is delivered only if every part is."""
    assert combined(map(State, states)) == State(whole)


@given(st.lists(st.sampled_from(State), min_size=1))
def test_the_order_of_parts_does_not_matter(states: list[State]) -> None:
    """The whole is in the state of one of its parts, whichever comes first, and final only if all of them are."""
    whole = combined(states)
    assert whole in states
    assert combined(reversed(states)) is whole
    assert combined([*states, *states]) is whole
    assert (whole in FINAL) == all(state in FINAL for state in states)


# Recipients, spread, portion; then the delay of each recipient

SPREADS = [
    (1, 3600, 60, [0]),
    (4, 0, 60, [0, 0, 0, 0]),
    (4, 30, 60, [0, 0, 0, 0]),
    (4, 120, 60, [0, 0, 60, 60]),
    (4, 90, 60, [0, 0, 60, 60]),
    (5, 120, 60, [0, 0, 0, 60, 60]),
    (3, 36_000, 3_600, [0, 3 * 3_600, 6 * 3_600]),
    (2, 7_200, 600, [0, 3_600]),
]


@pytest.mark.parametrize("count, spread_s, portion_s, delays_s", SPREADS)
def test_recipients_go_out_in_portions(count: int, spread_s: int, portion_s: int, delays_s: list[int]) -> None:
    """The recipients are parted evenly over the portions that begin within the spread."""
    assert [spread_delay_s(index, count, spread_s, portion_s) for index in range(count)] == delays_s


@given(st.integers(1, 500), st.integers(0, 100_000), st.integers(1, 10_000))
def test_a_spread_is_even_ordered_and_in_time(count: int, spread_s: int, portion_s: int) -> None:
    """Nobody leaves before those ahead of them, all leave within the spread, and portions differ by one at most."""
    delays_s = [spread_delay_s(index, count, spread_s, portion_s) for index in range(count)]
    assert delays_s == sorted(delays_s)
    assert delays_s[0] == 0
    assert delays_s[-1] < max(spread_s, 1)
    assert not any(delay_s % portion_s for delay_s in delays_s)
    portions_count = max(1, -(-spread_s // portion_s))
    sizes = [delays_s.count(portion * portion_s) for portion in range(min(portions_count, count))]
    if count >= portions_count:
        assert max(sizes) - min(sizes) <= 1
