"""The golden files: every fact that has a request and an answer, held against both halves."""

import pytest

from chappe.core.centre import Refusal, Refused
from chappe.dialects.base import Dialect
from dialects.centres import DIALECTS
from dialects.transcripts import Case, cases_of, replay

CASES = [
    pytest.param(dialect, case, id=f"{dialect.name}: {case.heading}")
    for dialect in DIALECTS
    for case in cases_of(dialect)
]


@pytest.mark.parametrize("dialect, case", CASES)
def test_a_conversation_goes_as_written(dialect: Dialect, case: Case) -> None:
    """Byte for byte, our halves say what the provider's document says they do."""
    assert replay(dialect, case.steps) == case.steps


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_word_has_a_conversation(dialect: Dialect) -> None:
    """Each word a dialect can answer with, its error texts and codes included, is shown in a golden file."""
    answers = {dialect.north.refuse(Refused(reason)) for reason in Refusal}
    shown = {step.content for case in cases_of(dialect) for step in case.steps if step.sign == "<"}
    assert answers - shown == set()
