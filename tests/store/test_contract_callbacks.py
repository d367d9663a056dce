"""Callbacks: rows written with the change they tell of, and never lost with the process that was about to make them."""

import msgspec

from chappe.core.centre import Accepted, Uncertain
from chappe.core.model import Message, State
from chappe.store import schema
from chappe.store.callbacks import (
    FIRST_RETRY_S,
    BoundClaim,
    CallbackClaim,
    CallbackDraft,
    CallbackResult,
    DisabledUrl,
    DueCallback,
    Resignation,
)
from chappe.store.database import StoreError
from store.givens import (
    ACCOUNT,
    HOUR_MS,
    NOW_MS,
    House,
    a_message,
    a_receipt,
    after,
    lose_the_answer,
    result,
    sent,
    settle,
    tell_everything,
)

AGAIN_MS = NOW_MS + FIRST_RETRY_S * 1_000


def born(house: House, message_id: int = 1) -> DueCallback:
    """The callback that tells of a sent message."""
    recorded = result(house.store, house.store.record(sent(house.sending(message_id))))
    [callback] = recorded.callbacks
    return callback


def due(house: House, now_ms: int, count_max: int = 100) -> list[DueCallback]:
    claim = CallbackClaim(count_max, now_ms, now_ms + 60_000)
    return result(house.store, house.store.claim_callbacks(claim))


def test_a_callback_is_written_with_its_change(house: House) -> None:
    """A callback is there in the commit of the change it tells of, claimed for its first attempt, due again later."""
    callback = born(house)
    [row] = house.rows(schema.callback)
    assert callback == DueCallback(**{name: row[name] for name in DueCallback.__struct_fields__})
    assert (callback.message_id, callback.payload, callback.attempt, callback.due_ms) == (1, "sent", 1, AGAIN_MS)
    assert (row["state"], row["node_id"]) == ("pending", house.store.node.id)


def test_without_the_callback_there_is_no_change(house: House) -> None:
    """If the callback cannot be written, the change is not made either."""
    taken_id = born(house, 1).id
    claimed = house.sending(2)

    def plan_under_a_taken_id(one: Message, state: State, detail: str) -> CallbackDraft:
        return CallbackDraft(id=taken_id, account_id=1, message_id=2, kind="receipt", dialect="", payload="")

    house.store.set_plan(plan_under_a_taken_id)
    [answer] = settle(house.store, house.store.record(sent(claimed)))
    assert isinstance(answer, StoreError)
    assert house.states() == {1: "sent", 2: "sending"}
    assert house.kinds(2) == ["available>reserved"]
    house.check_books()


def test_nobody_is_told_who_did_not_ask(house: House) -> None:
    """A message without callbacks has none, and neither has a change that the plan is silent about."""
    result(house.store, house.store.record(sent(house.sending(1, wants_callbacks=False))))
    result(house.store, house.store.record(after(house.sending(2), Uncertain())))
    house.store.set_plan(lambda one, state, detail: None)
    result(house.store, house.store.record(sent(house.sending(3))))
    assert house.rows(schema.callback) == []


def test_a_callback_comes_due_again(house: House) -> None:
    """While nothing is heard of an attempt it is claimed again at its time, with the next time already set."""
    callback = born(house)
    assert due(house, AGAIN_MS - 1) == []
    again = msgspec.structs.replace(callback, attempt=2, due_ms=AGAIN_MS + 60_000)
    assert due(house, AGAIN_MS) == [again]
    assert due(house, AGAIN_MS) == []
    [row] = house.rows(schema.callback)
    assert (row["attempt"], row["due_ms"], row["state"]) == (2, AGAIN_MS + 60_000, "pending")


def test_a_claim_of_callbacks_keeps_to_its_count(house: House) -> None:
    """No more callbacks are claimed than asked for, and none twice."""
    house.accept(*(a_message(number) for number in range(1, 31)))
    settle(house.store, *(house.store.record(sent(one)) for one in house.claim()))
    rounds = [due(house, AGAIN_MS, count_max=7) for _ in range(5)]
    assert [len(claimed) for claimed in rounds] == [7, 7, 7, 7, 2]
    assert len({one.id for claimed in rounds for one in claimed}) == 30


