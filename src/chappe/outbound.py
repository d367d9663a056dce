"""The only door HTTP leaves by: who may be reached, for how long, with how much, and what may be said about it.

Strategy: judge once, then be unable to err. An origin (scheme, host, port) is read by the same URL parser that will
connect, its name is resolved by us, and every one of its addresses is held against the forbidden networks; one
forbidden address refuses the whole host. What passes becomes a `Door`: a client that is pinned to a checked address
and follows no redirect, no proxy and no second opinion of a name server. Doors are kept, so that the next request
costs nothing but itself; names are asked again after a few seconds.

Answers are cut at `answer_max` bytes: status and first part are the useful answer, also where a receiver never stops.
An answer that breaks off or takes too long before that is no answer, because half of a short answer may read as
another one. Bodies are never unpacked, so there is nothing to explode.

A failure is certain only while nothing can have reached the other side: refused by us, no name, no connection, no TLS.
Its text is one of ours and never the library's, which would quote the URL.
"""

import re
import socket
from asyncio import Future, get_running_loop, shield, timeout
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Lock
from typing import Generic, Self, TypeVar

from msgspec import Struct
from pyreqwest.bytes import Bytes
from pyreqwest.client import BaseClientBuilder, Client, ClientBuilder, SyncClient, SyncClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError
from pyreqwest.http import Url
from pyreqwest.request import BaseRequestBuilder
from pyreqwest.response import BaseResponse

from chappe.clock import Clock, SystemClock
from chappe.dialects.base import Failure, Headers, HttpRequest, HttpResponse, Reply


class OutboundLimits(Struct, frozen=True, kw_only=True):
    """What one process may spend on the world outside. Sizes in bytes."""

    url_max: int = 65_536
    headers_max: int = 16_384
    body_max: int = 8_388_608
    answer_max: int = 65_536
    connect_timeout_s: float = 5.0
    resolve_timeout_s: float = 5.0
    names_fresh_s: float = 10.0  # how long a resolved name, or the refusal of one, is believed
    idle_connection_s: float = 4.0  # below the 5 s after which common servers close: a request seldom meets a dead one
    origins_max: int = 1_000
    origin_idle_s: float = 600.0
    resolving_max: int = 256
    in_flight_max: int = 10_000
    allowed_ports: frozenset[int] = frozenset()  # empty = any but those that never speak HTTP


DEFAULT_LIMITS = OutboundLimits()
CLOCK = SystemClock()

ClientKind = TypeVar("ClientKind", bound=Client | SyncClient)
ClientBuilderKind = TypeVar("ClientBuilderKind", bound=BaseClientBuilder)
RequestBuilderKind = TypeVar("RequestBuilderKind", bound=BaseRequestBuilder)


# Networks: who may be reached

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
    """Which addresses may be reached: public ones, and what the operator allows besides."""

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


# Destinations: what an origin means, and its checked addresses

# Ports of services that a hidden HTTP request could talk to by accident: mail, shells, files, names, chat, stores.
FORBIDDEN_PORTS = (
    frozenset({0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103})
    | frozenset({104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512})
    | frozenset({513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1433})
    | frozenset({1521, 1719, 1720, 1723, 2049, 2375, 2775, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5672, 5900})
    | frozenset({6000, 6379, 6566, 6697, 11211, 27017, *range(6665, 6670)})
)

Resolver = Callable[[str, int], Sequence[str]]

ADDRESSES_MAX = 4  # how many of a host's addresses are tried


class Unsent(Exception):
    """Nothing left this machine, and the argument says why."""


class Unresolved(Unsent):
    """The name server gave no address."""


class Destination(Struct, frozen=True, kw_only=True):
    """An origin as the connecting library reads it."""

    origin: str  # normalised: http://127.0.0.1:8080 for http://0x7f.1:8080
    host: str  # a lower-case ASCII name, or an address without brackets
    port: int
    is_literal: bool


def destination_of(origin: str, limits: OutboundLimits) -> Destination:
    """Read an origin; Unsent for anything more or other than scheme, host and port."""
    scheme, _, authority = origin.partition("://")
    if scheme.lower() not in ("http", "https"):
        raise Unsent("not an http or https address")
    if not authority or NOT_AUTHORITY.search(authority):
        raise Unsent("not a plain host and port")
    try:
        url = Url(origin)
    except ValueError:
        raise Unsent("not a host") from None
    host, port = url.host_str or "", url.port_or_known_default or 0
    if port in FORBIDDEN_PORTS or (limits.allowed_ports and port not in limits.allowed_ports):
        raise Unsent("forbidden port")
    return Destination(
        origin=f"{url.scheme}://{host}:{port}", host=host.strip("[]"), port=port, is_literal=url.domain is None
    )


