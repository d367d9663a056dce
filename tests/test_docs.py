"""The documentation tells the truth: nothing is left out, every link leads somewhere, every command shown works."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import click
import pytest

from chappe import reference
from chappe.core.centre import Refusal
from chappe.core.fates import FATES
from chappe.core.model import Priority, Service, State, UncertainPolicy
from chappe.core.people import Permission, Role
from chappe.core.story import Kind
from chappe.gateway.metrics import FAMILIES
from chappe.listeners.panel import ROUTES as PANEL_ROUTES
from chappe.settings import Settings
from test_repository import shown_commands

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PROGRAMS = Path(sys.executable).parent
BUILD_TIMEOUT_S = 60
COMMAND_TIMEOUT_S = 60
PAGES = sorted(DOCS.rglob("*.md"))

# What a browser fetches by itself when it shows a page.
FETCHED = re.compile(
    r"""(?:<(?:script|img|iframe|source)\b[^>]*\bsrc|<link\b[^>]*\bhref|@import|url\()["'=( ]*(?:https?:)?//"""
)


# Nothing is left out


def test_every_command_and_option_says_what_it_is_for() -> None:
    """Every command has a text, every option and argument of it a word of help, and all stand in the reference."""
    page = reference.command_page()
    for name, command in reference.commands():
        assert command.help, name
        assert f"## `{name}`\n" in page
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.opts}"
                assert f"`{option.opts[0]}`" in page


def test_every_endpoint_is_documented() -> None:
    """Every path of ours and of the native API has a sentence in the reference."""
    page = reference.endpoint_page()
    rows = [row for row in reference.endpoints() if row.group in ("chappe", "native")]
    assert [row for row in rows if not row.does or f"`{row.path}`" not in page] == []


def test_every_path_of_a_dialect_stands_on_its_page() -> None:
    """Every path that a dialect answers is in the reference, and its words are on the dialect's own pages."""
    page = reference.endpoint_page()
    rows = list(reference.dialect_endpoints())
    assert [row for row in rows if f"`{row.path}`" not in page] == []
    assert [row for row in rows if not stands_on_page(row)] == []


def test_every_page_of_the_panel_is_documented() -> None:
    """Every route of the panel stands in the reference with a sentence on what it is."""
    rows = [reference.panel_row(route) for route in PANEL_ROUTES]
    assert rows
    assert [row for row in rows if not row[-1]] == []
    assert {(route.method, route.path) for route in PANEL_ROUTES} >= reference.PANEL.keys()


def test_every_figure_is_documented() -> None:
    """Every family of figures stands in the reference with what it means."""
    page = reference.metric_page()
    assert [one.name for one in FAMILIES if not one.help or f"`{one.name}" not in page] == []


def test_every_key_of_the_gateway_file_is_documented() -> None:
    """Every key that `chappe apply` reads has a row below its entry's heading, and every row is a key."""
    sections = (DOCS / "gateway-file.md").read_text().split("\n## ")
    for kind, keys in reference.gateway_file_keys().items():
        (section,) = [text for text in sections if text.startswith(f"`[[{kind}]]`")]
        rows = re.findall(r"^\| (`[^|]*) \|", section, re.M)
        assert {name for cell in rows for name in re.findall(r"`(\w+)`", cell)} == keys


