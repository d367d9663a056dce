"""Whether two writings of a number mean the same phone: each side of a link has its own habits."""

COMMON_DIGITS_MIN = 7  # that make two writings one number: national or international, with or without a prefix


def is_same_number(one: str, other: str) -> bool:
    """Whether two writings mean one number, as far as their digits tell: the shorter one may lack a country code."""
    if one == other and one.isdigit():
        return True
    first, second = digits_of(one), digits_of(other)
    shorter = min(len(first), len(second))
    return first == second != "" or (shorter >= COMMON_DIGITS_MIN and first[-shorter:] == second[-shorter:])


def digits_of(number: str) -> str:
    """Without what stands before an international or national number: +, 00 or 0."""
    return "".join(filter(str.isdigit, number)).lstrip("0")