NOT_AUTHORITY = re.compile(r"[\x00-\x20\x7f/\\?#@]")  # what ends a host, names a user, or is silently dropped


def checked_addresses(host: str, port: int, resolve: Resolver, networks: Networks) -> tuple[str, ...]:
    """The addresses of a host, in the resolver's order; Unsent unless every one may be reached. Blocks on resolving.

    Also for doors that are not HTTP: whoever connects to one of these addresses, and not to the name, cannot be led on.
    """
    try:
        addresses = tuple(dict.fromkeys(resolve(host, port)))
        objections = [networks.objection(address) for address in addresses]
    except (OSError, ValueError):  # ValueError: a name that cannot be asked for, or an answer that is no address
        raise Unresolved("the host name does not resolve") from None
    if not addresses:
        raise Unresolved("the host name does not resolve")
    if any(objections):
        raise Unsent(f"forbidden network: {next(filter(None, objections))}")
    return addresses[:ADDRESSES_MAX]


def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says. Asked in bytes: the name is ASCII already and not to be coded again."""
    found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def literal_address(host: str, _port: int) -> Sequence[str]:
    return (host,)


# Requests and answers: what may leave, and what is kept of what comes back

HeaderPairs = tuple[tuple[str, str], ...]

# Headers that say where a message ends or to whom it goes are the connection's to write.
OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"}) | (
    frozenset({"expect", "te", "trailer", "proxy-connection", "proxy-authorization"})
)
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token, RFC 9110 5.6.2
HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
NOT_TARGET = re.compile(r"[\x00-\x1f\x7f#]")  # the URL parser would drop these, and behind # everything


@lru_cache(maxsize=256)
def header_pairs(headers: Headers, headers_max: int) -> HeaderPairs:
    """Headers as text; Unsent where a line break in one would make two of it (S11)."""
    if sum(len(name) + len(value) + 4 for name, value in headers) > headers_max:
        raise Unsent("headers too large")
    try:
        pairs = tuple((name.decode("ascii"), value.decode()) for name, value in headers)
    except UnicodeDecodeError:
        raise Unsent("not an HTTP header") from None
    if not all(HEADER_NAME.fullmatch(name) and HEADER_VALUE.fullmatch(value) for name, value in pairs):
        raise Unsent("not an HTTP header")
    if any(name.lower() in OWN_HEADERS for name, _ in pairs):
        raise Unsent("a header that the connection writes itself")
    return pairs


def target_of(request: HttpRequest, limits: OutboundLimits) -> str:
    """Path and query; Unsent unless they stay behind their origin: `@host` or `.host` as a path would change it."""
    try:
        target = f"{request.path}?{request.query.decode()}" if request.query else request.path
    except UnicodeDecodeError:
        raise Unsent("not a path and query") from None
    if not target.startswith("/") or NOT_TARGET.search(target):
        raise Unsent("not a path and query")
    if len(request.origin) + len(target) > limits.url_max:
        raise Unsent("URL too long")
    if len(request.body) > limits.body_max:
        raise Unsent("body too large")
    return target


def filled(builder: RequestBuilderKind, pairs: HeaderPairs, request: HttpRequest, left_s: float) -> RequestBuilderKind:
    builder = builder.timeout(timedelta(seconds=left_s))
    if pairs:
        builder = builder.headers(pairs)
    if request.body:
        return builder.body_bytes(request.body)
    # Some servers answer 411 to a POST without a length, and the library writes none for an empty body.
    return builder if request.method == "GET" else builder.header("content-length", "0")


def response_of(response: BaseResponse, body: Bytes | None) -> HttpResponse:
    return HttpResponse(
        status=response.status, headers=response_headers(response), body=b"" if body is None else bytes(body)
    )


def response_headers(response: BaseResponse) -> Headers:
    """Names in lower case. What is not visible ASCII is left out, for the library cannot read it."""
    try:
        return tuple([(name.encode(), value.encode()) for name, value in response.headers.items()])
    except ValueError:
        return tuple(pair for name in dict.fromkeys(response.headers) for pair in readable_header(response, name))


def readable_header(response: BaseResponse, name: str) -> Headers:
    try:
        return tuple((name.encode(), value.encode()) for value in response.get_header_all(name))
    except ValueError:
        return ()


# What the library says -> what we say. The first that occurs wins.
WORDS = (
    ("connection refused", "connection refused"),
    ("certificate", "certificate not trusted"),
    ("tls", "TLS handshake failed"),
    ("corrupt message", "TLS handshake failed"),
    ("reset by peer", "connection reset"),
    ("unreachable", "network unreachable"),
    ("timed out", "timed out"),
    ("connection closed", "connection closed without an answer"),
    ("head is too large", "answer headers too large"),
    ("end of file", "answer broken off"),
    ("body", "answer broken off"),
)


def failure_of(error: PyreqwestError) -> Failure:
    """Sort an error of the library. Its class does not tell before from after the request left; its causes do."""
    causes = (error.details["causes"] or []) if isinstance(error, DetailedPyreqwestError) else []
    # One of them quotes the URL, whose own words must not decide anything.
    messages = [cause["message"] for cause in causes if " for url (" not in cause["message"]]
    is_certain = "client error (Connect)" in messages
    spoken = " ".join(messages).lower()
    detail = next((ours for theirs, ours in WORDS if theirs in spoken), "")
    return Failure(is_certain=is_certain, detail=detail or ("no connection" if is_certain else "no valid answer"))


def certain(detail: str) -> Failure:
    return Failure(is_certain=True, detail=detail)


# Doors: clients that can reach one checked address each


class Door(Generic[ClientKind]):
    """A judged origin: its checked addresses, and a client pinned to the first of them."""

    def __init__(self, destination: Destination, addresses: tuple[str, ...], client: ClientKind) -> None:
        self.destination = destination
        self.origin = destination.origin
        self.addresses = addresses
        self.client = client


class Kept(Struct, Generic[ClientKind]):
    door: Door[ClientKind] | Unsent
    judged_s: float
    used_s: float


class Doors(Generic[ClientKind]):
    """The doors (and refusals) of the origins used last; safe to use from several threads."""

    def __init__(
        self,
        networks: Networks,
        limits: OutboundLimits,
        resolve: Resolver,
        clock: Clock,
        build: Callable[[Destination, str], ClientKind],
    ) -> None:
        self.networks = networks
        self.limits = limits
        self.resolve = resolve
        self.clock = clock
        self.build = build
        self.lock = Lock()
        self.kept: OrderedDict[str, Kept[ClientKind]] = OrderedDict()  # the least recently used first

    def fresh(self, origin: str) -> Door[ClientKind] | Unsent | None:
        """What is known about an origin, if it was found out a short time ago."""
        now_s = self.clock.monotonic_s()
        with self.lock:
            kept = self.kept.get(origin)
            if kept is None or now_s - kept.judged_s >= self.limits.names_fresh_s:
                return None
            kept.used_s = now_s
            self.kept.move_to_end(origin)
            return kept.door

    def stale(self, origin: str) -> Door[ClientKind] | None:
        """The last door of an origin, however old."""
        with self.lock:
            kept = self.kept.get(origin)
            return kept.door if kept and isinstance(kept.door, Door) else None

    def open(self, origin: str) -> Door[ClientKind] | Unsent:
        """Resolve, judge and pin an origin; remember the result. Blocks: name servers and certificates are read."""
        door: Door[ClientKind] | Unsent
        try:
            door = self.judged(origin, self.stale(origin))
        except Unsent as unsent:
            door = unsent
        now_s = self.clock.monotonic_s()
        with self.lock:
            self.kept[origin] = Kept(door, now_s, now_s)
            self.kept.move_to_end(origin)
            self.forget_idle(now_s)
        return door

    def judged(self, origin: str, last: Door[ClientKind] | None) -> Door[ClientKind]:
        destination = destination_of(origin, self.limits)
        resolve = literal_address if destination.is_literal else self.resolve
        try:
            addresses = checked_addresses(destination.host, destination.port, resolve, self.networks)
        except Unresolved:
            if last:  # a name server's pause does not close a door that leads to a checked address
                return last
            raise
        if last and last.addresses[0] in addresses:  # open connections are worth more than the order of addresses
            first = last.addresses[0]
            return Door(destination, (first, *(other for other in addresses if other != first)), last.client)
        return self.pinned(destination, addresses)

    def pinned(self, destination: Destination, addresses: tuple[str, ...]) -> Door[ClientKind]:
        try:
            return Door(destination, addresses, self.build(destination, addresses[0]))
        except ValueError:  # an address with a zone
            raise Unsent("not an address that can be pinned") from None

    def turn(self, origin: str, door: Door[ClientKind]) -> Door[ClientKind]:
        """The same origin by its next address, for this request and those that follow."""
        turned = self.pinned(door.destination, (*door.addresses[1:], door.addresses[0]))
        with self.lock:
            kept = self.kept.get(origin)
            if kept and kept.door is door:
                kept.door = turned
        return turned

    def forget_idle(self, now_s: float) -> None:
        """Drop what is idle or too much. A dropped client lives on until its last request is answered."""
        while self.kept:
            origin, kept = next(iter(self.kept.items()))
            if len(self.kept) <= self.limits.origins_max and now_s - kept.used_s <= self.limits.origin_idle_s:
                return
            del self.kept[origin]

    def empty(self) -> list[ClientKind]:
        """Forget every door, and hand back the clients to be closed."""
        with self.lock:
            clients = [kept.door.client for kept in self.kept.values() if isinstance(kept.door, Door)]
            self.kept.clear()
        return clients


def configured(
    builder: ClientBuilderKind, destination: Destination, address: str, limits: OutboundLimits, roots: Sequence[bytes]
) -> ClientBuilderKind:
    """A client that does what it is told: one address, HTTP/1.1, and none of the usual conveniences."""
    builder = builder.no_proxy().follow_redirects(False).referer(False).default_cookie_store(False).http1_only()
    builder = builder.gzip(False).brotli(False).zstd(False).deflate(False).user_agent("chappe")
    builder = builder.connect_timeout(timedelta(seconds=limits.connect_timeout_s))
    builder = builder.pool_idle_timeout(timedelta(seconds=limits.idle_connection_s))
    for root in roots:
        builder = builder.add_root_certificate_pem(root)
    return builder if destination.is_literal else builder.resolve(destination.host, address, destination.port)


CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


def certificates(authorities_pem: bytes) -> tuple[bytes, ...]:
    """The certificates of a PEM bundle; ValueError if it holds anything but a certificate."""
    found = tuple(CERTIFICATE.findall(authorities_pem))
    if authorities_pem.strip() and not found:
        raise ValueError("no certificate in the CA file")
    return found


def is_final(reply: Reply, door: Door[ClientKind]) -> bool:
    """Whether the next address of a host is not worth a try, or not safe: the request may have arrived."""
    return isinstance(reply, HttpResponse) or not reply.is_certain or len(door.addresses) == 1


# The two ends that send


class Outbound:
    """Sends HTTP requests to where they may go; for one event loop.

    `resolve` asks for the addresses of a name (it may block: threads of ours call it); `authorities_pem` holds
    certificates to trust besides the system's, ValueError if it holds none.
    """

    def __init__(
        self,
        networks: Networks,
        limits: OutboundLimits = DEFAULT_LIMITS,
        *,
        authorities_pem: bytes = b"",
        resolve: Resolver = system_addresses,
        clock: Clock = CLOCK,
    ) -> None:
        roots = certificates(authorities_pem)
        self.limits = limits
        self.clock = clock
        self.doors: Doors[Client] = Doors(
            networks,
            limits,
            resolve,
            clock,
            lambda destination, address: configured(ClientBuilder(), destination, address, limits, roots).build(),
        )
        self.threads = resolving_threads()
        self.opening: dict[str, Future[Door[Client] | Unsent]] = {}
        self.in_flight_count = 0

    async def send(self, request: HttpRequest, *, timeout_s: float) -> Reply:
        """One request, once, within `timeout_s` seconds: its answer, whatever its status, or why there is none.

        Redirects are answers. A body beyond `answer_max` bytes is cut there. Never raises for what a request holds or
        a network does.
        """
        if self.in_flight_count >= self.limits.in_flight_max:
            return certain("too many requests in flight")
        self.in_flight_count += 1
        try:
            return await self.send_by_any_address(request, self.clock.monotonic_s() + timeout_s)
        except Unsent as unsent:
            return certain(str(unsent))
        finally:
            self.in_flight_count -= 1

    async def send_by_any_address(self, request: HttpRequest, deadline_s: float) -> Reply:
        pairs, target = header_pairs(request.headers, self.limits.headers_max), target_of(request, self.limits)
        door = self.doors.fresh(request.origin) or await self.open(request.origin, deadline_s)
        if isinstance(door, Unsent):
            raise door
        for _ in door.addresses:
            left_s = deadline_s - self.clock.monotonic_s()
            if left_s <= 0:
                return certain("timed out")
            reply = await self.exchange(door, target, pairs, request, left_s)
            if is_final(reply, door):
                break
            door = await get_running_loop().run_in_executor(self.threads, self.doors.turn, request.origin, door)
        return reply

    async def exchange(
        self, door: Door[Client], target: str, pairs: HeaderPairs, request: HttpRequest, left_s: float
    ) -> Reply:
        try:
            builder = filled(door.client.request(request.method, door.origin + target), pairs, request, left_s)
            sending = builder.build_streamed()
        except ValueError:
            raise Unsent("not an HTTP request") from None
        try:
            async with sending as response:
                return response_of(response, await response.body_reader.read(self.limits.answer_max))
        except PyreqwestError as error:
            return failure_of(error)

    async def open(self, origin: str, deadline_s: float) -> Door[Client] | Unsent:
        """Open an origin's door, once for all requests that wait for it."""
        opening = self.opening.get(origin)
        if opening is None:
            if len(self.opening) >= self.limits.resolving_max:
                return self.doors.stale(origin) or Unsent("too many names being resolved")
            opening = get_running_loop().run_in_executor(self.threads, self.doors.open, origin)
            self.opening[origin] = opening
            opening.add_done_callback(lambda _: self.opening.pop(origin))
        try:
            async with timeout(min(self.limits.resolve_timeout_s, deadline_s - self.clock.monotonic_s())):
                return await shield(opening)
        except TimeoutError:
            return self.doors.stale(origin) or Unsent("the host name does not resolve in time")

    async def close(self) -> None:
        """Close every connection. Requests under way fail."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        for client in self.doors.empty():
            await client.close()


class SyncOutbound:
    """The same for programs without an event loop; safe to share between threads. Reaches everything unless told."""

    def __init__(
        self,
        networks: Networks = OPEN,
        limits: OutboundLimits = DEFAULT_LIMITS,
        *,
        authorities_pem: bytes = b"",
        resolve: Resolver = system_addresses,
        clock: Clock = CLOCK,
    ) -> None:
        roots = certificates(authorities_pem)
        self.limits = limits
        self.clock = clock
        self.doors: Doors[SyncClient] = Doors(
            networks,
            limits,
            resolve,
            clock,
            lambda destination, address: configured(SyncClientBuilder(), destination, address, limits, roots).build(),
        )
        self.threads = resolving_threads()

    def send(self, request: HttpRequest, *, timeout_s: float) -> Reply:
        """See Outbound.send."""
        try:
            return self.send_by_any_address(request, self.clock.monotonic_s() + timeout_s)
        except Unsent as unsent:
            return certain(str(unsent))

    def send_by_any_address(self, request: HttpRequest, deadline_s: float) -> Reply:
        pairs, target = header_pairs(request.headers, self.limits.headers_max), target_of(request, self.limits)
        door = self.doors.fresh(request.origin) or self.open(request.origin, deadline_s)
        if isinstance(door, Unsent):
            raise door
        for _ in door.addresses:
            left_s = deadline_s - self.clock.monotonic_s()
            if left_s <= 0:
                return certain("timed out")
            reply = self.exchange(door, target, pairs, request, left_s)
            if is_final(reply, door):
                break
            door = self.doors.turn(request.origin, door)
        return reply

    def exchange(
        self, door: Door[SyncClient], target: str, pairs: HeaderPairs, request: HttpRequest, left_s: float
    ) -> Reply:
        try:
            builder = filled(door.client.request(request.method, door.origin + target), pairs, request, left_s)
            sending = builder.build_streamed()
        except ValueError:
            raise Unsent("not an HTTP request") from None
        try:
            with sending as response:
                return response_of(response, response.body_reader.read(self.limits.answer_max))
        except PyreqwestError as error:
            return failure_of(error)

    def open(self, origin: str, deadline_s: float) -> Door[SyncClient] | Unsent:
        opening: ThreadFuture[Door[SyncClient] | Unsent] = self.threads.submit(self.doors.open, origin)
        try:
            return opening.result(min(self.limits.resolve_timeout_s, deadline_s - self.clock.monotonic_s()))
        except TimeoutError:
            opening.cancel()
            return self.doors.stale(origin) or Unsent("the host name does not resolve in time")

    def close(self) -> None:
        """Close every connection. Requests under way fail."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        for client in self.doors.empty():
            client.close()


def resolving_threads() -> ThreadPoolExecutor:
    """Threads of our own, started when needed: a name server that hangs must not take the event loop's few."""
    return ThreadPoolExecutor(max_workers=32, thread_name_prefix="outbound")
