"""The only door HTTP leaves by: who may be reached, for how long, with how much, and what may be said about it.
Connections that stay (`smpp`, `smpps`) leave by it too, as `connect`, and what is said on them is not its business.

Strategy: judge once, then be unable to err. An origin (scheme, host, port) is read once, its name is resolved by us,
and every one of its addresses is held against the forbidden networks; one forbidden address refuses the whole host.
What passes becomes a `Door`: a pool of connections to a checked address, which knows no redirect, no proxy, no cookie
and no second opinion of a name server. Doors are kept, so that the next request costs nothing but itself; names are
asked again after a few seconds.

Answers are cut at `answer_max` bytes: status and first part are the useful answer, also where a receiver never stops.
Bodies are never unpacked, so there is nothing to explode.

A failure is certain only while nothing can have reached the other side: refused by us, no name, no connection, no TLS.
Its text is one of ours and never a library's, which would quote addresses.

Everything but asking name servers happens in one event loop; `SyncOutbound` brings one of its own.
"""

import re
import socket
import ssl
from asyncio import (
    AbstractEventLoop,
    Event,
    Future,
    Protocol,
    Runner,
    get_running_loop,
    run_coroutine_threadsafe,
    shield,
    timeout,
)
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import Future as ThreadFuture
from functools import cached_property, lru_cache, partial
from threading import Lock, Thread
from typing import TypeVar
from urllib.parse import quote

from msgspec import Struct

from chappe.clock import Clock, SystemClock
from chappe.dialects.base import Failure, Headers, HttpRequest, HttpResponse, Reply
from chappe.http_connection import (
    CLOSED,
    SHUTDOWN_TIMEOUT_S,
    ConnectionLimits,
    Place,
    Pool,
    Register,
    words_for,
)
from chappe.networks import OPEN, Networks, read_host


class OutboundLimits(ConnectionLimits, frozen=True, kw_only=True):
    """What one process may spend on the world outside. Sizes in bytes."""

    url_max: int = 65_536
    headers_max: int = 16_384
    body_max: int = 8_388_608
    resolve_timeout_s: float = 5.0
    names_fresh_s: float = 10.0  # how long a resolved name, or the refusal of one, is believed
    origins_max: int = 1_000
    origin_idle_s: float = 600.0
    resolving_max: int = 256
    in_flight_max: int = 10_000
    allowed_ports: frozenset[int] = frozenset()  # empty = any but those that never speak HTTP


DEFAULT_LIMITS = OutboundLimits()
CLOCK = SystemClock()

ProtocolOfOne = TypeVar("ProtocolOfOne", bound=Protocol)  # what speaks on one connection

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
    """An origin, read."""

    origin: str  # normalised: http://127.0.0.1:8080 for http://0x7f.1:8080
    host: str  # a lower-case ASCII name, or an address without brackets
    port: int
    is_literal: bool

    @property
    def is_secure(self) -> bool:
        return self.origin.startswith(SECURE_SCHEMES)

    @property
    def authority(self) -> str:
        """As it stands in the Host header, a default port left out."""
        return self.origin.partition("://")[2].removesuffix(f":{DEFAULT_PORTS['https' if self.is_secure else 'http']}")


DEFAULT_PORTS = {"http": 80, "https": 443}
LINK_PORTS = {"smpp": 2775, "smpps": 3550}  # as registered with IANA
SECURE_SCHEMES = ("https:", "smpps:")
# Host and port, without what ends a host, names a user, or is silently dropped.
AUTHORITY = re.compile(r"(\[[^\x00-\x20\x7f/\\?#@\[\]]*\]|[^\x00-\x20\x7f/\\?#@:\[\]]+)(?::([0-9]{0,9}))?")


def destination_of(origin: str, limits: OutboundLimits) -> Destination:
    """Read an origin; Unsent for anything more or other than scheme, host and port."""
    destination = destination_by(DEFAULT_PORTS, origin)
    port = destination.port
    if port in FORBIDDEN_PORTS or (limits.allowed_ports and port not in limits.allowed_ports):
        raise Unsent("forbidden port")
    return destination


def link_destination_of(url: str) -> Destination:
    """The same for a connection that stays. Any port will do: what it speaks is nobody's HTTP."""
    destination = destination_by(LINK_PORTS, url.removesuffix("/"))
    if not destination.port:
        raise Unsent("not a plain host and port")
    return destination


