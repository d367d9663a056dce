"""A missing part of the machine is never passed over in silence."""

import pytest

from parts import require


@pytest.mark.parametrize("test_all", ["", "1"])
def test_a_present_part_lets_the_test_go_on(test_all: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that is present neither skips nor fails anything."""
    monkeypatch.setenv("CHAPPE_TEST_ALL", test_all)
    require("bread", present=True)


def test_a_missing_part_skips_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose part is missing is skipped with the part's name in the reason."""
    monkeypatch.delenv("CHAPPE_TEST_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="unobtainium is missing"):
        require("unobtainium", present=False)


def test_a_missing_part_fails_when_all_tests_must_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CHAPPE_TEST_ALL=1 a missing part is a failure, not a skip."""
    monkeypatch.setenv("CHAPPE_TEST_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="unobtainium is missing"):
        require("unobtainium", present=False)
