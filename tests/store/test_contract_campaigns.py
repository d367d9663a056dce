"""Campaigns: rows come in order, portions go out once, and two nodes never work at the same one."""

from typing import Any

from msgspec.structs import replace

from chappe.core.campaigns import Campaign, CampaignReport, CampaignRow, CampaignSettings, CampaignState
from chappe.core.model import State
from chappe.store import schema
from chappe.store.campaigns import (
    CampaignChange,
    CampaignTake,
    Marking,
    Outcome,
    PortionResult,
    Reservation,
    RowsDraft,
    RowsRemoval,
)
from chappe.store.engine import Store
from store.givens import ACCOUNT, NOW_MS, PRICE_MICROS, House, a_message, lose_the_answer, result, settle

ONE = 501
REPORT = CampaignReport(
    rows_count=3, valid_count=3, segments=3, price_micros=3, currency="EUR", available_micros=9, made_ms=NOW_MS
)
NUMBERS = ("447700900001", "447700900002", "447700900003")


def a_campaign(**changes: Any) -> Campaign:
    plain = Campaign(
        id=ONE,
        account_id=ACCOUNT,
        author="anna",
        name="Spring",
        state=CampaignState.LOADING,
        settings=CampaignSettings(columns=("phone", "name"), text="Hello {name}"),
        made_ms=NOW_MS,
        changed_ms=NOW_MS,
    )
    return replace(plain, **changes)


def a_row(position: int, number: str = "") -> CampaignRow:
    recipient = number or NUMBERS[position - 1]
    return CampaignRow(position, position + 1, recipient, (recipient, "Ада; «x»\n"))


def put(house: House, *rows: CampaignRow, state: CampaignState = CampaignState.RUNNING, **changes: Any) -> None:
    """A campaign with these rows, in a state."""
    store = house.store
    result(store, store.commit(store.campaigns.put, a_campaign(**changes)))
    campaign_id = changes.get("id", ONE)
    if rows:
        assert result(store, store.commit(store.campaigns.load, RowsDraft(campaign_id, rows, NOW_MS)))
    assert move(store, CampaignState.LOADING, state, campaign_id)


def move(store: Store, from_state: CampaignState, to_state: CampaignState, campaign_id: int = ONE, **more: Any) -> bool:
    change = CampaignChange(
        campaign_id=campaign_id, from_states=(from_state,), to_state=to_state, now_ms=NOW_MS + 1, **more
    )
    return result(store, store.commit(store.campaigns.change, change))


def find(store: Store, campaign_id: int = ONE) -> Campaign:
    found = store.ask(lambda transaction: store.campaigns.one(transaction, None, campaign_id))
    assert found is not None
    return found


def rows_of(store: Store, after: int = 0, count_max: int = 100) -> list[CampaignRow]:
    return store.ask(lambda transaction: store.campaigns.rows(transaction, ONE, after, count_max))


def reserve(store: Store, first_id: int, position: int = 0) -> int:
    return result(store, store.commit(store.campaigns.reserve, Reservation(ONE, position, first_id, NOW_MS)))


def a_result(before: int = 0, position: int = 2, **changes: Any) -> PortionResult:
    plain = PortionResult(
        campaign_id=ONE,
        before=before,
        position=position,
        outcomes=(Outcome(1, 9_001), Outcome(2, 0, "blocked")),
        segments=1,
        price_micros=PRICE_MICROS,
        now_ms=NOW_MS,
    )
    return replace(plain, **changes)


def advance(store: Store, one: PortionResult) -> bool:
    return result(store, store.commit(store.campaigns.advance, one))


def test_a_campaign_is_kept_as_it_was_given(house: House) -> None:
    """A campaign and its rows come back as they were put, texts of any kind included."""
    put(house, a_row(1), a_row(2), state=CampaignState.DRAFT)
    one = find(house.store)
    assert (one.name, one.settings, one.state, one.rows_count) == (
        "Spring",
        a_campaign().settings,
        CampaignState.DRAFT,
        2,
    )
    assert rows_of(house.store) == [a_row(1), a_row(2)]
    assert rows_of(house.store, after=1) == [a_row(2)]
    assert rows_of(house.store, count_max=1) == [a_row(1)]


def test_rows_come_once_and_in_order(house: House) -> None:
    """Rows whose commit is repeated are there once; those that leave a gap are refused."""
    store = house.store
    result(store, store.commit(store.campaigns.put, a_campaign()))
    lose_the_answer(store)
    assert result(store, store.commit(store.campaigns.load, RowsDraft(ONE, (a_row(1),), NOW_MS)))
    assert not result(store, store.commit(store.campaigns.load, RowsDraft(ONE, (a_row(3),), NOW_MS)))
    lose_the_answer(store, is_kept=False)
    assert result(store, store.commit(store.campaigns.load, RowsDraft(ONE, (a_row(2), a_row(3)), NOW_MS)))
    assert rows_of(store) == [a_row(1), a_row(2), a_row(3)]
    assert find(store).rows_count == 3


