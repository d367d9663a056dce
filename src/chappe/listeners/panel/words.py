"""The panel's languages: catalogues of sentences, read once at the start, and which of them a browser gets.

English sentences are the keys. Translations are gettext catalogues, `locale/<language>/LC_MESSAGES/chappe.po`, read as
they are: nothing has to be compiled before the panel can be used.
"""

import gettext
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE = "en"
DOMAIN = "chappe"
ACCEPTED_MAX = 1_000  # characters of Accept-Language that are read


def N_(sentence: str) -> str:
    """Marks a sentence that is translated where it is shown."""
    return sentence


class Words:
    """One language: its sentences, and how it writes numbers and dates."""

    def __init__(self, language: str, translations: gettext.NullTranslations) -> None:
        self.language = language
        self.locale = Locale.parse(language)
        self.gettext = translations.gettext
        self.ngettext = translations.ngettext

    @property
    def name(self) -> str:
        """In its own words."""
        return (self.locale.get_display_name(self.locale) or self.language).capitalize()


class Languages:
    """Those that there are, English first."""

    def __init__(self, known: Iterable[Words]) -> None:
        self._known = {words.language: words for words in known}

    @classmethod
    def load(cls, folder: Path) -> "Languages":
        paths = sorted(folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))
        translated = [Words(path.parts[-3], read(path)) for path in paths if path.parts[-3] != SOURCE]
        return cls([Words(SOURCE, gettext.NullTranslations()), *translated])

    def __iter__(self) -> Iterator[Words]:
        return iter(self._known.values())

    @property
    def names(self) -> dict[str, str]:
        return {words.language: words.name for words in self}

    def choose(self, wanted: Iterable[str], accepted: str) -> Words:
        """The first of the wanted ones that there is, else what the browser accepts, else English."""
        for language in (*wanted, *accepted_languages(accepted)):
            words = self._known.get(language) or self._known.get(language.partition("-")[0].lower())
            if words is not None:
                return words
        return self._known[SOURCE]


def read(path: Path) -> gettext.GNUTranslations:
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.parts[-3], domain=DOMAIN)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def accepted_languages(header: str) -> list[str]:
    """The languages of an Accept-Language header, the best first."""
    weighted: list[tuple[float, int, str]] = []
    for position, part in enumerate(header[:ACCEPTED_MAX].split(",")):
        language, _, parameters = part.strip().partition(";")
        weight = parameters.strip().removeprefix("q=") or "1"
        try:
            weighted.append((-float(weight), position, language))
        except ValueError:
            continue
    return [language for weight, _, language in sorted(weighted) if weight < 0]
