"""Callbacks to binds: claimed for who is there, as many at once as there is room for, in the order of each message."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chappe.core.model import Submission
from chappe.dialects.smpp import SMPP
from chappe.gateway import bound
from chappe.gateway.bound import LOST, TAKEN, Answer, BoundDesk, Heard
from chappe.store import schema
from gateway.middle import PROOVL, WORLD, Middle, play

EVERY_STEP = "17.5.0.1.1"  # registered_delivery 0x11: what is on its way too
OUTCOMES = "1.5.0.1.1"
LATER = Answer(Heard.LATER, "0x00000064")
FULL = Answer(Heard.FULL, "0x00000058")
NEVER = Answer(Heard.NEVER, "0x00000065")


class Bind:
    """A bind that remembers what it was given and answers when the test does."""

    def __init__(self, window: int = 10) -> None:
        self.window = window
        self.waiting: list[tuple[dict[str, str], Callable[[Answer], None]]] = []
        self.delivered: list[str] = []  # states, in the order they were delivered
        self.most = 0

    @property
    def room(self) -> int:
        return self.window - len(self.waiting)

    def deliver(self, kind: str, payload: str, reference: int, hear: Callable[[Answer], None]) -> None:
        report = json.loads(payload)
        self.delivered.append(report["state"])
        self.waiting.append((report, hear))
        self.most = max(self.most, len(self.waiting))

    def answer(self, answer: Answer = TAKEN) -> None:
        """To whichever has waited longest."""
        _, hear = self.waiting.pop(0)
        hear(answer)


class Greedy(Bind):
    """A bind that takes everything at once."""

    def deliver(self, kind: str, payload: str, reference: int, hear: Callable[[Answer], None]) -> None:
        super().deliver(kind, payload, reference, hear)
        asyncio.get_running_loop().call_soon(self.answer)


class House:
    """The middle with a desk for binds."""

    def __init__(self, middle: Middle) -> None:
        self.middle = middle
        self.desk = BoundDesk(store=middle.store, clock=middle.time, feed=middle.feed)
        middle.callbacks._bound = self.desk
        self.account_id = middle.alice.id

    def join(self, bind: Bind) -> Bind:
        self.desk.join(self.account_id, bind)
        return bind

    def leave(self, bind: Bind) -> None:
        """The link of a bind ends."""
        self.desk.leave(self.account_id, bind)
        while bind.waiting:
            bind.answer(LOST)

    async def sent(self, count: int = 1, memo: str = OUTCOMES) -> None:
        """Messages that are delivered."""
        for _ in range(count):
            await self.middle.submit("447700900123", dialect=SMPP, memo=memo, originator="ACME")

    async def pass_time(self, seconds: float) -> None:
        """With the rounds of this desk beside those of the middle."""
        for _ in range(round(seconds)):
            await self.middle.pass_time(1.0)
            await self.middle.result(self.desk.run_once())

    def states(self) -> list[tuple[str, int]]:
        return [(row["state"], row["attempt"]) for row in self.middle.rows(schema.callback)]


def tell(folder: Path, story: Callable[[House], Awaitable[None]], world: str = WORLD) -> None:
    async def script(middle: Middle) -> None:
        await middle.open()
        await story(House(middle))

    play(folder, script, world)


def test_a_bind_hears_at_once(tmp_path: Path) -> None:
    """With a bind there, a receipt is delivered as soon as it is written, and done when it was taken."""

    async def story(house: House) -> None:
        bind = house.join(Bind())
        await house.sent()
        assert bind.delivered == ["delivered"]
        assert house.states() == [("pending", 1)]
        bind.answer()
        await house.middle.settle()
        assert house.states() == [("done", 1)]
        assert house.desk.in_hand_count == 0

    tell(tmp_path, story)


def test_what_lies_is_claimed_when_a_bind_comes(tmp_path: Path) -> None:
    """Without a bind receipts lie unclaimed; a bind that comes gets all of them, within its window."""

    async def story(house: House) -> None:
        await house.sent(12)
        assert set(house.states()) == {("pending", 0)}
        bind = house.join(Bind(window=5))
        await house.middle.settle()
        assert len(bind.waiting) == 5
        while bind.waiting:
            bind.answer()
            await house.middle.settle()
        assert (len(bind.delivered), bind.most) == (12, 5)
        assert house.states() == [("done", 1)] * 12

    tell(tmp_path, story)


def test_more_than_memory_takes_is_claimed_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much lies, only a few windows of it are in hand, and the rest follows as they empty."""
    monkeypatch.setattr(bound, "CLAIM_MAX", 3)

    async def story(house: House) -> None:
        await house.sent(30)
        bind = house.join(Bind(window=2))
        await house.middle.settle()
        assert house.desk.in_hand_count <= 8
        await house.sent(1)  # what is new meanwhile lies behind
        while bind.waiting:
            bind.answer()
            await house.middle.settle()
            assert house.desk.in_hand_count <= 8
        await house.pass_time(2)
        while bind.waiting:
            bind.answer()
            await house.middle.settle()
        assert len(bind.delivered) == 31
        assert set(house.states()) == {("done", 1)}

    tell(tmp_path, story)