def destination_by(ports: Mapping[str, int], origin: str) -> Destination:
    """Read scheme, host and port, where the schemes are these and have these ports by default."""
    scheme, _, authority = origin.partition("://")
    scheme = scheme.lower()
    if scheme not in ports:
        raise Unsent(f"not an {' or '.join(ports)} address")
    parts = AUTHORITY.fullmatch(authority)
    if parts is None:
        raise Unsent("not a plain host and port")
    try:
        host, is_literal = read_host(parts[1])
    except ValueError:
        raise Unsent("not a host") from None
    port = int(parts[2] or ports[scheme])
    if port > 65_535:
        raise Unsent("not a plain host and port")
    bracketed = f"[{host}]" if ":" in host else host
    return Destination(origin=f"{scheme}://{bracketed}:{port}", host=host, port=port, is_literal=is_literal)


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


# Requests: what may leave, in the bytes that leave

HeaderPairs = tuple[tuple[str, str], ...]

# Headers that say where a message ends or to whom it goes are the connection's to write.
OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"}) | (
    frozenset({"expect", "te", "trailer", "proxy-connection", "proxy-authorization"})
)
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token, RFC 9110 5.6.2
HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
NOT_TARGET = re.compile(r"[\x00-\x1f\x7f#]")
UNPLAIN_TARGET = re.compile(r"[^!$-;=?-Z_a-z~\[\]]")  # what no request line may hold as it is
PLAIN_IN_TARGET = "!$%&'()*+,/:;=?@[]~"
COMMON_METHODS = frozenset({"GET", "POST"})
DEFAULT_HEADERS: Headers = ((b"user-agent", b"chappe"), (b"accept", b"*/*"))


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


@lru_cache(maxsize=256)
def header_lines(headers: Headers, headers_max: int) -> bytes:
    """Headers as they leave, and ours where they name none. Kept, because callbacks repeat theirs."""
    named = {name.lower() for name, _ in header_pairs(headers, headers_max)}
    ours = tuple((name, value) for name, value in DEFAULT_HEADERS if name.decode() not in named)
    return b"".join(name + b": " + value + b"\r\n" for name, value in ours + headers)


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
    try:
        return quote(target, PLAIN_IN_TARGET, errors="strict") if UNPLAIN_TARGET.search(target) else target
    except UnicodeEncodeError:
        raise Unsent("not a path and query") from None


def message_of(request: HttpRequest, host_line: bytes, limits: OutboundLimits) -> bytes:
    """A request as it leaves; Unsent for one that would arrive as something else."""
    method, body = request.method, request.body
    if method not in COMMON_METHODS and (not HEADER_NAME.fullmatch(method) or method == "CONNECT"):
        raise Unsent("not an HTTP request")
    if len(body) > limits.body_max:
        raise Unsent("body too large")
    start = f"{method} {target_of(request, limits)} HTTP/1.1\r\n".encode("ascii")
    lines = header_lines(request.headers, limits.headers_max)
    if not body and method in ("GET", "HEAD"):
        return b"%b%b%b\r\n" % (start, host_line, lines)
    # Also where the body is empty: some servers answer 411 to a POST without a length.
    return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (start, host_line, lines, len(body), body)


async def connection_to(place: Place, make: Callable[[], ProtocolOfOne], loop: AbstractEventLoop) -> ProtocolOfOne:
    """One connection to a checked place. Raises OSError and ValueError as asyncio does."""
    _, protocol = await loop.create_connection(
        make,
        place.address,
        place.port,
        ssl=place.trust,
        server_hostname=place.host if place.trust else None,
        ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S if place.trust else None,
    )
    return protocol


def certain(detail: str) -> Failure:
    return Failure(is_certain=True, detail=detail)


# Doors: what was judged, kept


class Door:
    """A judged origin: its checked addresses, and connections to the first of them."""

    def __init__(self, destination: Destination, addresses: tuple[str, ...], pool: Pool) -> None:
        self.destination = destination
        self.addresses = addresses
        self.pool = pool
        self.host_line = f"host: {destination.authority}\r\n".encode("ascii")


class Kept(Struct):
    door: Door | Unsent
    judged_s: float
    used_s: float


