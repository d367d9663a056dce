"""Messages that come in, on both databases: kept once, joined from their segments, with what follows in one commit."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.core.centre import InboundMessages
from chappe.core.model import Coding, Concatenation, Inbound
from chappe.core.phonebook import BlockOrigin
from chappe.store import inbox, schema
from chappe.store.blocks import BlockChange
from chappe.store.callbacks import CallbackClaim, CallbackDraft
from chappe.store.inbox import (
    GAP,
    PATIENCE_MS,
    REFERENCES_KEPT_MS,
    TEXT_MAX,
    Arrival,
    Consequences,
    InboxQuestion,
    Joining,
    Kept,
    Taking,
)
from store.givens import ACCOUNT, CARRIER, NOW_MS, House, lose_the_answer, result

PHONE, NUMBER = "447700900123", "447700900001"
IDS = itertools.count(1_000)


def arrival(text: str = "Hello", place: tuple[int, int] | None = None, **changes: Any) -> Arrival:
    """A message, or with a place (position, total) a segment of one."""
    fields: dict[str, Any] = {
        "reference": "",
        "originator": PHONE,
        "recipient": NUMBER,
        "received_ms": NOW_MS,
    } | changes
    now_ms = fields.pop("now_ms", NOW_MS)
    concatenation = Concatenation(reference=fields.pop("of", 7), total=place[1], position=place[0]) if place else None
    inbound = Inbound(text=text, concatenation=concatenation, **fields)
    return Arrival(id=next(IDS), carrier_id=CARRIER, inbound=inbound, now_ms=now_ms)


def keep(house: House, *arrivals: Arrival) -> list[Kept]:
    """In one commit."""
    store = house.store
    futures = [store.commit(store.inbox.keep, one) for one in arrivals]
    store.commit_once()
    return [future.result() for future in futures]


def keep_each(house: House, *arrivals: Arrival) -> list[Kept]:
    return [kept for one in arrivals for kept in keep(house, one)]


def join(house: House, now_ms: int) -> list[Kept]:
    store = house.store
    return result(store, store.commit(store.inbox.join, Joining(next(IDS) * 1_000, 100, now_ms)))


def texts(house: House) -> list[str]:
    return [row["text"] for row in house.rows(schema.inbound)]


def plan_for_all(house: House) -> None:
    """Every message is told to its account, and blocks its phone."""

    def plan(inbound: Inbound) -> Consequences:
        draft = CallbackDraft(
            id=int(inbound.reference) + 10**9,
            account_id=ACCOUNT,
            message_id=int(inbound.reference),
            kind="inbound",
            dialect="proovl",
            payload=json.dumps({"text": inbound.text}),
        )
        block = BlockChange(
            account_id=ACCOUNT,
            numbers=(inbound.originator,),
            is_blocked=True,
            now_ms=NOW_MS,
            originators=(inbound.recipient,),
            origin=BlockOrigin.STOP,
        )
        return Consequences(account_id=ACCOUNT, drafts=(draft,), block=block)

    house.store.inbox.plan = plan


def test_a_message_is_kept_with_all_that_follows(house: House) -> None:
    """Message, callback and block are written together, and the callback is ours to make."""
    plan_for_all(house)
    [kept] = keep(house, arrival())
    assert (kept.account_id, kept.changes_blocks, kept.is_copy) == (ACCOUNT, True, False)
    [due] = kept.callbacks
    assert (due.message_id, due.attempt) == (kept.id, 1)
    [row] = house.rows(schema.inbound)
    assert (row["id"], row["originator"], row["recipient"], row["text"]) == (kept.id, PHONE, NUMBER, "Hello")
    assert [row["node_id"] for row in house.rows(schema.callback)] == [house.store.node.id]
    assert [(row["number"], row["originator"]) for row in house.rows(schema.block)] == [(PHONE, NUMBER)]


def test_nothing_is_kept_by_halves(house: House) -> None:
    """Where one of the things that follow cannot be written, the message is not kept either."""
    plan_for_all(house)
    one = arrival()
    keep(house, one)
    again = Arrival(id=one.id + 1, carrier_id=CARRIER, inbound=arrival("Other").inbound, now_ms=NOW_MS)
    whole = house.store.inbox.plan

    def broken(inbound: Inbound) -> Consequences:
        follows = whole(inbound)
        taken = CallbackDraft(
            id=one.id + 10**9, account_id=ACCOUNT, message_id=2, kind="inbound", dialect="proovl", payload="{}"
        )
        return Consequences(account_id=ACCOUNT, drafts=(*follows.drafts, taken), block=follows.block)

    house.store.inbox.plan = broken
    future = house.store.commit(house.store.inbox.keep, again)
    house.store.commit_once()
    assert future.exception() is not None
    assert texts(house) == ["Hello"]
    assert len(house.rows(schema.callback)) == 1


def test_what_was_lost_before_its_answer_is_not_kept_twice(house: House) -> None:
    """A commit whose answer is lost is repeated; whether it had happened or not, everything is there once."""
    for is_kept in (True, False):
        plan_for_all(house)
        first, second = arrival("Hello", reference=f"r{is_kept}"), arrival("left", (1, 2), of=2 + is_kept)
        lose_the_answer(house.store, is_kept=is_kept)
        plain = arrival("no reference")
        kept = keep(house, first, second, plain)
        assert [one.id for one in kept] == [first.id, 0, plain.id]
        keep(house, arrival("right", (2, 2), of=2 + is_kept))
    assert texts(house) == ["Hello", "no reference", "leftright"] * 2
    assert len(house.rows(schema.callback)) == 6


def test_a_repeated_reference_keeps_nothing_new(house: House) -> None:
    """What a carrier brings again under the same reference is a copy, in the same commit or a later one; for a week."""
    first = keep(house, arrival(reference="r1"), arrival(reference="r1"))
    assert [one.is_copy for one in first] == [False, True]
    assert [one.is_copy for one in keep(house, arrival("other", reference="r1"))] == [True]
    assert [one.is_copy for one in keep(house, arrival("third", reference="r2"), arrival("fourth"))] == [False, False]
    assert texts(house) == ["Hello", "third", "fourth"]
    join(house, NOW_MS + REFERENCES_KEPT_MS + 1)
    assert house.rows(schema.inbound_reference) == []


@pytest.mark.parametrize("is_together", [True, False], ids=["one commit", "one commit each"])
def test_segments_are_joined(house: House, is_together: bool) -> None:
    """Segments in the wrong order, with a copy among them, make one message; others beside them make theirs."""
    parts = [
        arrival("c", (3, 3)),
        arrival("x", (2, 2), of=8),
        arrival("a", (1, 3)),
        arrival("a", (1, 3)),
        arrival("other phone", (2, 3), originator="447700900124"),
        arrival("b", (2, 3)),
        arrival("b", (2, 3)),
        arrival("y", (1, 2), of=8),
    ]
    kept = keep(house, *parts) if is_together else keep_each(house, *parts)
    assert sorted(texts(house)) == ["abc", "yx"]
    assert [one.is_copy for one in kept] == [False, False, False, True, False, False, True, False]
    assert [bool(one.id) for one in kept] == [False] * 5 + [True, False, True]


def test_a_reference_is_used_anew(house: House) -> None:
    """A phone that begins again with the same reference loses neither message, whole or not."""
    keep_each(house, *(arrival(text, (place, 2)) for place, text in ((1, "a"), (2, "b"), (1, "c"), (2, "d"))))
    keep_each(house, *(arrival(text, (place, 3), of=9) for place, text in ((1, "e"), (1, "f"), (2, "g"), (3, "h"))))
    assert texts(house) == ["ab", "cd", "e" + GAP, "fgh"]


@pytest.mark.parametrize(
    "there, text",
    [
        ([1, 2], "ab" + GAP),
        ([4], GAP + "d"),
        ([1, 4], "a" + GAP + "d"),
        ([2, 4], GAP + "b" + GAP + "d"),
        ([1, 2, 3], "abc" + GAP),
    ],
)
def test_what_stays_incomplete_is_joined_in_the_end(house: House, there: list[int], text: str) -> None:
    """After ten minutes what came is a message, with an ellipsis where something is missing, and is told of."""
    plan_for_all(house)
    keep_each(house, *(arrival("abcd"[position - 1], (position, 4)) for position in there))
    assert join(house, NOW_MS + PATIENCE_MS - 1) == []
    [kept] = join(house, NOW_MS + PATIENCE_MS)
    assert texts(house) == [text]
    assert len(kept.callbacks) == 1
    assert house.rows(schema.inbound_segment) == []
    assert join(house, NOW_MS + 2 * PATIENCE_MS) == []


def test_segments_that_came_to_two_nodes_at_once_are_joined(house: House) -> None:
    """A message whose last segments were kept by two nodes side by side is joined by the next round."""
    keep(house, arrival("a", (1, 2)))
    with house.database.engine.begin() as connection:  # what the other node wrote without seeing ours
        connection.execute(
            schema.inbound_segment.insert().values(
                carrier_id=CARRIER,
                originator=PHONE,
                recipient=NUMBER,
                concatenation=7,
                total=2,
                position=2,
                text="b",
                received_ms=NOW_MS,
            )
        )
    [kept] = join(house, NOW_MS + 1)
    assert (kept.id > 0, texts(house)) == (True, ["ab"])


def test_joined_segments_are_forgotten(house: House) -> None:
    """What only serves to know copies is dropped after ten minutes, and a joined text has a limit."""
    keep(house, arrival("a" * TEXT_MAX, (1, 2)), arrival("b", (2, 2)))
    assert len(house.rows(schema.inbound_segment)) == 2
    join(house, NOW_MS + PATIENCE_MS)
    assert house.rows(schema.inbound_segment) == []
    assert texts(house) == ["a" * TEXT_MAX]


def test_old_references_are_found_by_their_age(sqlite_house: House) -> None:
    """What is forgotten in every round is found through an index, not by reading a week of references."""
    prepared = sqlite_house.store.inbox._forget_references
    with sqlite_house.database.connect() as connection, connection.transaction() as transaction:
        transaction._cursor.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", {"long_ago": 1})
        [plan] = [str(row[-1]) for row in transaction._cursor.fetchall()]
    assert "inbound_reference_age (received_ms<?)" in plan


def read_together(contents: Sequence[str]) -> tuple[str, Coding]:
    return "+".join(contents), Coding.BINARY if contents[0].startswith("FF") else Coding.TEXT


def test_contents_are_read_together(house: House) -> None:
    """Segments with contents become what these say together, where they follow each other; octets stay octets."""
    house.store.inbox.read = read_together
    keep_each(house, arrival("a", (1, 2), content="A"), arrival("b", (2, 2), content="B"))
    keep_each(house, arrival("c", (1, 2), content="C", of=8), arrival("d", (2, 2), of=8))
    keep(house, *(arrival("", (position, 2), content=f"FF{position}", of=9) for position in (2, 1)))
    keep(house, *(arrival("", (position, 4), content=f"FF{position}", of=10) for position in (1, 2, 4)))
    keep(house, arrival("FF", coding=Coding.BINARY))
    join(house, NOW_MS + PATIENCE_MS)
    kept = [(row["text"], row["coding"]) for row in house.rows(schema.inbound)]
    assert kept == [
        ("A+B", "text"),
        ("cd", "text"),
        ("FF1+FF2", "binary"),
        ("FF", "binary"),
        (f"FF1+FF2{GAP}FF4", "text"),
    ]
    question = InboxQuestion(
        account_id=0, numbers=(), originators=(), from_ms=0, to_ms=NOW_MS, after_id=0, offset=0, count_max=9
    )
    listed = house.store.ask(lambda transaction: house.store.inbox.messages(transaction, question))
    assert [one.coding.value for one in reversed(listed.items)] == [coding for _, coding in kept]


def test_too_many_waiting_segments_are_kept_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more segments may wait, one that comes is kept at once as all there is: not joined, but not lost."""
    monkeypatch.setattr(inbox, "SEGMENTS_WAITING_MAX", 2)
    keep_each(house, arrival("a", (1, 3)), arrival("b", (2, 3)), arrival("c", (3, 3)), arrival("whole"))
    assert texts(house) == [GAP + "c", "whole"]
    assert len(house.rows(schema.inbound_segment)) == 2


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_order_in_any_commits(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """However segments are shuffled, doubled and spread over commits, the message is there once and whole."""
    text = data.draw(st.text(min_size=2, max_size=8))
    places = data.draw(st.permutations(range(len(text))))
    places = [*places, *data.draw(st.lists(st.sampled_from(places), max_size=3))]
    places = data.draw(st.permutations(places))
    cuts = data.draw(st.sets(st.integers(0, len(places))))
    folder: Path = tmp_path_factory.mktemp("order")
    house = House(f"sqlite:///{folder}/chappe.db")
    try:
        start = 0
        for end in sorted(cuts | {len(places)}):
            if end > start:
                keep(house, *(arrival(text[place], (place + 1, len(text))) for place in places[start:end]))
            start = end
        assert texts(house) == [text]
    finally:
        house.close()


def test_a_process_that_is_no_node_leaves_the_forwards(house: House) -> None:
    """What the command line keeps is forwarded by the server that looks next, at once, as its first attempt."""
    plan_for_all(house)
    node_id, house.store.node.id = house.store.node.id, 0
    [kept] = keep(house, arrival())
    assert kept.callbacks == ()
    house.store.node.id = node_id
    [due] = result(house.store, house.store.claim_callbacks(CallbackClaim(10, NOW_MS, NOW_MS + 60_000)))
    assert (due.message_id, due.attempt) == (kept.id, 1)


# Reading


def question(**changes: Any) -> InboxQuestion:
    fields: dict[str, Any] = {
        "account_id": ACCOUNT,
        "numbers": (),
        "originators": (),
        "from_ms": 0,
        "to_ms": 1 << 62,
        "after_id": 0,
        "offset": 0,
        "count_max": 10,
    }
    return InboxQuestion(**(fields | changes))


def listed(house: House, **changes: Any) -> InboundMessages:
    asked = question(**changes)
    return house.store.ask(lambda transaction: house.store.inbox.messages(transaction, asked))


def filled(house: House) -> list[int]:
    plan_for_all(house)
    rows = [("a", "1111111", 1), ("b", "2222222", 2), ("c", "1111111", 3), ("d", "2222222", 4)]
    arrivals = [arrival(text, recipient=number, received_ms=ms, originator=f"44{ms}") for text, number, ms in rows]
    return [one.id for one in keep(house, *arrivals)]


def test_lists(house: House) -> None:
    """Newest first, or oldest first behind an id; by number, phone and time; a part of them, and how many in all."""
    ids = filled(house)
    cases: list[tuple[dict[str, Any], str, int]] = [
        ({}, "dcba", 4),
        ({"numbers": ("1111111",)}, "ca", 2),
        ({"originators": ("441", "444")}, "da", 2),
        ({"numbers": ("1111111",), "originators": ("444",)}, "", 0),
        ({"from_ms": 2, "to_ms": 3}, "cb", 2),
        ({"after_id": ids[0]}, "bcd", 3),
        ({"offset": 1, "count_max": 2}, "cb", 4),
        ({"account_id": ACCOUNT + 1}, "", 0),
    ]
    for changes, shown, total in cases:
        found = listed(house, **changes)
        assert ("".join(one.text for one in found.items), found.total) == (shown, total), changes


def take(house: House, *numbers: str, count_max: int = 10, now_ms: int = 1 << 62) -> tuple[str, int]:
    taking = Taking(account_id=ACCOUNT, numbers=numbers, count_max=count_max, last_id=0, now_ms=now_ms)
    found = result(house.store, house.store.commit(house.store.inbox.take, taking))
    return "".join(one.text for one in found.items), found.total


def test_what_is_new_is_taken_once(house: House) -> None:
    """Each asks from where it asked last, per numbers, and is told how much is new in all."""
    filled(house)
    assert take(house, count_max=3) == ("abc", 4)
    assert take(house, "2222222") == ("bd", 2)
    assert take(house) == ("d", 1)
    assert take(house) == ("", 0)
    keep(house, arrival("e", recipient="2222222"))
    assert (take(house), take(house, "2222222"), take(house, "2222222")) == (("e", 1), ("e", 1), ("", 0))


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_was_taken_without_an_answer_is_handed_out_again(house: House, is_kept: bool) -> None:
    """A commit whose answer was lost hands its messages to whoever asked, whether it had happened or not."""
    filled(house)
    lose_the_answer(house.store, is_kept=is_kept)
    assert take(house, count_max=2)[0] == "ab"
    assert take(house)[0] == "cd"
