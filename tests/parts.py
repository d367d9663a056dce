"""The parts of the machine that some tests need and that may be absent: a server, a tool, another language.

A test says `require("curl", shutil.which("curl") is not None)`. Where the part is absent the test is skipped, and the
summary of pytest names it; with CHAPPE_TEST_ALL=1 the test fails instead, so that nothing is skipped in silence.
"""

import os

import pytest


def require(part: str, present: bool) -> None:
    """Go on if the part is present; otherwise skip the running test, or fail it when CHAPPE_TEST_ALL is 1."""
    if present:
        return
    sentence = f"{part} is missing on this machine; ./dev test installs it where it may"
    if os.environ.get("CHAPPE_TEST_ALL") == "1":
        pytest.fail(f"{sentence} (CHAPPE_TEST_ALL=1 allows no skip)", pytrace=False)
    pytest.skip(sentence)
