"""Long messages part by part: kept when answered, submitted once, and told where they become nothing."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from chappe.core.centre import Accepted, Refusal, Refused, SubmitPart
from chappe.core.model import Concatenation, Submission
from chappe.dialects.smpp import SMPP
from chappe.dialects.smpp.north import PartOfMessage
from chappe.gateway.parts import SETTLED_MS, PartDesk
from chappe.listeners.smpp_parts import PartWords, kept_form
from chappe.store import parts, schema
from chappe.store.database import StoreUnavailable
from gateway.middle import WORLD, Middle, play

MEMO = "1.5.0.1.1"
PRICE_MICROS = 10_000


class House:
    """The middle with a desk for parts."""

    def __init__(self, middle: Middle) -> None:
        self.middle = middle
        self.desk = PartDesk(
            store=middle.store,
            directory=lambda: middle.directory.current,
            dialect=SMPP,
            words=PartWords(),
            intake=middle.intake,
            clock=middle.time,
            ids=middle.ids,
            tell=middle.callbacks.plan,
            announce=middle.callbacks.announce,
        )
        middle.store.parts.plan = self.desk.plan

    def part(self, position: int, *, total: int = 2, reference: int = 7, **changes: Any) -> SubmitPart:
        fields: dict[str, Any] = {"originator": "ACME", "recipient": "447700900123", "memo": MEMO} | changes
        text = fields.pop("text", f"part {position} ").encode()
        place = Concatenation(reference=reference, total=total, position=position)
        kept = PartOfMessage(concatenation=place, octets=text.hex(), charset="gsm", **fields)
        submission = Submission(
            recipients=(fields["recipient"],), text="", originator=fields["originator"], memo=fields["memo"]
        )
        account = self.middle.alice
        return SubmitPart(account=account, submission=submission, concatenation=place, content=kept_form(kept))

    async def submit(self, position: int, **changes: Any) -> Any:
        return await self.middle.result(self.desk.submit(self.part(position, **changes)))

    async def submitted(self, position: int, **changes: Any) -> int:
        """The id of a part that was accepted."""
        verdict = await self.submit(position, **changes)
        assert isinstance(verdict, Accepted)
        return int(verdict.tickets[0].reference)

    def texts(self) -> list[str]:
        return [row["text"] for row in self.middle.rows(schema.message)]

    def told(self) -> list[tuple[str, str]]:
        """State and memo of every receipt there is."""
        reports = [json.loads(row["payload"]) for row in self.middle.rows(schema.callback)]
        return [(report["state"], report["memo"]) for report in reports]

    def waiting(self) -> list[int]:
        """Positions of parts that belong to no message yet."""
        return [row["position"] for row in self.middle.rows(schema.submission_part) if not row["message_id"]]


def tell(folder: Path, story: Callable[[House], Awaitable[None]], world: str = WORLD) -> None:
    async def script(middle: Middle) -> None:
        await middle.open()
        await story(House(middle))

    play(folder, script, world)


def test_the_whole_is_submitted_with_its_last_part(tmp_path: Path) -> None:
    """Parts cost nothing until all are there; then they are one message, known by the first id, at its price."""

    async def story(house: House) -> None:
        second = await house.submitted(2)
        assert (house.texts(), house.middle.money()) == ([], (0, 0))
        first = await house.submitted(1)
        assert house.texts() == ["part 1 part 2 "]
        assert (first, second) == (house.middle.message()["id"], first + 1)
        assert house.middle.money() == (PRICE_MICROS, 0)
        assert house.waiting() == []
        assert house.told() == [("delivered", f"{MEMO}.p{first}:1.p{second}:1")]

    tell(tmp_path, story)


def test_a_copy_submits_nothing_again(tmp_path: Path) -> None:
    """A part that comes again after its message was submitted has its old id, and there is still one message."""

    async def story(house: House) -> None:
        ids = [await house.submitted(1), await house.submitted(2)]
        assert [await house.submitted(1), await house.submitted(2)] == ids
        assert len(house.texts()) == 1

    tell(tmp_path, story)


def test_what_is_certainly_wrong_is_refused_at_once(tmp_path: Path) -> None:
    """A part to nobody, from a forbidden name or along no route is refused by itself and not kept."""

    async def story(house: House) -> None:
        for changes, reason in (
            ({"recipient": "12"}, Refusal.BAD_RECIPIENT),
            ({"originator": "OTHER"}, Refusal.BAD_ORIGINATOR),
            ({"total": 300}, Refusal.BAD_REQUEST),
        ):
            verdict = await house.submit(1, **changes)
            assert isinstance(verdict, Refused)
            assert verdict.reason is reason
        assert house.middle.rows(schema.submission_part) == []

    tell(tmp_path, story)


def test_a_whole_that_is_refused_is_told(tmp_path: Path) -> None:
    """Without money for the whole the last part is refused; of the parts before it those that asked are told."""

    async def story(house: House) -> None:
        first = await house.submitted(1, total=3)
        await house.submitted(2, total=3, memo="0.5.0.1.1")
        verdict = await house.submit(3, total=3, text="x" * 200)
        assert verdict == Refused(Refusal.NO_FUNDS)
        assert house.told() == [("rejected", f"{MEMO}.p{first}:1.p{first + 1}:0")]
        assert (house.texts(), house.middle.rows(schema.submission_part)) == ([], [])

    tell(tmp_path, story, WORLD.replace('"100.00"', '"0.01"'))


def test_an_incomplete_one_ends(tmp_path: Path) -> None:
    """After ten minutes the parts that are there end as expired, told to those that asked; nothing was charged."""

    async def story(house: House) -> None:
        first = await house.submitted(1)
        await house.submitted(2, reference=8, memo="0.5.0.1.1")
        house.middle.time.now_s += parts.PATIENCE_MS / 1000 - 1
        assert await house.middle.result(house.desk.run_once()) == 0
        house.middle.time.now_s += 1
        await house.middle.result(house.desk.run_once())
        assert house.told() == [("expired", f"{MEMO}.p{first}:1")]
        assert house.waiting() == []
        assert house.middle.money() == (0, 0)

    tell(tmp_path, story)


def test_what_nobody_submitted_a_round_submits(tmp_path: Path) -> None:
    """Where the process died between the last part and the message, a round submits it, once, under the same id."""

    async def story(house: House) -> None:
        first = await house.submitted(1)
        kept = await house.middle.result(keep(house, house.part(2)))
        assert (kept.whole.message_id, house.texts()) == (first, [])
        await house.middle.result(house.desk.run_once())
        assert house.texts() == []  # whoever brought it may yet do so
        house.middle.time.now_s += SETTLED_MS / 1000
        await house.middle.result(house.desk.run_once())
        await house.middle.result(house.desk.run_once())
        assert house.texts() == ["part 1 part 2 "]
        assert (house.middle.message()["id"], house.waiting()) == (first, [])

    tell(tmp_path, story)


def test_a_message_that_is_kept_already_is_only_closed(tmp_path: Path) -> None:
    """Where the process died between the message and the end of its parts, a round ends them and sends nothing."""

    async def story(house: House) -> None:
        first = await house.submitted(1)
        whole = (await house.middle.result(keep(house, house.part(2)))).whole
        submission = PartWords().whole([(part.part_id, part.content) for part in whole.parts])
        assert isinstance(submission, Submission)
        await house.middle.result(house.middle.intake.submit_once(house.middle.alice, submission, SMPP, first))
        house.middle.time.now_s += SETTLED_MS / 1000
        await house.middle.result(house.desk.run_once())
        assert (len(house.texts()), house.waiting()) == (1, [])

    tell(tmp_path, story)


def test_a_part_that_could_not_be_taken_now_may_come_again(tmp_path: Path) -> None:
    """Where the message cannot be kept at the moment its last part is refused, and completes it when it comes again."""

    async def story(house: House) -> None:
        await house.submitted(1)
        intake = house.desk._intake

        class Away:
            quote = intake.quote

            async def submit_once(self, *_: Any, **__: Any) -> Refused:
                return Refused(Refusal.OVERLOADED)

        house.desk._intake = Away()
        assert await house.submit(2) == Refused(Refusal.OVERLOADED)
        assert house.waiting() == [1]
        house.desk._intake = intake
        await house.submitted(2)
        assert house.texts() == ["part 1 part 2 "]

    tell(tmp_path, story)


def test_without_the_database_nothing_is_promised(tmp_path: Path) -> None:
    """A part that could not be kept is not accepted."""

    async def story(house: House) -> None:
        def away() -> None:
            raise StoreUnavailable("away")

        house.middle.store._commits.before_commit = away
        try:
            await house.submit(1)
        except StoreUnavailable:
            house.middle.store._commits.before_commit = None
        assert house.middle.store._commits.before_commit is None
        assert house.middle.rows(schema.submission_part) == []

    tell(tmp_path, story)


async def keep(house: House, call: SubmitPart) -> Any:
    """Keep a part as the desk does, and die."""
    now_ms = house.middle.time.now_ms()
    place = call.concatenation
    key = parts.PartKey(call.account.id, call.submission.originator, call.submission.recipients[0], 7, place.total)
    arrival = parts.PartArrival(
        key=key,
        position=place.position,
        content=call.content,
        message_id=house.middle.ids.make(now_ms, place.total),
        now_ms=now_ms,
    )
    return await house.middle.store.commit(house.middle.store.parts.keep, arrival)


def test_an_id_that_another_node_has_taken_is_kept(tmp_path: Path) -> None:
    """A whole message that somebody else has just submitted under its id is there: once, and charged once."""

    async def story(house: House) -> None:
        middle = house.middle
        submission = Submission(recipients=("447700900123",), text="Hello", originator="ACME")
        message_id = middle.ids.make(middle.time.now_ms(), 2)
        for _ in range(2):
            trial = middle.intake.submit_once(middle.alice, submission, SMPP, message_id, is_new=True)
            assert isinstance(await middle.result(trial), Accepted)
        assert (house.texts(), middle.money()) == (["Hello"], (PRICE_MICROS, 0))

    tell(tmp_path, story)
