"""The numbers and names messages travel between: read as people write them, masked for logs, placed in a country.

A number inside chappe is an MSISDN in the form of ITU-T E.164: digits alone, country code first, no prefix. One match
of a regular expression reads it; what does not match is refused, never guessed. Countries come from a table of E.164
prefixes, the longest one wins.
"""

import enum
import re
from typing import Final, NamedTuple

from chappe.sms.alphabets import GSM

ALPHANUMERIC_SEPTETS_MAX: Final = 11  # 3GPP TS 23.040 9.1.2.5: ten octets of packed septets

_WRITTEN_MAX: Final = 64  # characters of a number with all its punctuation
_DIGITS: Final = re.compile(r"[1-9][0-9]{6,14}").fullmatch  # no E.164 country code begins with 0
_PREFIXED: Final = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})").fullmatch
_SHORT_CODE: Final = re.compile(r"[0-9]{3,6}").fullmatch
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]").search
_TRUNK_ZERO: Final = re.compile(r"\(\s*0").search
# Blanks (also the no-break, figure, thin and narrow ones), hyphens, dots, parentheses, and the invisible direction
# marks that address books copy along.
_PUNCTUATION: Final = dict.fromkeys(
    map(ord, " \t\u00a0\u2007\u2009\u202f-\u2010\u2011\u2012\u2013.()\u200e\u202a\u202c")
)


def parse_msisdn(text: str, *, strict: bool = False) -> str | None:
    """The 7 to 15 digits of an international number, or None.

    As people write it: after an optional `+` or `00`, with blanks, hyphens, dots and parentheses anywhere; `strict`
    takes nothing but digits. A trunk zero in parentheses, "+44 (0)20", makes the number ambiguous: None.
    """
    if strict:
        return text if _DIGITS(text) else None
    match = _PREFIXED(text)
    if match is None:
        if len(text) > _WRITTEN_MAX or _TRUNK_ZERO(text):
            return None
        match = _PREFIXED(text.translate(_PUNCTUATION))
    return match[1] if match else None


class OriginatorKind(enum.Enum):
    """What a recipient sees as the sender."""

    MSISDN = "msisdn"
    ALPHANUMERIC = "alphanumeric"
    SHORT_CODE = "short_code"


class Originator(NamedTuple):
    """A sender as it goes on air: digits of an MSISDN or a short code, or a name."""

    kind: OriginatorKind
    value: str


def parse_originator(text: str) -> Originator | None:
    """The sender a text names, or None.

    A short code is 3 to 6 digits. That is the custom of national numbering plans (USA and Canada 5 or 6, Europe 3 to
    6); E.164 leaves it to them, so longer ones read as an MSISDN. A name has a letter and takes at most 11 septets of
    the GSM default alphabet, extension characters two each (TS 23.040 9.1.2.5).
    """
    text = text.strip(" ")
    if _SHORT_CODE(text):
        return Originator(OriginatorKind.SHORT_CODE, text)
    msisdn = parse_msisdn(text)
    if msisdn is not None:
        return Originator(OriginatorKind.MSISDN, msisdn)
    if len(text) > ALPHANUMERIC_SEPTETS_MAX or _CONTROL(text) or not any(map(str.isalpha, text)):
        return None
    septets = GSM.units(text)
    if septets is None or septets > ALPHANUMERIC_SEPTETS_MAX:
        return None
    return Originator(OriginatorKind.ALPHANUMERIC, text)


def mask(number: str) -> str:
    """A number for logs: the first 4 and last 2 characters, stars between; at least 4 stars, shorter ones all stars."""
    shown_first = min(4, max(0, len(number) - 6))
    shown_last = 2 if len(number) > 6 else 0
    stars = "*" * (len(number) - shown_first - shown_last)
    return number[:shown_first] + stars + number[len(number) - shown_last :]


def country(msisdn: str) -> str | None:
    """ISO 3166 alpha-2 code of the number's country by its longest known prefix; None where there is none.

    Kosovo has the user-assigned XK; Ascension is part of SH; the crown dependencies read as GB; satellite and
    international networks (870, 881 to 883, 800 ...) belong to no country.
    """
    for size in range(_PREFIX_MAX, 0, -1):
        found = _COUNTRIES.get(msisdn[:size])
        if found is not None:
            return found
    return None


