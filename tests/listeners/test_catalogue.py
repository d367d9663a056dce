"""The panel's catalogues: every sentence has its translation, with the same placeholders and all plural forms."""

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from chappe.listeners.panel import catalogue
from chappe.listeners.panel.words import Languages

LANGUAGES = ("it", "ru")
COUNTED = ("%(n)s segment", "%(n)s segments")


def test_there_are_the_languages_of_the_providers() -> None:
    """The panel speaks English, Italian and Russian."""
    assert sorted(Languages.load(catalogue.LOCALE).names) == ["en", *LANGUAGES]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated(language: str) -> None:
    """Every sentence of the panel has a translation with the same placeholders and all plural forms."""
    (path,) = [path for path in catalogue.paths() if path.parts[-3] == language]
    assert list(catalogue.problems(catalogue.load(path), catalogue.catalogue())) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_left_over(language: str) -> None:
    """A catalogue holds no sentence that the panel has no more."""
    (path,) = [path for path in catalogue.paths() if path.parts[-3] == language]
    wanted = {message.id for message in catalogue.catalogue()}
    assert [message.id for message in catalogue.load(path) if message.id not in wanted] == []


def test_the_template_is_current() -> None:
    """`locale/chappe.pot` is what `python -m chappe.listeners.panel.catalogue` writes."""
    with catalogue.TEMPLATE.open("rb") as file:
        written = {message.id for message in read_po(file)}
    assert written == {message.id for message in catalogue.catalogue()}


@pytest.mark.parametrize(
    "language, count, shown",
    [
        ("en", 1, "1 segment"),
        ("en", 2, "2 segments"),
        ("it", 1, "1 segmento"),
        ("it", 5, "5 segmenti"),
        ("ru", 1, "1 сегмент"),
        ("ru", 3, "3 сегмента"),
        ("ru", 5, "5 сегментов"),
        ("ru", 11, "11 сегментов"),
        ("ru", 21, "21 сегмент"),
    ],
)
def test_counted_things(language: str, count: int, shown: str) -> None:
    """Counted things have the form that their number takes in the language."""
    words = next(words for words in Languages.load(catalogue.LOCALE) if words.language == language)
    assert words.ngettext(*COUNTED, count) % {"n": count} == shown


@pytest.mark.parametrize(
    "sentence, translation, complaint",
    [
        ("Log in", "", "has no translation"),
        ("%(n)s left", "ancora %(m)s", "has other placeholders"),
        ("%(n)s left", "ancora", "has other placeholders"),
        (("%(n)s key", "%(n)s keys"), ("%(n)s chiave",), "has 1 plural forms instead of 2"),
        (("%(n)s key", "%(n)s keys"), ("%(n)s chiave", ""), "has no translation"),
    ],
)
def test_a_bad_translation_is_found(
    sentence: str | tuple[str, str], translation: str | tuple[str, ...], complaint: str
) -> None:
    """A missing translation, other placeholders and missing plural forms are found."""
    wanted, translated = Catalog(), Catalog(locale="it")
    wanted.add(sentence)
    translated.add(sentence, translation)
    (problem,) = catalogue.problems(translated, wanted)
    assert complaint in problem


def test_sentences_of_the_gateway_are_found() -> None:
    """What the gateway says as a refusal is a sentence of the panel; what is put together is none."""
    source = 'x = Refused(Refusal.BAD_REQUEST, "too far")\ny = Refused(Refusal.NOT_FOUND, f"no {name}")\n'
    assert list(catalogue.said_in(source)) == ["too far"]