def test_a_move_is_made_from_where_it_may_be(house: House) -> None:
    """A move from another state is refused, one whose commit is repeated is made once, and what is said is kept."""
    put(house, a_row(1), state=CampaignState.READY)
    store = house.store
    assert not move(store, CampaignState.PAUSED, CampaignState.RUNNING)
    lose_the_answer(store)
    assert move(store, CampaignState.READY, CampaignState.RUNNING, report=REPORT, detail="why")
    one = find(store)
    assert (one.state, one.report, one.detail, one.settings) == (
        CampaignState.RUNNING,
        REPORT,
        "why",
        a_campaign().settings,
    )
    assert move(store, CampaignState.RUNNING, CampaignState.PAUSED, forgets_report=True)
    assert find(store).report is None
    assert not move(store, CampaignState.RUNNING, CampaignState.PAUSED, campaign_id=77)


def test_a_reserved_id_stays(house: House) -> None:
    """The first id of a portion is reserved once; a second wish gets the same, and none where it does not run."""
    put(house, a_row(1), a_row(2), a_row(3))
    store = house.store
    lose_the_answer(store)
    assert reserve(store, 7_000) == 7_000
    assert reserve(store, 8_000) == 7_000
    assert reserve(store, 8_000, position=1) == 0
    assert advance(store, a_result())
    assert reserve(store, 9_000, position=2) == 9_000
    move(store, CampaignState.RUNNING, CampaignState.PAUSED)
    assert reserve(store, 9_000, position=2) == 0


def test_a_portion_counts_once(house: House) -> None:
    """What became of a portion is counted once, with the message of each row, however often its commit is repeated."""
    put(house, a_row(1), a_row(2), a_row(3))
    store = house.store
    reserve(store, 7_000)
    lose_the_answer(store)
    assert advance(store, a_result())
    assert not advance(store, a_result())
    one = find(store)
    assert (one.position, one.accepted_count, one.refused_count, one.segments, one.price_micros, one.first_id) == (
        2,
        1,
        1,
        1,
        PRICE_MICROS,
        0,
    )
    assert [(row.message_id, row.refusal) for row in rows_of(store)] == [(9_001, ""), (0, "blocked"), (0, "")]
    assert one.state is CampaignState.RUNNING
    assert advance(store, a_result(2, 3, outcomes=(Outcome(3, 9_003),)))
    assert find(store).state is CampaignState.DONE


def test_a_portion_that_was_under_way_counts_in_a_paused_campaign(house: House) -> None:
    """A campaign that is paused while a portion is under way records it, and stays paused at its end."""
    put(house, a_row(1), a_row(2))
    store = house.store
    reserve(store, 7_000)
    move(store, CampaignState.RUNNING, CampaignState.PAUSED)
    assert advance(store, a_result())
    assert (find(store).state, find(store).position) == (CampaignState.PAUSED, 2)


def test_one_node_works_at_a_campaign(house: House) -> None:
    """Another node takes a campaign over once its own is gone, and then the first one's results no longer count."""
    put(house, a_row(1), a_row(2), a_row(3))
    first, second = house.store, house.new_store()
    assert second.ask(second.campaigns.unfinished) == []
    assert result(second, second.commit(second.campaigns.take, CampaignTake(NOW_MS))) == []
    assert [(one.id, is_free) for one, is_free in first.ask(first.campaigns.unfinished)] == [(ONE, False)]
    assert reserve(second, 8_000) == 0
    reserve(first, 7_000)
    with first.database.transaction() as transaction:
        first.nodes.strike(transaction, first.node.id)
    assert [(one.id, is_free) for one, is_free in second.ask(second.campaigns.unfinished)] == [(ONE, True)]
    [taken] = result(second, second.commit(second.campaigns.take, CampaignTake(NOW_MS)))
    assert (taken.id, taken.first_id) == (ONE, 7_000)
    assert not advance(first, a_result())
    assert not result(first, first.commit(first.campaigns.load, RowsDraft(ONE, (a_row(1),), NOW_MS)))
    assert reserve(second, 8_000) == 7_000
    assert advance(second, a_result())


def test_what_rests_is_nobodys_work(house: House) -> None:
    """Only campaigns in states that move by themselves are found."""
    for place, state in enumerate(CampaignState):
        put(house, id=1_000 + place, state=state)
    store = house.store
    assert {one.state for one, _ in store.ask(store.campaigns.unfinished)} == {
        CampaignState.LOADING,
        CampaignState.CHECKING,
        CampaignState.RUNNING,
        CampaignState.CANCELLING,
        CampaignState.REMOVING,
    }


