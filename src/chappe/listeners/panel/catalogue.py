"""Every sentence of the panel that can be translated, and the catalogues brought up to date with them.

Sentences stand in templates and in code as `_("...")`. Besides, the panel translates what comes from elsewhere: titles
of its navigation, words of closed lists, refusals and stories of the gateway; those are read off the lists and off the
gateway's source. `python -m chappe.listeners.panel.catalogue` writes `locale/chappe.pot` and adds what is new to each
catalogue, where it waits for its translation; a test fails as long as one is missing.
"""

import ast
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from chappe.core.centre import Refusal
from chappe.core.model import Priority, Service, State, UncertainPolicy
from chappe.core.people import Role
from chappe.core.story import Kind
from chappe.gateway.configuration import Action
from chappe.gateway.gateway_file import KINDS
from chappe.gateway.overview import Period
from chappe.gateway.story import Fact, Title
from chappe.listeners.panel import ROUTES, blacklist, callbacks, editing, inbox, ledger, overview, senders
from chappe.listeners.panel.words import DOMAIN

FOLDER = Path(__file__).parent
LOCALE = FOLDER / "locale"
TEMPLATE = LOCALE / f"{DOMAIN}.pot"
SOURCE = FOLDER.parents[1]
WIDTH = 120
KEYWORDS: dict[str, tuple[int, ...] | None] = {"_": None, "gettext": None, "N_": None, "ngettext": (1, 2)}
PLACEHOLDER = re.compile(r"%\((\w+)\)[a-z]|%[sd]|\{(\w*)\}")

# Closed lists whose words the panel shows through `_()`.
LISTS: tuple[Iterable[str], ...] = (
    *(State, Role, Refusal, Kind, Service, Priority, UncertainPolicy, Title, Fact, Action, Period, KINDS),
    *(callbacks.KINDS, callbacks.STATES, inbox.FATE_TITLES.values(), ledger.KINDS.values(), editing.TITLES.values()),
    [name for name, _, _ in overview.TROUBLES],
    [each for rows in editing.CONTROLS.values() for one in rows for each in (one.label, one.hint, one.group) if each],
    *(blacklist.ORIGINS.values(), senders.STATES.values()),
    ("by default", "any", "every service class"),
)

# What rooms below say to people, and the panel translates: calls, and which of their arguments are sentences.
SAID: dict[str, tuple[int | str, ...]] = {"Refused": (1, "detail"), "Chapter": ("title",)}
SPEAKERS = ("core", "gateway")


def catalogue() -> Catalog:
    """All sentences, in the order of the alphabet of their files."""
    found = Catalog(domain=DOMAIN, project="chappe", copyright_holder="chappe", charset="utf-8")
    for sentence in (*in_templates(), *in_code(), *in_lists(), *in_the_gateway()):
        found.add(sentence, flags=("python-format",) if is_format(sentence) else ())
    return found


Sentence = str | tuple[str, str]  # with its plural


def in_templates() -> Iterator[Sentence]:
    for path in sorted((FOLDER / "templates").rglob("*.html")):
        with path.open("rb") as file:
            for row in extract(
                "jinja2.ext:babel_extract", file, KEYWORDS, (), {"trim_blocks": "true", "lstrip_blocks": "true"}
            ):
                yield sentence_of(row[1])


def in_code() -> Iterator[Sentence]:
    for path in sorted(FOLDER.glob("*.py")):
        if path != Path(__file__):
            for row in extract("python", io.BytesIO(path.read_bytes()), KEYWORDS):
                yield sentence_of(row[1])


def sentence_of(found: str | tuple[str, ...]) -> Sentence:
    return found if isinstance(found, str) else (found[0], found[1])


def in_lists() -> Iterator[Sentence]:
    for route in ROUTES:
        yield from filter(None, (route.title, route.group))
    for words in LISTS:
        yield from (said(str(word)) for word in words)


def said(word: str) -> str:
    """A word as it is shown: those of the code have no blanks."""
    return word if " " in word or word in callbacks.KINDS else word.replace("_", " ")


def in_the_gateway() -> Iterator[Sentence]:
    for room in SPEAKERS:
        for path in sorted((SOURCE / room).glob("*.py")):
            yield from said_in(path.read_text(encoding="utf-8"))


def said_in(source: str) -> Iterator[str]:
    """The sentences that a module of the gateway says, where they stand there as they are."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAID:
            places = SAID[node.func.id]
            arguments = [node.args[place] for place in places if isinstance(place, int) and place < len(node.args)]
            arguments += [one.value for one in node.keywords if one.arg in places]
            yield from (one.value for one in arguments if isinstance(one, ast.Constant) and isinstance(one.value, str))


def is_format(sentence: Sentence) -> bool:
    return any(re.search(r"%\(\w+\)[a-z]", text) for text in texts_of(sentence))


def texts_of(sentence: str | Iterable[str]) -> tuple[str, ...]:
    return (sentence,) if isinstance(sentence, str) else tuple(sentence)


def problems(translated: Catalog, wanted: Catalog) -> Iterator[str]:
    """What is wrong with a translation: sentences that it lacks, or whose placeholders are others."""
    for message in wanted:
        if not message.id:
            continue
        found: Message | None = translated.get(message.id)
        texts = texts_of(found.string or ()) if found is not None and "fuzzy" not in found.flags else ()
        if not texts or not all(texts):
            yield f"{texts_of(message.id)[0]!r} has no translation"
            continue
        if isinstance(message.id, tuple | list) and len(texts) != translated.num_plurals:
            yield f"{message.id[0]!r} has {len(texts)} plural forms instead of {translated.num_plurals}"
        for text in texts:
            if placeholders(text) not in [placeholders(each) for each in texts_of(message.id)]:
                yield f"{texts_of(message.id)[0]!r} has other placeholders than {text!r}"


def placeholders(text: str) -> set[str]:
    return {match[0] for match in PLACEHOLDER.finditer(text)}


def load(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3], domain=DOMAIN)


def paths() -> list[Path]:
    return sorted(LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def write(found: Catalog, path: Path) -> None:
    """Sorted by sentence and without line numbers, so that a change of a catalogue shows what has changed."""
    written = io.BytesIO()
    write_po(written, found, width=WIDTH, no_location=True, sort_output=True, omit_header=path == TEMPLATE)
    lines = written.getvalue().decode().splitlines()
    dated = ("POT-Creation-Date", "PO-Revision-Date", "Generated-By", "Report-Msgid")
    kept = [line for line in lines if not line.startswith(tuple(f'"{name}' for name in dated))]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


def main() -> None:
    wanted = catalogue()
    write(wanted, TEMPLATE)
    for path in paths():
        translated = load(path)
        translated.update(wanted, no_fuzzy_matching=True)
        translated.obsolete.clear()
        write(translated, path)


if __name__ == "__main__":
    main()
