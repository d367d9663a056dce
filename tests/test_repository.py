"""The repository's own rules that a machine can check: versions agree, documents tell the truth, nothing leaks."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import chappe
from parts import require

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
COMMAND_TIMEOUT_S = 60

# What a tracked file may not hold: addresses of package indexes, paths of one machine. (The pattern misses itself.)
FORBIDDEN_WORDS = re.compile(r"https?://[^ ]*(p[y]pi|p[y]thonhosted)|(?<![\w.-])/(r[o]ot|w[o]rk)/")

# Code that runs what it reads.
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec"}

# Commands in Markdown: a line of a code block or an inline code span, after an optional prompt and settings.
COMMAND = re.compile(r"^(?:\$ )?(?:\w+=\S* )*(?:\./dev|(?:\.venv/bin/)?chappe) [a-z].*$")


def test_versions_agree() -> None:
    """The project file, the package and the newest entry of the changelog name the same version."""
    newest = re.search(r"^## \[?v?(\d+\.\d+\.\d+\S*?)\]?(?:\s|$)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert project()["version"] == chappe.__version__ == newest[1]


def test_commands_of_the_readme_exist() -> None:
    """Every command that the README shows exists and knows the options shown with it."""
    commands = shown_commands((ROOT / "README.md").read_text())
    assert commands
    assert [problem for words in commands for problem in command_problems(words)] == []


def test_commands_are_found_in_markdown() -> None:
    """Commands are read from code blocks and code spans, and from nowhere else."""
    text = "Run chappe demo.\n```sh\n$ ./dev test -k 'a b'\nX=1 chappe serve --http H  # why\n```\n`chappe check`\n"
    assert shown_commands(text) == [
        ["./dev", "test", "-k", "a b"],
        ["chappe", "serve", "--http", "H"],
        ["chappe", "check"],
    ]


@pytest.mark.parametrize("words", [["./dev", "dance"], ["chappe", "dance"], ["chappe", "demo", "--dance"]])
def test_a_command_that_does_not_exist_is_found(words: list[str]) -> None:
    """A command or an option that nobody wrote is reported."""
    assert command_problems(words)


def test_no_tracked_file_holds_an_index_address_or_a_path_of_a_machine() -> None:
    """No tracked file holds an address of a package index or an absolute path of somebody's machine."""
    assert [found for path in tracked_files() for found in forbidden_words(path)] == []


@pytest.mark.parametrize(
    "words, is_forbidden",
    [
        ("https://py" + "pi.org/simple", True),
        ("see https://files.python" + "hosted.org/x", True),
        ("cd /ro" + "ot/chappe", True),
        ("'/wo" + "rk/main'", True),
        ("https://example.org/work/", False),
        ("network/rooted", False),
    ],
)
def test_forbidden_words_are_found(words: str, is_forbidden: bool, tmp_path: Path) -> None:
    """Forbidden words are found wherever they stand in a line, and their neighbours are not."""
    path = tmp_path / "notes.md"
    path.write_text(f"first\n{words}\n")
    assert bool(forbidden_words(path)) == is_forbidden


def test_constraints_pin_every_dependency_by_hash() -> None:
    """Every package the project asks for is pinned in constraints.txt to a release that satisfies it, with hashes."""
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    named = re.findall(r"^(\S+)==(\S+)", text, re.M)  # some twice, for different Pythons
    pins = {canonicalize_name(name): version for name, version in named}
    releases = re.findall(r"^\S+==.*(?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?)+$", text, re.M)
    assert len(releases) == len(named)
    assert [str(wanted) for wanted in requirements() if not is_pinned(wanted, pins)] == []


def test_source_runs_nothing_that_it_reads() -> None:
    """No module of chappe unpickles, evaluates or executes."""
    assert [found for path in sorted(SOURCE.rglob("*.py")) for found in unsafe_code(path, path.read_text())] == []


@pytest.mark.parametrize(
    "source", ["import pickle", "from marshal import loads", "def f():\n    eval('1')", "exec(compile('', '', 'exec'))"]
)
def test_unsafe_code_is_found(source: str) -> None:
    """Each way of running what was read is found."""
    assert unsafe_code(SOURCE / "x.py", source)