# E.164 prefixes by country, in the order of ITU's zones; a longer prefix carves its numbers out of a shorter one.
_PREFIXES: Final = """
US 1
CA 1204 1226 1236 1249 1250 1257 1263 1273 1289 1306 1343 1354 1365 1367 1368 1382 1387 1403 1416 1418 1428 1431 1437
CA 1438 1450 1460 1468 1474 1506 1514 1519 1548 1579 1581 1584 1587 1600 1604 1613 1622 1633 1639 1644 1647 1655 1672
CA 1677 1683 1688 1705 1709 1742 1753 1778 1780 1782 1807 1819 1825 1867 1873 1879 1902 1905 1942
BS 1242; BB 1246; AI 1264; AG 1268; VG 1284; VI 1340; KY 1345; BM 1441; GD 1473; TC 1649; JM 1658 1876; MS 1664
MP 1670; GU 1671; AS 1684; SX 1721; LC 1758; DM 1767; VC 1784; PR 1787 1939; DO 1809 1829 1849; TT 1868; KN 1869
EG 20; SS 211; MA 212; DZ 213; TN 216; LY 218; GM 220; SN 221; MR 222; ML 223; GN 224; CI 225; BF 226; NE 227; TG 228
BJ 229; MU 230; LR 231; SL 232; GH 233; NG 234; TD 235; CF 236; CM 237; CV 238; ST 239; GQ 240; GA 241; CG 242; CD 243
AO 244; GW 245; IO 246; SH 247 290; SC 248; SD 249; RW 250; ET 251; SO 252; DJ 253; KE 254; TZ 255; UG 256; BI 257
MZ 258; ZM 260; MG 261; RE 262; YT 262269 262639; ZW 263; NA 264; MW 265; LS 266; BW 267; SZ 268; KM 269; ZA 27
ER 291; AW 297; FO 298; GL 299
GR 30; NL 31; BE 32; FR 33; ES 34; GI 350; PT 351; LU 352; IE 353; IS 354; AL 355; MT 356; CY 357; FI 358; AX 35818
BG 359; HU 36; LT 370; LV 371; EE 372; MD 373; AM 374; BY 375; AD 376; MC 377; SM 378; VA 379 3906698; UA 380; RS 381
ME 382; XK 383; HR 385; SI 386; BA 387; MK 389; IT 39; RO 40; CH 41; CZ 420; SK 421; LI 423; AT 43; GB 44; DK 45
SE 46; NO 47; SJ 4779; PL 48; DE 49
FK 500; BZ 501; GT 502; SV 503; HN 504; NI 505; CR 506; PA 507; PM 508; HT 509; PE 51; MX 52; CU 53; AR 54; BR 55
CL 56; CO 57; VE 58; GP 590; BO 591; GY 592; EC 593; GF 594; PY 595; MQ 596; SR 597; UY 598; BQ 599; CW 5999
MY 60; AU 61; CC 6189162; CX 6189164; ID 62; PH 63; NZ 64; SG 65; TH 66; TL 670; NF 672; BN 673; NR 674
PG 675; TO 676; SB 677; VU 678; FJ 679; PW 680; WF 681; CK 682; NU 683; WS 685; KI 686; NC 687; TV 688; PF 689
TK 690; FM 691; MH 692
RU 7; KZ 76 77 997
JP 81; KR 82; VN 84; KP 850; HK 852; MO 853; KH 855; LA 856; CN 86; BD 880; TW 886
TR 90; IN 91; PK 92; AF 93; LK 94; MM 95; MV 960; LB 961; JO 962; SY 963; IQ 964; KW 965; SA 966; YE 967; OM 968
PS 970; AE 971; IL 972; BH 973; QA 974; BT 975; MN 976; NP 977; IR 98; TJ 992; TM 993; AZ 994; GE 995; KG 996; UZ 998
"""
_COUNTRIES: Final = {
    prefix: code
    for code, *prefixes in map(str.split, _PREFIXES.strip().replace("\n", ";").split(";"))
    for prefix in prefixes
}
_PREFIX_MAX: Final = max(map(len, _COUNTRIES))