class Doors:
    """The doors (and refusals) of the origins used last."""

    def __init__(
        self, networks: Networks, limits: OutboundLimits, resolve: Resolver, register: Register, roots: Sequence[bytes]
    ) -> None:
        self.networks = networks
        self.limits = limits
        self.resolve = resolve
        self.register = register
        self.roots = roots
        self.kept: OrderedDict[str, Kept] = OrderedDict()  # the least recently used first

    def fresh(self, origin: str, now_s: float) -> Door | Unsent | None:
        """What is known about an origin, if it was found out a short time ago."""
        kept = self.kept.get(origin)
        if kept is None or now_s - kept.judged_s >= self.limits.names_fresh_s:
            return None
        kept.used_s = now_s
        self.kept.move_to_end(origin)
        return kept.door

    def stale(self, origin: str) -> Door | None:
        """The last door of an origin, however old."""
        kept = self.kept.get(origin)
        return kept.door if kept and isinstance(kept.door, Door) else None

    def judge_link(self, destination: Destination) -> tuple[Place, ...] | Unsent:
        """Resolve and judge where a connection that stays goes: every address is a place to try. Blocks."""
        resolve = literal_address if destination.is_literal else self.resolve
        try:
            addresses = checked_addresses(destination.host, destination.port, resolve, self.networks)
        except Unsent as unsent:
            return Unsent(*unsent.args)
        if any("%" in address for address in addresses):
            return Unsent("not an address that can be pinned")
        trust = self.link_trust if destination.is_secure else None
        host = destination.host.removesuffix(".")
        return tuple(Place(address=one, port=destination.port, trust=trust, host=host) for one in addresses)

    def judge(self, origin: str, last: Door | None) -> Door | Unsent:
        """Resolve, judge and pin an origin. Blocks: name servers and certificates are read; changes nothing kept."""
        try:
            return self.judged(origin, last)
        except Unsent as unsent:
            return Unsent(*unsent.args)

    def judged(self, origin: str, last: Door | None) -> Door:
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
            return Door(destination, (first, *(other for other in addresses if other != first)), last.pool)
        return self.pinned(destination, addresses)

    def pinned(self, destination: Destination, addresses: tuple[str, ...]) -> Door:
        if "%" in addresses[0]:
            raise Unsent("not an address that can be pinned")  # its zone belongs to one machine
        trust = self.trust if destination.is_secure else None
        place = Place(address=addresses[0], port=destination.port, trust=trust, host=destination.host.removesuffix("."))
        return Door(destination, addresses, Pool(place, self.limits, self.register))

    @cached_property
    def trust(self) -> ssl.SSLContext:
        context = trust_in(self.roots)
        context.set_alpn_protocols(["http/1.1"])
        return context

    @cached_property
    def link_trust(self) -> ssl.SSLContext:
        return trust_in(self.roots)

    def remember(self, origin: str, door: Door | Unsent, now_s: float) -> None:
        self.kept[origin] = Kept(door, now_s, now_s)
        self.kept.move_to_end(origin)
        self.forget_idle(now_s)

    def turn(self, origin: str, door: Door) -> Door:
        """The same origin by its next address, for this request and those that follow."""
        kept = self.kept.get(origin)
        if kept and isinstance(kept.door, Door) and kept.door.addresses[0] == door.addresses[1]:
            return kept.door  # turned by another request
        turned = self.pinned(door.destination, (*door.addresses[1:], door.addresses[0]))
        if kept and kept.door is door:
            kept.door = turned
        return turned

    def forget_idle(self, now_s: float) -> None:
        """Drop what is idle or too much. Its connections live on until their requests are answered."""
        while self.kept:
            origin, kept = next(iter(self.kept.items()))
            if len(self.kept) <= self.limits.origins_max and now_s - kept.used_s <= self.limits.origin_idle_s:
                return
            del self.kept[origin]