def test_one_account_keeps_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one account's endless backlog is claimed bit by bit, another's single receipt is delivered."""
    monkeypatch.setattr(bound, "CLAIM_MAX", 1)

    async def story(house: House) -> None:
        middle, desk = house.middle, house.desk
        await house.sent(40)
        submission = Submission(recipients=("447700900123",), text="x", memo=OUTCOMES)
        await middle.result(middle.intake.submit(middle.account("bob"), submission, SMPP))
        greedy, bob = Greedy(), Bind()
        with monkeypatch.context() as patched:  # both are there, and nothing is claimed yet
            patched.setattr(desk, "_claim_soon", lambda _account_id: None)
            house.join(greedy)
            desk.join(middle.account("bob").id, bob)
        round_once = asyncio.create_task(desk.run_once())
        while not bob.delivered:
            await asyncio.sleep(0)
            middle.store.commit_once()
        assert len(greedy.delivered) < 40
        await middle.settle()
        assert (len(greedy.delivered), await round_once) == (40, 2)

    bobs = '[[account]]\nname = "bob"\npassword = "x"\nbalance = "1.00"\n'
    tell(tmp_path, story, WORLD + bobs)


def test_a_lost_link_counts_for_nothing(tmp_path: Path) -> None:
    """What was under way and what waited when the last bind went goes back untried, and on to the next bind."""

    async def story(house: House) -> None:
        bind = house.join(Bind(window=2))
        await house.sent(5)
        house.leave(bind)
        await house.middle.settle()
        assert house.states() == [("pending", 0)] * 5
        assert house.desk.in_hand_count == 0
        heir = house.join(Bind())
        await house.middle.settle()
        assert len(heir.delivered) == 5

    tell(tmp_path, story)


def test_another_bind_takes_over(tmp_path: Path) -> None:
    """Where one of two binds goes, what it left is delivered through the other."""

    async def story(house: House) -> None:
        left, right = house.join(Bind()), house.join(Bind())
        await house.sent(6)
        assert (len(left.delivered), len(right.delivered)) == (3, 3)
        house.leave(left)
        await house.pass_time(2)
        assert len(right.delivered) == 6

    tell(tmp_path, story)


def test_one_messages_receipts_keep_their_order(tmp_path: Path) -> None:
    """The second receipt of a message waits for the first, also while that is to be tried again."""

    async def story(house: House) -> None:
        bind = house.join(Bind())
        await house.sent(memo=EVERY_STEP)
        assert bind.delivered == ["sent"]
        bind.answer(LATER)
        await house.pass_time(4)
        assert bind.delivered == ["sent"]
        await house.pass_time(10)
        assert bind.delivered == ["sent", "sent"]
        bind.answer()
        await house.pass_time(10)
        bind.answer()
        await house.middle.settle()
        assert bind.delivered == ["sent", "sent", "delivered"]
        assert [state for state, _ in house.states()] == ["done", "done"]

    tell(tmp_path, story)


def test_what_ends_every_link_is_given_up(tmp_path: Path) -> None:
    """A callback whose links are lost again and again for two weeks fails."""

    async def story(house: House) -> None:
        bind = house.join(Bind())
        await house.sent()
        house.middle.time.now_s += bound.LOST_S - 1
        bind.answer(LOST)
        await house.pass_time(2)
        assert house.states() == [("pending", 1)]
        bind.answer(LOST)
        await house.middle.settle()
        assert house.states() == [("failed", 1)]

    tell(tmp_path, story)


def test_a_lost_link_changes_no_order(tmp_path: Path) -> None:
    """What a lost link left without an answer comes before what followed it, also through another bind."""

    async def story(house: House) -> None:
        first, second = house.join(Bind()), Bind()
        await house.sent(memo=EVERY_STEP)
        assert first.delivered == ["sent"]
        house.join(second)
        house.leave(first)
        await house.middle.settle()
        for _ in range(2):
            await house.pass_time(3)
            second.answer()
        assert second.delivered == ["sent", "delivered"]

    tell(tmp_path, story)


def test_who_is_full_is_left_alone(tmp_path: Path) -> None:
    """An ESME that says it is full hears nothing for a moment, though other receipts wait."""

    async def story(house: House) -> None:
        bind = house.join(Bind(window=1))
        await house.sent(3)
        bind.answer(FULL)
        await house.middle.settle()
        assert len(bind.delivered) == 1
        await house.pass_time(2)
        assert len(bind.delivered) == 2

    tell(tmp_path, story)


def test_what_is_refused_for_good_fails(tmp_path: Path) -> None:
    """A receipt that the ESME will never take is not delivered again."""

    async def story(house: House) -> None:
        bind = house.join(Bind())
        await house.sent()
        bind.answer(NEVER)
        await house.pass_time(10)
        assert bind.delivered == ["delivered"]
        assert house.states() == [("failed", 1)]

    tell(tmp_path, story)


def test_a_slow_answer_closes_what_came_due_meanwhile(tmp_path: Path) -> None:
    """A callback that came due again while it was under way is not delivered twice, and its late answer counts."""

    async def story(house: House) -> None:
        bind = house.join(Bind())
        await house.sent()
        await house.pass_time(40)
        assert house.states() == [("pending", 2)]
        bind.answer()
        await house.pass_time(3)
        assert (bind.delivered, house.states()) == (["delivered"], [("done", 2)])

    tell(tmp_path, story)


def test_only_what_was_asked_for_lies(tmp_path: Path) -> None:
    """A message that asked for no receipt, or for failures alone, leaves nothing for a bind that never comes."""

    async def story(house: House) -> None:
        await house.middle.submit("447700900123", dialect=SMPP, memo="0.5.0.1.1", wants_callbacks=False)
        await house.sent(memo="2.5.0.1.1")
        assert house.states() == []

    tell(tmp_path, story)


def test_a_url_of_a_submissions_own_comes_first(tmp_path: Path) -> None:
    """Where receipts go to binds, a submission that names a URL is called there in its own words, others are not."""

    async def story(house: House) -> None:
        bind, middle = house.join(Bind()), house.middle
        await middle.submit("447700900123", dialect=PROOVL, receipt_url="http://own.example/r")
        await middle.submit("447700900123", dialect=PROOVL)
        assert bind.delivered == ["delivered"]
        assert [request.origin for request in middle.customers.called] == ["http://own.example"] * 2  # sent, delivered

    tell(tmp_path, story, WORLD + 'receipt_dialect = "smpp"\n')


def test_receipts_in_other_words_go_to_no_bind(tmp_path: Path) -> None:
    """What was submitted over a bind is called back in another language where the account names one, if asked for."""

    async def story(house: House) -> None:
        bind, middle = house.join(Bind()), house.middle
        await house.sent()
        await house.sent(memo="2.5.0.1.1")
        assert (bind.delivered, middle.words_called()) == ([], ["Delivered"])

    tell(tmp_path, story, WORLD + 'receipt_dialect = "proovl"\n')


def test_what_nobody_fetches_is_given_up(tmp_path: Path) -> None:
    """After a week without a bind a receipt fails."""

    async def story(house: House) -> None:
        await house.sent()
        house.middle.time.now_s += bound.KEPT_S - 5
        assert await house.middle.result(house.desk.resign_once()) == 0
        house.middle.time.now_s += 10
        assert await house.middle.result(house.desk.resign_once()) == 1
        assert house.states() == [("failed", 0)]

    tell(tmp_path, story)


def test_a_desk_that_closes_takes_nothing_more(tmp_path: Path) -> None:
    """After the end nothing is taken in hand: what is written lies."""

    async def story(house: House) -> None:
        bind = house.join(Bind())
        house.desk.close()
        await house.sent()
        assert bind.delivered == []
        assert [state for state, _ in house.states()] == ["pending"]

    tell(tmp_path, story)
