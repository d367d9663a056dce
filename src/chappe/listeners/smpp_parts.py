"""Parts of long messages as the SMPP door keeps them, and how they are put together (`dialects.smpp.north`)."""

from collections.abc import Sequence

import msgspec

from chappe.core.centre import Refused
from chappe.core.model import Submission
from chappe.dialects.smpp.north import PartOfMessage, has_part, submission_of_parts
from chappe.dialects.smpp.words import LinkWords, refusal_of
from chappe.smpp.pdu import Status

_decoder = msgspec.json.Decoder(PartOfMessage)
_encoder = msgspec.json.Encoder()
PLAIN_WORDS = LinkWords()


def kept_form(part: PartOfMessage) -> str:
    """What is kept of a part until all are there."""
    return _encoder.encode(part).decode()


class PartWords:
    """What SMPP knows of parts; each is its id and what was kept of it."""

    def whole(self, parts: Sequence[tuple[int, str]]) -> Submission | Refused:
        """The submission that all parts of a message make."""
        submission = submission_of_parts({part_id: _decoder.decode(content) for part_id, content in parts})
        if isinstance(submission, Status):
            return Refused(refusal_of(submission, PLAIN_WORDS))
        return submission

    def is_same(self, one: str, other: str) -> bool:
        """Whether two parts say the same; a relative time is another instant in every copy, so times do not count."""
        return said_by(one) == said_by(other)

    def has_part(self, memo: str, part_id: int) -> bool:
        """Whether a part with this id is one of the message with this memo, whose own id is no greater."""
        return has_part(memo, part_id)

    def said(self, parts: Sequence[tuple[int, str]]) -> Submission:
        """What some of them say about the whole; whoever asked for no receipt wants no callbacks."""
        submission = self.whole(parts)
        if isinstance(submission, Refused):
            return Submission(recipients=(), text="", wants_callbacks=False)
        return submission


def said_by(content: str) -> tuple[str, str, str]:
    part = _decoder.decode(content)
    return part.octets, part.charset, part.elements