def test_a_result_closes_its_attempt(house: House) -> None:
    """Done, failed or disabled is final; pending comes due at the time the result says."""
    callbacks = [born(house, number) for number in (1, 2, 3, 4)]
    later_ms = NOW_MS + 5_000
    states = ["done", "failed", "disabled", "pending"]
    results = [
        CallbackResult(id=one.id, attempt=1, state=state, due_ms=later_ms, status=200 + index, detail=state)
        for index, (one, state) in enumerate(zip(callbacks, states, strict=True))
    ]
    settle(house.store, *map(house.store.close_callback, results))
    rows = house.rows(schema.callback)
    assert [(row["state"], row["status"], row["detail"], row["node_id"]) for row in rows] == [
        ("done", 200, "done", 0),
        ("failed", 201, "failed", 0),
        ("disabled", 202, "disabled", 0),
        ("pending", 203, "pending", 0),
    ]
    assert [(one.message_id, one.attempt) for one in due(house, later_ms)] == [(4, 2)]
    assert due(house, NOW_MS + 10**9)[0].message_id == 4


def test_a_late_result_changes_nothing(house: House) -> None:
    """The result of an attempt that was given up does not touch the present one, nor a callback that is closed."""
    callback = born(house)
    due(house, AGAIN_MS)
    late = CallbackResult(id=callback.id, attempt=1, state="failed", due_ms=0)
    present = CallbackResult(id=callback.id, attempt=2, state="done", due_ms=0, status=204)
    settle(house.store, house.store.close_callback(late))
    assert house.rows(schema.callback)[0]["state"] == "pending"
    settle(house.store, house.store.close_callback(present))
    settle(house.store, house.store.close_callback(msgspec.structs.replace(present, state="failed")))
    assert (house.rows(schema.callback)[0]["state"], house.rows(schema.callback)[0]["status"]) == ("done", 204)


def test_an_attempt_that_was_not_made_does_not_count(house: House) -> None:
    """A callback put off unmade keeps its number of attempts."""
    callback = born(house)
    put_off = CallbackResult(id=callback.id, attempt=1, state="pending", due_ms=NOW_MS + 1, is_tried=False)
    settle(house.store, house.store.close_callback(put_off))
    assert [one.attempt for one in due(house, NOW_MS + 1)] == [1]


def test_a_dead_nodes_callbacks_are_due_at_once(house: House) -> None:
    """When a node dies, its callbacks do not wait for their time: whoever frees it makes them due."""
    born(house)
    other = house.new_store()
    with house.store.database.transaction() as transaction:
        house.store.nodes.renew(transaction, house.store.node.id, lease_s=0)
    assert other.renew(NOW_MS)
    claimed = result(other, other.claim_callbacks(CallbackClaim(10, NOW_MS, AGAIN_MS)))
    assert [one.attempt for one in claimed] == [2]


def test_a_repeat_announces_once(house: House) -> None:
    """If the answer of a commit was lost, its callbacks are there once, and come due by themselves."""
    result(house.store, house.store.record(sent(house.sending(1), "R")))
    lose_the_answer(house.store)
    result(house.store, house.store.receive(a_receipt("R")))
    assert sorted(one.payload for one in due(house, AGAIN_MS)) == ["delivered", "sent"]


def test_a_disabled_url_is_written_once(house: House) -> None:
    """A URL that answered 410 Gone is remembered for its account, however often it is told."""
    gone = DisabledUrl(ACCOUNT, "http://127.0.0.1/gone?a=1&b='", NOW_MS)
    settle(house.store, house.store.disable_url(gone), house.store.disable_url(gone))
    settle(house.store, house.store.disable_url(msgspec.structs.replace(gone, now_ms=NOW_MS + 1)))
    settle(house.store, house.store.disable_url(msgspec.structs.replace(gone, account_id=8)))
    rows = [(row["account_id"], row["url"], row["disabled_ms"]) for row in house.rows(schema.disabled_url)]
    assert rows == [(ACCOUNT, gone.url, NOW_MS), (8, gone.url, NOW_MS)]


