"""Which addresses may be reached: public ones, and what the operator allows besides.

Strategy: what is special is listed (the registries of IANA), whatever is not known to be public is refused too, and an
IPv6 address that carries IPv4 addresses is judged with all of them. How a host is written is read here as well, once,
in the way browsers do: 0x7f.1 is 127.0.0.1, and only what was judged will be connected to.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import unquote_to_bytes

from msgspec import Struct

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Where machines keep their own credentials. Closed even inside an allowed network, and in demo mode.
METADATA = frozenset(
    map(ip_address, ["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"])
) | frozenset(map(ip_address, ["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"]))

# The special-purpose registries of IANA (RFC 6890 and its successors), in the order of their numbers.
FORBIDDEN: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("2001::/23", "reserved"),  # Teredo, benchmarking, ORCHID
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "unique-local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")

# IPv6 forms that carry IPv4 addresses: network, then (bits to shift right, mask to flip) for each address inside.
EMBEDDED: tuple[tuple[IPv6Network, tuple[tuple[int, int], ...]], ...] = (
    (IPv6Network("::ffff:0:0/96"), ((0, 0),)),  # mapped
    (IPv6Network("::ffff:0:0:0/96"), ((0, 0),)),  # translated, RFC 7915
    (IPv6Network("::/96"), ((0, 0),)),  # compatible
    (IPv6Network("64:ff9b::/96"), ((0, 0),)),  # NAT64, RFC 6052
    (IPv6Network("2001::/32"), ((64, 0), (0, 0xFFFF_FFFF))),  # Teredo: server, and client with its bits flipped
    (IPv6Network("2002::/16"), ((80, 0),)),  # 6to4
)


class Networks(Struct, frozen=True):
    """The operator's choice."""

    allowed: tuple[Network, ...] = ()
    is_open: bool = False  # demo mode and laptops: everything but METADATA

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `127.0.0.0/8, 10.1.0.0/16` (the form of CHAPPE_ALLOWED_NETWORKS); ValueError names the bad item."""
        allowed = []
        for item in filter(None, map(str.strip, text.split(","))):
            try:
                allowed.append(ip_network(item))
            except ValueError as error:
                raise ValueError(f"not a network: {item!r} ({error})") from None
        return cls(allowed=tuple(allowed))

    def allows(self, address: str | Address) -> bool:
        return not self.objection(address)

    def objection(self, address: str | Address) -> str:
        """Why an address may not be reached, in a word or two; empty when it may. ValueError: not an address."""
        if isinstance(address, str):
            address = ip_address(address)
        inside = embedded_addresses(address)
        if any(place in METADATA and ip_network(place) not in self.allowed for place in (address, *inside)):
            return "cloud metadata"
        if any(address in network for network in self.allowed):
            return ""
        own = "" if self.is_open else own_objection(address, is_wrapper=bool(inside))
        return own or next(filter(None, map(self.objection, inside)), "")


OPEN = Networks(is_open=True)


def own_objection(address: Address, is_wrapper: bool) -> str:
    """What speaks against an address itself, whatever it may carry inside."""
    for network, name in FORBIDDEN:
        if address in network:
            return name
    is_global = isinstance(address, IPv4Address) or is_wrapper or address in GLOBAL_UNICAST
    return "" if is_global else "not global unicast"


def embedded_addresses(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address leads to, directly or through a translator."""
    if isinstance(address, IPv4Address):
        return ()
    bits = int(address)
    for network, places in EMBEDDED:
        if address in network:
            return tuple(IPv4Address((bits >> shift & 0xFFFF_FFFF) ^ flipped) for shift, flipped in places)
    is_isatap = (bits >> 32 & 0xFCFF_FFFF) == 0x0000_5EFE  # RFC 5214 6.1, in any network
    return (IPv4Address(bits & 0xFFFF_FFFF),) if is_isatap else ()


# Hosts as written

HOST_MAX = 1_000  # characters as written; a name has at most 253
PLAIN_HOST = re.compile(r"[a-z0-9_.-]+")
NUMERAL = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
# IDNA 2003, which Python brings, turns these into other letters, IDNA 2008 does not: two domains, and we would guess.
AMBIGUOUS = re.compile("[\u00df\u03c2\u200c\u200d]")


def read_host(written: str) -> tuple[str, bool]:
    """A host in the one form that is used from here on, and whether it is an address.

    Reads what the host parser of the URL standard reads (percent escapes, letters beyond ASCII, addresses in numbers of
    any base), but of names only letters, digits, hyphen and underscore. ValueError: not a host.
    """
    if written.startswith("["):
        if not written.endswith("]") or "%" in written:
            raise ValueError("not an IPv6 address")
        return str(IPv6Address(written[1:-1])), True
    if len(written) > HOST_MAX:
        raise ValueError("not a host")
    text = unquote_to_bytes(written).decode()
    if AMBIGUOUS.search(text):
        raise ValueError("a name to be written in its xn-- form")
    host = text.encode("idna").decode("ascii").lower()
    if not PLAIN_HOST.fullmatch(host):
        raise ValueError("not a host")
    parts = host.removesuffix(".").split(".")
    return (str(ipv4_of(parts)), True) if NUMERAL.fullmatch(parts[-1]) else (host, False)


def ipv4_of(parts: list[str]) -> IPv4Address:
    """One to four numbers, decimal, octal or hexadecimal, the last one filling the bytes that are left."""
    if len(parts) > 4 or not all(map(NUMERAL.fullmatch, parts)):
        raise ValueError("not an IPv4 address")
    *firsts, last = map(number_of, parts)
    if any(first > 255 for first in firsts) or last >= 256 ** (4 - len(firsts)):
        raise ValueError("not an IPv4 address")
    return IPv4Address(sum(first << (24 - 8 * index) for index, first in enumerate(firsts)) + last)


def number_of(numeral: str) -> int:
    if numeral[:2] == "0x":
        return int(numeral[2:] or "0", 16)
    return int(numeral, 8 if numeral[0] == "0" else 10)