def test_a_dry_run_marks_rows(house: House) -> None:
    """Marks change number and refusal of the rows they name, once, and only while the campaign is checked."""
    put(house, a_row(1), a_row(2), state=CampaignState.CHECKING)
    store = house.store
    marking = Marking(ONE, 0, 2, ((2, "nobody", "bad_recipient"),), NOW_MS)
    lose_the_answer(store)
    assert result(store, store.commit(store.campaigns.mark, marking))
    assert not result(store, store.commit(store.campaigns.mark, marking))
    assert [(row.recipient, row.refusal) for row in rows_of(store)] == [
        (NUMBERS[0], ""),
        ("nobody", "bad_recipient"),
    ]
    assert move(store, CampaignState.CHECKING, CampaignState.READY, restarts=True)
    assert find(store).position == 0
    assert not result(store, store.commit(store.campaigns.mark, marking))


def test_rows_are_forgotten_bit_by_bit(house: House) -> None:
    """Removing forgets so many rows at a time, and the campaign with the last of them."""
    put(house, a_row(1), a_row(2), a_row(3), state=CampaignState.REMOVING)
    store = house.store
    counts = [result(store, store.commit(store.campaigns.remove, RowsRemoval(ONE, 2))) for _ in range(3)]
    assert counts == [2, 1, 0]
    assert house.rows(schema.campaign) == house.rows(schema.campaign_row) == []


def test_results_follow_the_messages(house: House) -> None:
    """Each row comes with its message as it is now; what was given back costs nothing; counts go by state."""
    put(house, *(a_row(place) for place in (1, 2, 3)))
    store = house.store
    house.accept(a_message(9_001, recipient=NUMBERS[0], segments=2), a_message(9_003, recipient=NUMBERS[2]))
    outcomes = (Outcome(1, 9_001), Outcome(2, 0, "no_route"), Outcome(3, 9_003))
    advance(store, a_result(0, 3, outcomes=outcomes))
    found = store.ask(lambda transaction: store.campaigns.results(transaction, ONE, 0, 10))
    assert [(one.state, one.segments, one.price_micros) for one in found] == [
        (State.QUEUED, 2, PRICE_MICROS),
        (None, 0, 0),
        (State.QUEUED, 1, PRICE_MICROS),
    ]
    assert store.ask(lambda transaction: store.campaigns.states(transaction, ONE, 0, 10)) == {State.QUEUED: 2}
    assert sorted(store.ask(lambda transaction: store.campaigns.waiting_submissions(transaction, ONE, 0, 10))) == [
        9_001,
        9_003,
    ]
    assert store.ask(lambda transaction: store.campaigns.waiting_submissions(transaction, ONE, 1, 2)) == []
    assert store.ask(lambda transaction: store.campaigns.state_before(transaction, ONE, 2)) is State.QUEUED
    assert store.ask(lambda transaction: store.campaigns.state_before(transaction, ONE, 0)) is None


def test_pages_are_of_those_in_sight(house: House) -> None:
    """A page holds the newest campaigns of the accounts asked for, and none that is being removed."""
    for place, account_id in enumerate((ACCOUNT, 8, ACCOUNT, 9)):
        put(house, id=600 + place, account_id=account_id, state=CampaignState.DRAFT)
    put(house, id=700, state=CampaignState.REMOVING)
    store = house.store

    def page(accounts: frozenset[int] | None, before_id: int = 0, count_max: int = 10) -> list[int]:
        found = store.ask(lambda transaction: store.campaigns.page(transaction, accounts, before_id, count_max))
        return [one.id for one in found]

    assert page(None) == [603, 602, 601, 600]
    assert page(frozenset({ACCOUNT, 9})) == [603, 602, 600]
    assert page(frozenset({ACCOUNT}), before_id=602) == [600]
    assert page(None, count_max=1) == [603]
    assert page(frozenset()) == []
    assert store.ask(lambda transaction: store.campaigns.one(transaction, frozenset({8}), 600)) is None
    assert store.ask(lambda transaction: store.campaigns.one(transaction, None, 700)) is None


def test_many_at_once_share_a_round(house: House) -> None:
    """Wishes about several campaigns in one round are each answered for themselves."""
    for place in range(3):
        put(house, id=800 + place, state=CampaignState.RUNNING)
    store = house.store
    wishes = [
        store.commit(store.campaigns.reserve, Reservation(800 + place, place % 2, 5_000 + place, NOW_MS))
        for place in range(3)
    ]
    assert settle(store, *wishes) == [5_000, 0, 5_002]