def test_every_module_says_what_it_is() -> None:
    """Every public module and every room of chappe opens with a docstring."""
    modules = [path for path in sorted(SOURCE.rglob("*.py")) if path.name == "__init__.py" or path.name[0] != "_"]
    assert [name(path) for path in modules if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_every_test_says_what_it_proves() -> None:
    """Every test has a docstring of one line: the promise it proves."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    assert [f"{name(path)}: {test}" for path in files for test in unpromising_tests(path.read_text())] == []


def test_a_test_without_promise_is_found() -> None:
    """Tests without a docstring, or with one of several lines, are found."""
    source = '''
def test_silent(): pass
async def test_long():
    """One.

    Two.
    """
def test_good():
    """One."""
def helper(): pass
'''
    assert list(unpromising_tests(source)) == ["test_silent", "test_long"]


def project() -> dict[str, Any]:
    table: dict[str, Any] = project_file()["project"]
    return table


def project_file() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirements() -> list[Requirement]:
    """What the project asks for at run time, for tests, and to be built."""
    texts = [
        *project()["dependencies"],
        *project()["optional-dependencies"]["test"],
        *project_file()["build-system"]["requires"],
    ]
    return [Requirement(text) for text in texts]


def is_pinned(wanted: Requirement, pins: dict[Any, str]) -> bool:
    version = pins.get(canonicalize_name(wanted.name))
    return version is not None and wanted.specifier.contains(version)


def shown_commands(markdown: str) -> list[list[str]]:
    """The words of each `./dev ...` and `chappe ...` that Markdown shows as code, without prompt and settings."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", markdown, re.M | re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S))
    lines = [line.strip() for block in blocks for line in block.splitlines()] + spans
    return [command_words(line) for line in lines if COMMAND.match(line)]


def command_words(line: str) -> list[str]:
    words = [word for word in shlex.split(line.removeprefix("$ "), comments=True) if not re.match(r"\w+=", word)]
    return [words[0].removeprefix(".venv/bin/"), *words[1:]]


def command_problems(words: list[str]) -> list[str]:
    """What is wrong with a shown command: it is unknown, or one of its options is."""
    program, command, *arguments = words
    if program == "./dev":
        table = run([str(ROOT / "dev"), "help"]).stdout
        return [] if re.search(rf"^  {re.escape(command)}\s", table, re.M) else [f"./dev {command} does not exist"]
    shown = run([str(Path(sys.executable).with_name("chappe")), command, "--help"])
    if shown.returncode != 0:
        return [f"chappe {command} does not exist"]
    options = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    return [f"chappe {command} has no {option}" for option in options if option not in shown.stdout]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # A wide terminal: no option is cut in two by the help's line breaks.
    surroundings = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, env=surroundings
    )


def tracked_files() -> list[Path]:
    """The files that git tracks or would track, as they are on the disk now."""
    command = ["git", "-C", str(ROOT), "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
    try:
        listing = run([*command, "--exclude-standard"])
    except FileNotFoundError:
        listing = None
    require("git, and a checkout made with it", listing is not None and listing.returncode == 0)
    assert listing is not None
    return [path for path in (ROOT / name for name in listing.stdout.split("\0") if name) if path.is_file()]


def forbidden_words(path: Path) -> list[str]:
    lines = path.read_text(errors="replace").splitlines()
    return [f"{name(path)}:{number}" for number, line in enumerate(lines, start=1) if FORBIDDEN_WORDS.search(line)]


def unsafe_code(path: Path, source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=aliases):
                names = {alias.name for alias in aliases} & FORBIDDEN_MODULES
            case ast.ImportFrom(module=str(module)):
                names = {module} & FORBIDDEN_MODULES
            case ast.Call(func=ast.Name(id=called)):
                names = {called} & FORBIDDEN_CALLS
            case _:
                continue
        found += [f"{name(path)}:{node.lineno}: {each}" for each in names]
    return found


def unpromising_tests(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            promise = ast.get_docstring(node)
            if not promise or "\n" in promise:
                yield node.name


def name(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