def trust_in(roots: Sequence[bytes]) -> ssl.SSLContext:
    """The system's authorities, and ours besides; slow to read, so only where TLS is spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.load_default_certs()
    if roots:
        context.load_verify_locations(cadata=text_of(roots))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what the operator trusts need not be a root
    return context


CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


def certificates(authorities_pem: bytes) -> tuple[bytes, ...]:
    """The certificates of a PEM bundle; ValueError if it holds anything but a certificate."""
    found = tuple(CERTIFICATE.findall(authorities_pem))
    if authorities_pem.strip() and not found:
        raise ValueError("no certificate in the CA file")
    try:
        if found:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text_of(found))
    except (ssl.SSLError, UnicodeDecodeError):
        raise ValueError("a broken certificate in the CA file") from None
    return found


def text_of(roots: Sequence[bytes]) -> str:
    return b"\n".join(roots).decode("ascii")


def is_final(reply: Reply, door: Door) -> bool:
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
        self.limits = limits
        self.clock = clock
        self.register = Register()
        self.doors = Doors(networks, limits, resolve, self.register, certificates(authorities_pem))
        # Threads of our own, started when needed: a name server that hangs must not take the event loop's few.
        self.threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="outbound")
        self.opening: dict[str, Future[Door | Unsent]] = {}
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
            return await self.send_by_any_address(request, timeout_s)
        except Unsent as unsent:
            return certain(str(unsent))
        finally:
            self.in_flight_count -= 1

    async def send_by_any_address(self, request: HttpRequest, timeout_s: float) -> Reply:
        started_s = now_s = self.clock.monotonic_s()
        door = self.doors.fresh(request.origin, now_s)
        if door is None:
            door = await self.open(request.origin, timeout_s)
            now_s = self.clock.monotonic_s()
        if isinstance(door, Unsent):
            return certain(str(door))
        message = message_of(request, door.host_line, self.limits)
        for _ in door.addresses:
            left_s = started_s + timeout_s - now_s
            if left_s <= 0:
                return certain("timed out")
            reply = await door.pool.exchange(message, left_s, is_head=request.method == "HEAD")
            if is_final(reply, door):
                break
            door = self.doors.turn(request.origin, door)
            now_s = self.clock.monotonic_s()
        return reply

    async def open(self, origin: str, left_s: float) -> Door | Unsent:
        """Open an origin's door, once for all requests that wait for it."""
        if self.register.is_closed:
            return Unsent("closed")
        opening = self.opening.get(origin)
        if opening is None:
            if len(self.opening) >= self.limits.resolving_max:
                return self.doors.stale(origin) or Unsent("too many names being resolved")
            opening = get_running_loop().run_in_executor(
                self.threads, self.doors.judge, origin, self.doors.stale(origin)
            )
            self.opening[origin] = opening
            opening.add_done_callback(partial(self.opened, origin))
        try:
            async with timeout(min(self.limits.resolve_timeout_s, left_s)):
                return await shield(opening)
        except TimeoutError:
            return self.doors.stale(origin) or Unsent("the host name does not resolve in time")

    def opened(self, origin: str, opening: "Future[Door | Unsent]") -> None:
        del self.opening[origin]
        if not opening.cancelled() and not opening.exception():
            self.doors.remember(origin, opening.result(), self.clock.monotonic_s())

    async def connect(self, url: str, make: Callable[[], ProtocolOfOne], *, timeout_s: float) -> ProtocolOfOne:
        """Open a connection that stays, to an `smpp` or `smpps` URL, within `timeout_s` seconds; whoever speaks on it
        owns it. Raises Unsent with why there is none. Names are asked each time: a carrier that moves is followed."""
        if self.register.is_closed:
            raise Unsent("closed")
        destination = link_destination_of(url)
        loop = get_running_loop()
        try:
            async with timeout(timeout_s):
                door = await loop.run_in_executor(self.threads, self.doors.judge_link, destination)
                if isinstance(door, Unsent):
                    raise Unsent(*door.args)
                unsent = Unsent("no connection")
                for place in door:
                    try:
                        async with timeout(self.limits.connect_timeout_s):
                            return await connection_to(place, make, loop)
                    except OSError as error:  # one that took too long, too
                        unsent = Unsent(words_for(error) or "no connection")
                    except ValueError:  # a name that TLS cannot ask for
                        unsent = Unsent("no connection")
                raise unsent
        except TimeoutError:
            raise Unsent("timed out") from None

    async def close(self) -> None:
        """Close every connection of HTTP. Requests under way fail."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.doors.kept.clear()
        await self.register.close()


class SyncOutbound:
    """The same for programs without an event loop; safe to share between threads. Reaches everything unless told.

    A thread of its own runs the event loop, from the first request on, so that idle connections are looked after.
    """

    def __init__(
        self,
        networks: Networks = OPEN,
        limits: OutboundLimits = DEFAULT_LIMITS,
        *,
        authorities_pem: bytes = b"",
        resolve: Resolver = system_addresses,
        clock: Clock = CLOCK,
    ) -> None:
        self.outbound = Outbound(networks, limits, authorities_pem=authorities_pem, resolve=resolve, clock=clock)
        self.lock = Lock()
        self.loop: AbstractEventLoop | None = None
        self.is_closed = False

    def send(self, request: HttpRequest, *, timeout_s: float) -> Reply:
        """See Outbound.send."""
        with self.lock:
            if self.is_closed:
                return certain("closed")
            self.loop = self.loop or self.started()
            sending = run_coroutine_threadsafe(self.outbound.send(request, timeout_s=timeout_s), self.loop)
        try:
            return sending.result()
        except CancelledError:
            return CLOSED
        finally:
            sending.cancel()  # when this thread is interrupted; an ended one is not touched

    def started(self) -> AbstractEventLoop:
        started: ThreadFuture[AbstractEventLoop] = ThreadFuture()
        self.thread = Thread(target=self.run, args=(started,), name="outbound-loop", daemon=True)
        self.thread.start()
        return started.result()

    def run(self, started: ThreadFuture[AbstractEventLoop]) -> None:
        with Runner() as runner:
            runner.run(self.until_closed(started))

    async def until_closed(self, started: ThreadFuture[AbstractEventLoop]) -> None:
        self.closing = Event()
        started.set_result(get_running_loop())
        await self.closing.wait()
        await self.outbound.close()

    def close(self) -> None:
        """Close every connection. Requests under way fail."""
        with self.lock:
            was_closed, self.is_closed = self.is_closed, True
        if self.loop is None:
            self.outbound.threads.shutdown(wait=False)
        elif not was_closed:
            self.loop.call_soon_threadsafe(self.closing.set)
            self.thread.join()
