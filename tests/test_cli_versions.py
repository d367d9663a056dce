"""`chappe versions` and `chappe export` from the shell: who changed what, going back, and the file without secrets."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chappe.cli import program

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "{price}"

[[account]]
name = "alice"
password = "hidden horse"
"""


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(program, [*words, "--data", str(folder / "data")])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a gateway's configuration was changed once after it was made."""
    for price in ("0.0100", "0.0200"):
        (tmp_path / "g.toml").write_text(WORLD.format(price=price))
        assert run(tmp_path, "apply", str(tmp_path / "g.toml")).exit_code == 0
    return tmp_path


def test_versions_tell_who_changed_what(folder: Path) -> None:
    """The file and the unix user stand beside each change, newest first, for people and for programs."""
    listed = json.loads(run(folder, "versions", "--json").output)
    assert [one["revision"] for one in listed] == [2, 1]
    assert listed[0]["author"].startswith("apply g.toml by ")
    assert listed[0]["changes"][0]["difference"] == ["price: 0.0100 -> 0.0200"]
    assert "1 changed" in run(folder, "versions").output
    assert "price: 0.0100 -> 0.0200" in run(folder, "versions", "2").output
    assert "hidden" not in run(folder, "versions", "--json").output


def test_going_back_is_shown_first_and_is_a_version(folder: Path) -> None:
    """A dry run changes nothing; going back does, tells what, and stands in the list."""
    assert "price: 0.0200 -> 0.0100" in run(folder, "versions", "--roll-back", "1", "--dry-run").output
    assert len(json.loads(run(folder, "versions", "--json").output)) == 2
    done = run(folder, "versions", "--roll-back", "1")
    assert (done.exit_code, "price: 0.0200 -> 0.0100" in done.output) == (0, True)
    newest = json.loads(run(folder, "versions", "--json").output)[0]
    assert (newest["revision"], newest["remark"]) == (3, "back to version 1")
    again = run(folder, "versions", "--roll-back", "1")
    assert (again.exit_code, "nothing to do" in again.output) == (0, True)


@pytest.mark.parametrize(
    "words, code, told",
    [
        (["versions", "99"], 1, "there is no version 99"),
        (["versions", "--roll-back", "99"], 1, "there is no version 99"),
        (["versions", "1", "--roll-back", "2"], 2, "give one of them"),
        (["versions", "--dry-run"], 2, "--dry-run belongs to --roll-back"),
        (["versions", "0"], 2, "is not in the range"),
    ],
)
def test_wrong_use_of_versions_is_told(folder: Path, words: list[str], code: int, told: str) -> None:
    """With the exit code for what failed, or for wrong use."""
    outcome = run(folder, *words)
    assert (outcome.exit_code, told in outcome.output) == (code, True)


def test_where_no_gateway_is_none_is_made(tmp_path: Path) -> None:
    """Neither listing nor exporting makes a database."""
    for word in ("versions", "export"):
        outcome = run(tmp_path, word)
        assert (outcome.exit_code, "there is no gateway" in outcome.output) == (1, True)
    assert not (tmp_path / "data").exists()


def test_an_export_holds_no_secret_and_cannot_be_applied_without(folder: Path) -> None:
    """Its placeholders are comments; with the password written in, it changes nothing."""
    exported = run(folder, "export").output
    assert "hidden" not in exported
    (folder / "out.toml").write_text(exported)
    refused = run(folder, "apply", str(folder / "out.toml"))
    assert (refused.exit_code, "password is missing" in refused.output) == (1, True)
    (folder / "out.toml").write_text(exported.replace('# password = "write it here"', 'password = "hidden horse"'))
    assert "nothing to do" in run(folder, "apply", str(folder / "out.toml")).output