def test_every_setting_is_documented() -> None:
    """Every setting has a row on the page about settings."""
    page = (DOCS / "settings.md").read_text()
    assert [name for name in Settings.__struct_fields__ if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize(
    "sentences, words",
    [
        (reference.STATES, State),
        (reference.REFUSALS, Refusal),
        (reference.POLICIES, UncertainPolicy),
        (reference.PRIORITIES, Priority),
        (reference.SERVICES, Service),
        (reference.ROLES, Role),
        (reference.PERMISSION_WORDS, Permission),
        (reference.CHAPTERS, Kind),
    ],
)
def test_every_word_has_its_sentence(sentences: dict[str, str], words: Iterable[str]) -> None:
    """Every word of a closed list has a sentence, and no sentence is about a word that is gone."""
    assert set(sentences) == set(words)


def test_every_simulated_ending_is_documented() -> None:
    """Every ending that decides a message's fate stands in the reference."""
    page = reference.word_page()
    assert [ending for ending in FATES if f"| `{ending}` |" not in page] == []


# What is shown works


def test_the_site_builds(tmp_path: Path) -> None:
    """The site is built without a warning: every link and anchor leads somewhere, every page has its place."""
    command = [str(PROGRAMS / "mkdocs"), "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    surroundings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    assert (built.returncode, built.stderr) == (0, "")
    pages = [*(tmp_path / "site").rglob("*.html"), *(tmp_path / "site").rglob("*.css")]
    assert len(pages) > len(PAGES)
    assert [page.name for page in pages if FETCHED.search(page.read_text())] == []


@pytest.mark.parametrize(
    "markup, is_fetched",
    [
        ('<script src="https://cdn.example/x.js">', True),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', True),
        ("a { background: url(https://x.example/y.png) }", True),
        ('<a href="https://example.org">', False),
        ('<script src="assets/x.js">', False),
    ],
)
def test_what_a_browser_would_fetch_is_found(markup: str, is_fetched: bool) -> None:
    """Requests to other servers are found, and links to them are none."""
    assert bool(FETCHED.search(markup)) == is_fetched


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_commands_of_the_documents_exist(page: Path) -> None:
    """Every command that a document shows exists and knows the options shown with it."""
    assert [found for words in shown_commands(page.read_text()) for found in unknown(words)] == []


@pytest.mark.parametrize("words", [["chappe", "dance"], ["chappe", "demo", "--dance"], ["chappe", "alias", "dance"]])
def test_a_command_that_nobody_wrote_is_found(words: list[str]) -> None:
    """A command or an option that does not exist is reported."""
    assert unknown(words)


@pytest.mark.parametrize(
    "name",
    ["index", "how-to/test-my-app", "how-to/leave-a-provider", "how-to/resell", "how-to/production", "dialects/native"],
)
def test_a_tutorial_can_be_followed(name: str, tmp_path: Path) -> None:
    """Whoever types what a tutorial shows, line by line, sees what it says they will."""
    with Reader(tmp_path) as reader:
        reader.follow((DOCS / f"{name}.md").read_text())
        assert reader.typed_count


def unknown(words: list[str]) -> list[str]:
    """What of a shown command does not exist."""
    if words[0] != "chappe":
        return []  # ./dev is looked after with the README
    known = dict(reference.commands())
    name, rest = "chappe", words[1:]
    while rest and isinstance(known[name], click.Group):
        name, rest = f"{name} {rest[0]}", rest[1:]
        if name not in known:
            return [f"{name} does not exist"]
    options = {option for each in known[name].params for option in each.opts}
    asked = [word.partition("=")[0] for word in rest if word.startswith("--")]
    return [f"{name} has no {option}" for option in asked if option not in options]


def stands_on_page(row: reference.Endpoint) -> bool:
    """Whether each word of a path below its dialect's root stands on one of the dialect's pages."""
    _, pages = reference.DIALECT_PAGES.get(row.group, ("", ()))
    text = "".join((DOCS / "dialects" / f"{page}.md").read_text() for page in pages)
    words = row.path.partition("/REST/")[2] or row.path.partition("index.php/")[2] or row.path
    return all(re.search(rf"\b{re.escape(word)}\b", text) for word in words.split("/") if word and "{" not in word)


SERVING = {"chappe demo", "chappe serve"}


class Reader:
    """Somebody who follows a tutorial: writes its files, types its `sh` blocks, compares what its `text` blocks say.

    Commands that serve run on in the background until the end. Of what is printed, `...` may be anything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.typed_count = 0
        self._port = free_port()
        self._serving: list[subprocess.Popen[str]] = []
        self._environment = {
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "NO_COLOR": "1",
            "LANG": "C.UTF-8",
        }
        self._said = ""

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._serving:
            process.terminate()
            process.wait(COMMAND_TIMEOUT_S)
            if process.stdout is not None:
                process.stdout.close()

    def follow(self, markdown: str) -> None:
        typed = [line for language, _, block in blocks(markdown) if language == "sh" for line in block.splitlines()]
        if "127.0.0.1:8080" in "".join(typed) and not SERVING & set(typed):
            self._type("chappe demo")  # it was begun on another page, or with what is done here already
        for language, title, block in blocks(markdown):
            if title:
                (self.folder / title).write_text(self._here(block))
            elif language == "sh":
                self._said = ""
                for line in block.splitlines():
                    self._type(line)
            elif language == "text" and self._said:
                assert fnmatchcase(self._said.strip(), pattern_of(block)), (self._said, block)

    def _type(self, line: str) -> None:
        self.typed_count += 1
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self._environment[name] = value
        elif line in SERVING:
            self._serve(line)
        else:
            done = subprocess.run(
                ["bash", "-c", self._here(line)],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            self._said += done.stdout if done.stdout.endswith("\n") else done.stdout + "\n"

    def _serve(self, line: str) -> None:
        smpp = " --smpp 127.0.0.1:0" if line == "chappe demo" else ""
        process = subprocess.Popen(
            [*line.split(), *f"--http 127.0.0.1:{self._port}{smpp}".split()],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._serving.append(process)
        assert process.stdout is not None
        ready = "trips" if line == "chappe demo" else "accepts requests at"
        assert any(ready in said for said in iter(process.stdout.readline, "")), line

    def _here(self, text: str) -> str:
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{self._port}")


def blocks(markdown: str) -> Iterator[tuple[str, str, str]]:
    """Language, title and content of each block of code."""
    for match in re.finditer(r'^( *)```(\w*)(?: title="([^"]*)")?\n(.*?)^\1```', markdown, re.M | re.S):
        yield match[2], match[3] or "", match[4]


def pattern_of(block: str) -> str:
    """What a reader expects to see, as a pattern: dots are anything, all else is itself."""
    return re.sub(r"([\[*?])", r"[\1]", block.strip()).replace("...", "*")


def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        return port


def test_a_reader_who_sees_something_else_says_so(tmp_path: Path) -> None:
    """A tutorial whose command fails, or prints other words than it says, is found."""
    assert shutil.which("bash")
    with Reader(tmp_path) as reader:
        reader.follow("```sh\necho one two\n```\n```text\none ...\n```\n")
        with pytest.raises(AssertionError):
            reader.follow("```sh\necho one\n```\n```text\ntwo\n```\n")
        with pytest.raises(AssertionError):
            reader.follow("```sh\nfalse\n```\n")
