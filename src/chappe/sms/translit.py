"""Russian and Ukrainian in Latin letters, so that a text takes half as many segments.

Two tables: one by sound, and one by shape, where the word for itself reads `mpaHc/Ium` (smscentre 2.1). Characters that
a table has not stay as they are. Neither is published letter by letter: all rows are ours but those of that word.
"""

from collections.abc import Mapping
from typing import Final

Table = Mapping[int, str]


def transliterate(text: str, table: Table) -> str:
    return text.translate(table)


def _table(small: str, capital: str | None = None) -> Table:
    """Letters and what stands for them; a capital gets a capital first letter unless it has a row of its own."""
    rows = dict(pair.split("=", 1) for pair in small.split())
    capitals = {letter.upper(): latin[:1].upper() + latin[1:] for letter, latin in rows.items()}
    capitals |= dict(pair.split("=", 1) for pair in (capital or "").split())
    return {ord(letter): latin for letter, latin in (rows | capitals).items()}


PHONETIC: Final = _table(
    "а=a б=b в=v г=g д=d е=e ё=yo ж=zh з=z и=i й=j к=k л=l м=m н=n о=o п=p р=r с=s т=t у=u ф=f х=h ц=c ч=ch ш=sh "
    "щ=sch ъ=' ы=y ь=' э=e ю=yu я=ya і=i ї=yi є=ye ґ=g"
)
LOOK_ALIKE: Final = _table(
    "а=a б=6 в=B г=r д=g е=e ё=e ж=>|< з=3 и=u й=u' к=k л=/I м=M н=H о=o п=n р=p с=c т=m у=y ф=cp х=x ц=u, ч=4 ш=w "
    "щ=w, ъ='b ы=bI ь=b э=3' ю=IO я=9I і=i ї=i' є=e ґ=r'",
    "Б=6 Г=G Д=D Л=/I П=N Р=P Т=T У=Y Ф=CP Ц=U, Ъ='b Ь=b Я=9I",
)