def tell_binds(house: House, *, is_left: bool) -> None:
    """Every change is told to a bind; `is_left`: this node has none."""

    def plan(one: Message, state: State, detail: str) -> CallbackDraft:
        plain = tell_everything(one, state, detail)
        return msgspec.structs.replace(plain, kind="smpp_receipt", is_bound=True, is_left=is_left)

    house.store.set_plan(plan)


def bound(house: House, now_ms: int, account_id: int = ACCOUNT, count_max: int = 100) -> list[DueCallback]:
    store = house.store
    return result(store, store.claim_bound(BoundClaim(account_id, count_max, now_ms, now_ms + 60_000)))


def test_what_goes_to_a_bind_is_claimed_for_its_account_alone(house: House) -> None:
    """A callback to a bind lies until its account's are claimed; no general claim and no other account's takes it."""
    tell_binds(house, is_left=True)
    recorded = result(house.store, house.store.record(sent(house.sending(1))))
    assert recorded.callbacks == ()
    assert [(row["node_id"], row["attempt"]) for row in house.rows(schema.callback)] == [(0, 0)]
    assert due(house, NOW_MS + HOUR_MS) == []
    assert bound(house, NOW_MS, account_id=ACCOUNT + 1) == []
    assert [(one.message_id, one.attempt) for one in bound(house, NOW_MS)] == [(1, 1)]
    assert bound(house, NOW_MS) == []


def test_who_has_a_bind_gets_the_first_attempt(house: House) -> None:
    """A callback to a bind of this node is born claimed by it; after its death it is due at once."""
    tell_binds(house, is_left=False)
    [callback] = result(house.store, house.store.record(sent(house.sending(1)))).callbacks
    assert (callback.attempt, callback.due_ms) == (1, AGAIN_MS)
    assert bound(house, NOW_MS) == []
    house.store.leave(NOW_MS)
    assert [one.attempt for one in bound(house, NOW_MS)] == [2]


def test_a_bound_claim_takes_what_is_longest_due(house: House) -> None:
    """Of many callbacks to the binds of an account, a claim takes so many of those that have waited longest."""
    tell_binds(house, is_left=True)
    for message_id in (1, 2, 3):
        one = house.sending(message_id)
        result(house.store, house.store.record(after(one, Accepted(()), str(message_id), now_ms=NOW_MS - message_id)))
    assert {one.message_id for one in bound(house, NOW_MS, count_max=2)} == {2, 3}


def test_it_is_known_for_whom_something_lies(house: House) -> None:
    """Of the accounts that are asked about, those with a callback to their binds that is due are named."""
    tell_binds(house, is_left=True)
    result(house.store, house.store.record(sent(house.sending(1))))

    def lying(*account_ids: int, now_ms: int = NOW_MS) -> list[int]:
        return house.store.ask(house.store.bound_accounts(account_ids, now_ms))

    assert lying(ACCOUNT, ACCOUNT + 1) == [ACCOUNT]
    assert lying(ACCOUNT, now_ms=NOW_MS - 1) == lying(ACCOUNT + 1) == []
    bound(house, NOW_MS)
    assert lying(ACCOUNT) == []


def test_what_no_bind_came_for_is_given_up(house: House) -> None:
    """A callback to a bind that has been due for too long fails; a younger one and one to a URL do not."""
    born(house, 1)
    tell_binds(house, is_left=True)
    for message_id, now_ms in ((2, NOW_MS - 2), (3, NOW_MS)):
        result(house.store, house.store.record(after(house.sending(message_id), Accepted(()), "x", now_ms=now_ms)))
    assert result(house.store, house.store.resign(Resignation(NOW_MS - 1, 100))) == 1
    states = {row["message_id"]: (row["state"], row["detail"]) for row in house.rows(schema.callback)}
    assert states == {1: ("pending", ""), 2: ("failed", "no bind came for it"), 3: ("pending", "")}
