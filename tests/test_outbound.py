"""The outbound door: what it refuses, what it survives, and what it says about it.

Every test that sends does so through both ends, the asynchronous and the synchronous one, to real sockets on loopback.
Names end in `.invalid`, so whatever reaches a server under such a name went where the judged address led.
"""

import asyncio
import gzip
import ipaddress
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from chappe.clock import SystemClock
from chappe.dialects.base import Failure, Headers, HttpRequest, HttpResponse, Reply
from chappe.networks import OPEN, Networks
from chappe.outbound import (
    FORBIDDEN_PORTS,
    Destination,
    Outbound,
    OutboundLimits,
    Resolver,
    SyncOutbound,
    Unsent,
    certificates,
    destination_of,
    header_pairs,
    system_addresses,
)

LOOPBACK = Networks.parse("127.0.0.0/8, ::1")
SECRET = "491511234567890"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


# Servers and senders


class Server:
    """Listens on loopback and behaves as told on every connection; counts connections and keeps requests."""

    def __init__(self, behave: Callable[["Server", socket.socket], None], address: str = "127.0.0.1") -> None:
        self.behave = behave
        self.listening = socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self.port: int = self.listening.getsockname()[1]
        self.accepted: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self.requests: SimpleQueue[bytes] = SimpleQueue()
        self.stopped = Event()
        self.connections: list[socket.socket] = []
        Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, peer = self.listening.accept()
                self.connections.append(connection)
                self.accepted.put(peer[:2])
                Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self.behave(self, connection)

    def connects(self) -> int:
        """How many connections were made before now: ours, made last, is accepted last."""
        with socket.create_connection(self.listening.getsockname()[:2]) as last:
            mine = last.getsockname()[:2]
            return next(index for index, peer in enumerate(iter(self.accepted.get, None)) if peer == mine)

    def read(self, connection: socket.socket) -> bytes:
        """One whole request, kept; OSError when the client has gone."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += received_from(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        while len(body) < length:
            body += received_from(connection)
        self.requests.put(head + b"\r\n\r\n" + body)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self.stopped.set()
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def received_from(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionResetError
    return received


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answering(*answers: bytes) -> Callable[[Server, socket.socket], None]:
    """Each request of a connection gets the next of these answers, the last one for ever."""

    def behave(server: Server, connection: socket.socket) -> None:
        for index in range(1_000_000):
            server.read(connection)
            connection.sendall(answers[min(index, len(answers) - 1)])

    return behave


class Sender(Protocol):
    def send(self, request: HttpRequest, *, timeout_s: float = 10) -> Reply: ...

    def door_count(self) -> int: ...


Make = Callable[..., Sender]


class AsyncEnd:
    def __init__(self, outbound: Outbound, runner: asyncio.Runner) -> None:
        self.outbound = outbound
        self.runner = runner

    def send(self, request: HttpRequest, *, timeout_s: float = 10) -> Reply:
        return self.runner.run(self.outbound.send(request, timeout_s=timeout_s))

    def door_count(self) -> int:
        return len(self.outbound.doors.kept)


class SyncEnd:
    def __init__(self, outbound: SyncOutbound) -> None:
        self.outbound = outbound

    def send(self, request: HttpRequest, *, timeout_s: float = 10) -> Reply:
        return self.outbound.send(request, timeout_s=timeout_s)

    def door_count(self) -> int:
        return len(self.outbound.outbound.doors.kept)


class Offset(SystemClock):
    """A clock that can be put forward."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


@pytest.fixture(params=["async", "sync"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Builds a sender: an Outbound on a loop of its own, or a SyncOutbound."""
    with ExitStack() as stack:

        def build(
            networks: Networks = LOOPBACK,
            limits: OutboundLimits | None = None,
            *,
            resolve: Resolver = system_addresses,
            clock: SystemClock | None = None,
            authorities_pem: bytes = b"",
        ) -> Sender:
            limits = limits or OutboundLimits()
            clock = clock or SystemClock()
            if request.param == "sync":
                sync = SyncOutbound(networks, limits, resolve=resolve, clock=clock, authorities_pem=authorities_pem)
                stack.callback(sync.close)
                return SyncEnd(sync)
            runner = stack.enter_context(asyncio.Runner())
            outbound = Outbound(networks, limits, resolve=resolve, clock=clock, authorities_pem=authorities_pem)
            stack.callback(lambda: runner.run(outbound.close()))
            return AsyncEnd(outbound, runner)

        yield build


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:

        def start(behave: Callable[[Server, socket.socket], None], address: str = "127.0.0.1") -> Server:
            server = Server(behave, address)
            stack.callback(server.close)
            return server

        yield start


Serve = Callable[..., Server]


def request_to(url: str, **fields: object) -> HttpRequest:
    """A request as somebody would make it who splits URLs carelessly: at the first slash behind the scheme."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return HttpRequest(**{"method": "GET", "origin": f"{scheme}://{authority}", "path": slash + path or "/"} | fields)  # type: ignore[arg-type]


def names(table: dict[str, list[str]]) -> Resolver:
    def resolve(host: str, port: int) -> Sequence[str]:
        if host not in table:
            raise socket.gaierror("no such name")
        return table[host]

    return resolve


# Networks

FORBIDDEN_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.1.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:a00:1:0:0:f7f7:f7f7",
    "2001:0:808:808::80ff:fffe",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2002:c0a8:101::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2a00:1450::5efe:a00:1",
    "2a00:1450::200:5efe:7f00:1",
]

PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2a00:1450:4001::200e",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_special_addresses_are_forbidden(address: str) -> None:
    """What the registries call special, and every IPv6 form that leads there, may not be reached."""
    assert Networks().objection(address) != ""


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses_are_reached(address: str) -> None:
    """The addresses around the forbidden networks, and IPv6 forms of public ones, may be reached."""
    assert Networks().objection(address) == ""


@given(st.ip_addresses())
def test_nothing_is_allowed_that_the_standard_library_calls_special(address: ipaddress.IPv4Address) -> None:
    """Python's own table of special networks never disagrees with an address that we let through."""
    is_wrapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    assert not Networks().allows(address) or address.is_global or is_wrapped


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_as_itself(inner: ipaddress.IPv4Address) -> None:
    """Mapped, translated, compatible, NAT64 and 6to4 forms say what their inner address says."""
    bits, expected = int(inner), Networks().allows(inner)
    forms = [0xFFFF << 32 | bits, 0xFFFF << 48 | bits, 0x64FF9B << 96 | bits, 0x2002 << 112 | bits << 80]
    assert [Networks().allows(ipaddress.IPv6Address(form)) for form in forms] == [expected] * 4


ALLOWANCES = [
    # CHAPPE_ALLOWED_NETWORKS, address, may be reached
    ("", "10.1.2.3", False),
    ("127.0.0.0/8, 10.1.0.0/16", "10.1.2.3", True),
    ("127.0.0.0/8, 10.1.0.0/16", "10.2.0.1", False),
    ("127.0.0.0/8,", "::ffff:127.0.0.1", True),
    ("10.0.0.1", "10.0.0.1", True),
    ("fd00::/8", "fd12::1", True),
    ("fd00::/8", "fd00:ec2::254", False),
    ("169.254.0.0/16", "169.254.169.254", False),
    ("169.254.169.254/32", "169.254.169.254", True),
    ("0.0.0.0/0, ::/0", "100.100.100.200", False),
    ("0.0.0.0/0, ::/0", "::ffff:169.254.169.254", False),
    ("0.0.0.0/0, ::/0", "fe80::1", True),
]


@pytest.mark.parametrize("text, address, expected", ALLOWANCES)
def test_the_operator_opens_networks_but_metadata_only_by_its_exact_address(
    text: str, address: str, expected: bool
) -> None:
    """An allowed network may be reached; the place of the machine's own credentials must be named exactly."""
    assert Networks.parse(text).allows(address) is expected


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "fe80::1", "255.255.255.255", "8.8.8.8"])
def test_open_networks_reach_everything(address: str) -> None:
    """Demo mode and laptops reach every address."""
    assert OPEN.allows(address)


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "100.100.100.200", "fd00:ec2::254"])
def test_even_open_networks_keep_metadata_closed(address: str) -> None:
    """Demo mode on a machine in a cloud does not hand out that machine's credentials."""
    assert not OPEN.allows(address)


@pytest.mark.parametrize("bad", ["10.0.0.0/33", "10.1.2.3/8", "intranet", "10.0.0.0-10.0.0.9", "::/200"])
def test_a_bad_network_is_named(bad: str) -> None:
    """A mistake in the setting is answered with the item that holds it."""
    with pytest.raises(ValueError, match="not a network") as error:
        Networks.parse(f"127.0.0.0/8, {bad}")
    assert repr(bad) in str(error.value)


# URL tricks (S13)

LOOPBACK_HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "2130706433",
    "0x7f000001",
    "0x7F000001",
    "017700000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0177.1",
    "0x7f.0.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0x0.0.1",
    "00000177.0.0.1",
    "0x00007f.1",
    "127.0.0.0x1",
    "127.0.0.01",
    "127.000.000.001",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "0.0",
    "000.0.0.0",
    "127.0.0.2",
    "127.127.127.127",
    "127.255.255.254",
    "2130706434",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::0.0.0.1]",
    "[::]",
    "[0:0::0]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::FFFF:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[::ffff:0:127.0.0.1]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[::1%25lo]",
    "[::1%lo]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost",
    "loc%61lhost",
    "%6c%6f%63%61%6c%68%6f%73%74",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "127。0。0。1",
    "127．0．0．1",
    "１２７.０.０.１",
    "①②⑦.⓪.⓪.①",
    "ｌｏｃａｌｈｏｓｔ",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "loc\xadalhost",
    "127.0.0.1\u200b",
    "inside.invalid",
    "mixed.invalid",
    "INSIDE.invalid",
    "inside.invalid.",
    "six.invalid",
    "mapped.invalid",
    "meta.invalid",
    "nowhere.invalid",
    "empty.invalid",
    "rubbish.invalid",
    "127.0.0.256",
    "0x7f.0.0.0.1",
    "1.2.3.4.5",
    "0xffffffffff",
    "[::1",
    "::1",
    "[127.0.0.1]",
    "[::ffff:127.0.0.1.5]",
    "[]",
    "--",
    "a..b",
    "*",
    "%",
    "%zz",
    "%00",
]

NAMES = names(
    {
        "localhost": ["127.0.0.1"],
        "localhost.": ["127.0.0.1"],
        "inside.invalid": ["127.0.0.1"],
        "inside.invalid.": ["127.0.0.1"],
        "mixed.invalid": ["192.0.43.10", "127.0.0.1"],
        "six.invalid": ["::1"],
        "mapped.invalid": ["::ffff:127.0.0.1"],
        "meta.invalid": ["169.254.169.254"],
        "empty.invalid": [],
        "rubbish.invalid": ["not an address"],
    }
)

URL_SHAPES = [
    "http://{host}:{port}/",
    "HTTP://{host}:{port}/callback?x=1",
    "http://user@{host}:{port}/",
    "http://user:password@{host}:{port}/",
    "http://192.0.43.10@{host}:{port}/",
    "http://{host}:0{port}/",
]

WHOLE_URLS = [
    "http:127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:////127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\",
    "http://\\127.0.0.1:{port}/",
    "http://192.0.43.10\\@127.0.0.1:{port}/",
    "http://192.0.43.10#@127.0.0.1:{port}/",
    "http://192.0.43.10?@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@192.0.43.10/",
    "http://127.0.0.1:{port}?.invalid/",
    "http://127.0.0.1:{port}\\.invalid/",
    "http://user:@127.0.0.1:{port}/",
    "http://@127.0.0.1:{port}/",
    "http://:@127.0.0.1:{port}/",
    "http://a@b@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}:80/",
    "ftp://127.0.0.1:{port}/",
    "file://127.0.0.1:{port}/etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "dict://127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/",
    "unix:///run/x.socket",
    "javascript:alert(1)",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "http+unix://127.0.0.1:{port}/",
    "httpx://127.0.0.1:{port}/",
    "data:text/plain,x",
    "http://:{port}/",
    "http://",
]

CONTROL_URLS = [
    "http://127.0.0.1\t:{port}/",
    "http://127.0.\n0.1:{port}/",
    "\x00http://127.0.0.1:{port}/",
    " http://127.0.0.1:{port}/",
    "ht\ntp://127.0.0.1:{port}/",
    "http://127.0.0.1 :{port}/",
    "http://127.0.0.1\x00.invalid:{port}/",
]

SPLIT_URLS = [
    # origin and path, which together mean another place than the origin alone
    ("http://192.0.43.10", "@127.0.0.1:{port}/"),
    ("http://192.0.43.10", ":x@127.0.0.1:{port}/"),
    ("http://127.0.0.1", ":{port}/"),
    ("http://127.0.0", ".1:{port}/"),
    ("http://", "127.0.0.1:{port}/"),
    ("http://", "/127.0.0.1:{port}/"),
    ("http:", "//127.0.0.1:{port}/"),
    ("", "http://127.0.0.1:{port}/"),
    ("http://user", "@127.0.0.1:{port}/"),
    ("http://127.0.0.1:{port}/", "/"),
    ("http://127.0.0.1:{port}/x", "/"),
    ("http://127.0.0.1:{port}?", "/"),
    ("http://127.0.0.1:{port}#", "/"),
    ("http://127.0.0.1:{port}", ""),
    ("http://127.0.0.1:{port}", "x"),
]


def tricks(port: int) -> list[HttpRequest]:
    shaped = [shape.format(host=host, port=port) for shape in URL_SHAPES for host in LOOPBACK_HOSTS]
    whole = [url.format(port=port) for url in WHOLE_URLS + CONTROL_URLS]
    split = [(origin.format(port=port), path.format(port=port)) for origin, path in SPLIT_URLS]
    return [request_to(url) for url in shaped + whole] + [
        HttpRequest(method="GET", origin=origin, path=path) for origin, path in split
    ]


def test_no_trick_reaches_a_forbidden_address(make: Make, serve: Serve) -> None:
    """Of several hundred ways to write a loopback URL not one makes a connection, and each is surely refused."""
    server = serve(answering(OK))
    sender = make(Networks(), resolve=NAMES)
    replies = [sender.send(trick) for trick in tricks(server.port)]
    assert len(replies) >= 200
    assert [reply for reply in replies if not (isinstance(reply, Failure) and reply.is_certain)] == []
    assert server.connects() == 0


def test_the_tricks_are_real(make: Make, serve: Serve) -> None:
    """Where loopback is allowed the same table makes many connections: it is the networks that stop them."""
    server = serve(answering(OK))
    sender = make(Networks.parse("127.0.0.0/8, 0.0.0.0"), resolve=NAMES)
    hosts = [host for host in LOOPBACK_HOSTS if ":" not in host or "ffff:7f00" in host]
    replies = [sender.send(request_to(f"http://{host}:{server.port}/")) for host in hosts]
    assert sum(isinstance(reply, HttpResponse) for reply in replies) >= 40


LITERALS = [
    # as written, as judged
    ("http://0x7f.1:8080", "127.0.0.1", 8080),
    ("http://2130706433", "127.0.0.1", 80),
    ("https://[::FFFF:1.2.3.4]:444", str(ipaddress.ip_address("::ffff:1.2.3.4")), 444),
    ("https://1.2.3", "1.2.0.3", 443),
    ("http://①②⑦.1", "127.0.0.1", 80),
]


@pytest.mark.parametrize("origin, host, port", LITERALS)
def test_the_judged_address_is_the_one_that_will_be_connected(origin: str, host: str, port: int) -> None:
    """Whatever notation an address is written in, it is read once, and sent to in the form that was judged."""
    destination = destination_of(origin, OutboundLimits())
    assert (destination.host, destination.port, destination.is_literal) == (host, port, True)
    assert destination_of(destination.origin, OutboundLimits()) == destination


NAMES_AS_WRITTEN = [
    # as written, as asked for
    ("Example.COM", "example.com"),
    ("example.com.", "example.com."),
    ("a_b.example", "a_b.example"),
    ("pinnéd.example", "xn--pinnd-esa.example"),
    ("ＥＸＡＭＰＬＥ。com", "example.com"),
    ("ex%61mple.com", "example.com"),
    ("1.2.3.4.example", "1.2.3.4.example"),
    ("0x.example", "0x.example"),
]


@pytest.mark.parametrize("written, host", NAMES_AS_WRITTEN)
def test_a_name_is_read_once(written: str, host: str) -> None:
    """However a name is written, one ASCII form of it is resolved, named in the Host header and in TLS."""
    destination = destination_of(f"https://{written}", OutboundLimits())
    assert (destination.host, destination.authority, destination.is_literal) == (host, host, False)


NOT_HOSTS = [
    "straße.example",
    "a\u200db.example",
    "a..b",
    "-" * 64,
    "a" * 2_000,
    "é" * 300,
    "a%2fb",
    "a%3ab",
    "℀.example",
]
NOT_HOSTS += ["a$b", "a,b", "1.2.3.256", "1.2.65536", "256.1", "0x100000000", "1.2.3.08", "1.2.3.4.5", "a.0x", "%ff"]


@pytest.mark.parametrize("written", NOT_HOSTS)
def test_what_could_be_read_in_two_ways_is_no_host(written: str) -> None:
    """A host that others read differently, or not at all, is refused rather than guessed."""
    with pytest.raises(Unsent, match="not a host"):
        destination_of(f"http://{written}", OutboundLimits())


AUTHORITIES = [
    # origin, the Host header
    ("http://example.com:80", "example.com"),
    ("http://example.com:443", "example.com:443"),
    ("https://example.com:443", "example.com"),
    ("https://example.com:", "example.com"),
    ("http://example.com:08080", "example.com:8080"),
    ("http://[2A00::1]:81", "[2a00::1]:81"),
]


@pytest.mark.parametrize("origin, authority", AUTHORITIES)
def test_the_host_header_leaves_out_a_default_port(origin: str, authority: str) -> None:
    """The Host header names the port only where it is not the scheme's own."""
    assert destination_of(origin, OutboundLimits()).authority == authority


@pytest.mark.parametrize("port", sorted(FORBIDDEN_PORTS))
def test_ports_of_other_services_are_refused(port: int) -> None:
    """No HTTP request leaves towards mail servers, shells, databases and the like."""
    with pytest.raises(Unsent, match="forbidden port"):
        destination_of(f"http://example.com:{port}", OutboundLimits())


def test_ports_can_be_narrowed_to_a_list() -> None:
    """Where the operator lists ports, no other port is reached, and the default ports count as written."""
    limits = OutboundLimits(allowed_ports=frozenset({443}))
    assert destination_of("https://example.com", limits).port == 443
    with pytest.raises(Unsent, match="forbidden port"):
        destination_of("http://example.com", limits)


@given(st.text(max_size=30))
def test_any_text_is_an_origin_or_refused(text: str) -> None:
    """Reading an origin ends in a destination or a refusal, and a destination names its host and nothing more."""
    with suppress(Unsent):
        read = destination_of(f"http://{text}", OutboundLimits())
        assert isinstance(read, Destination)
        assert not set(read.host) & set("/\\?#@[] ")


# Names


@pytest.mark.parametrize(
    "host", ["pinned.invalid", "pinned.invalid.", "PINNED.invalid", "pinnéd.invalid", "a_b.invalid"]
)
def test_the_connection_goes_to_the_judged_address(make: Make, serve: Serve, host: str) -> None:
    """A name that no name server knows is reached under the address that was judged: nobody asks a second time."""
    server = serve(answering(OK))
    sender = make(resolve=lambda host, port: ["127.0.0.1"])
    assert sender.send(request_to(f"http://{host}:{server.port}/")) == ok()


def ok() -> HttpResponse:
    return HttpResponse(headers=((b"content-length", b"2"),), body=b"ok")


def test_localhost_is_reached_by_the_system_resolver(make: Make, serve: Serve) -> None:
    """A real name is really resolved, and where it has several addresses the one that answers is found."""
    server = serve(answering(OK))
    assert make().send(request_to(f"http://localhost:{server.port}/")) == ok()


def test_one_forbidden_address_refuses_the_host(make: Make, serve: Serve) -> None:
    """A host with a good and a forbidden address is refused altogether, whichever comes first."""
    server = serve(answering(OK))
    sender = make(resolve=names({"a.invalid": ["127.0.0.1", "10.0.0.1"], "b.invalid": ["10.0.0.1", "127.0.0.1"]}))
    for host in ["a.invalid", "b.invalid"]:
        reply = sender.send(request_to(f"http://{host}:{server.port}/"))
        assert reply == Failure(is_certain=True, detail="forbidden network: private")
    assert server.connects() == 0


def test_a_name_that_changes_its_mind_is_judged_again(make: Make, serve: Serve) -> None:
    """A name that is bound to a forbidden address later on is refused as soon as it is asked again."""
    server = serve(answering(OK))
    table, clock = {"rebind.invalid": ["127.0.0.1"]}, Offset()
    sender = make(resolve=names(table), clock=clock)
    request = request_to(f"http://rebind.invalid:{server.port}/")
    assert sender.send(request) == ok()
    table["rebind.invalid"] = ["169.254.169.254"]
    assert sender.send(request) == ok()  # still the pinned address
    clock.ahead_s += OutboundLimits().names_fresh_s
    assert sender.send(request) == Failure(is_certain=True, detail="forbidden network: cloud metadata")


def test_a_name_that_moves_is_followed(make: Make, serve: Serve) -> None:
    """When a host moves to another address, requests go there as soon as the name is asked again."""
    old = serve(answering(OK))
    table, clock = {"moving.invalid": ["127.0.0.3"]}, Offset()
    sender = make(resolve=names(table), clock=clock)
    request = request_to(f"http://moving.invalid:{old.port}/")
    assert sender.send(request) == Failure(is_certain=True, detail="connection refused")
    table["moving.invalid"] = ["127.0.0.1"]
    clock.ahead_s += OutboundLimits().names_fresh_s
    assert sender.send(request) == ok()


def test_a_pause_of_the_name_server_stops_nobody(make: Make, serve: Serve) -> None:
    """A host that was reached before is reached still, under its checked address, while names do not resolve."""
    server = serve(answering(OK))
    table, clock = {"steady.invalid": ["127.0.0.1"]}, Offset()
    sender = make(resolve=names(table), clock=clock)
    request = request_to(f"http://steady.invalid:{server.port}/")
    assert sender.send(request) == ok()
    table.clear()
    clock.ahead_s += OutboundLimits().names_fresh_s
    assert sender.send(request) == ok()


def test_the_next_address_is_tried_and_remembered(make: Make, serve: Serve) -> None:
    """Where the first address refuses connections the second gets the request, once, and the following ones too."""
    server = serve(answering(OK))
    sender = make(resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    request = request_to(f"http://two.invalid:{server.port}/", method="POST", body=b"x")
    assert [sender.send(request), sender.send(request)] == [ok(), ok()]
    assert server.requests.qsize() == 2
    assert server.connects() == 1


def test_a_name_server_that_hangs_holds_nobody(make: Make) -> None:
    """A name that is not resolved in time is a sure failure, and the waiting ends in time."""
    answered = Event()

    def hanging(host: str, port: int) -> Sequence[str]:
        answered.wait(10)
        return []

    sender = make(limits=OutboundLimits(resolve_timeout_s=0.05), resolve=hanging)
    started_s = time.monotonic()
    reply = sender.send(request_to("http://slow.invalid/"))
    answered.set()
    assert reply == Failure(is_certain=True, detail="the host name does not resolve in time")
    assert time.monotonic() - started_s < 2


def test_requests_that_wait_for_a_name_ask_once(serve: Serve) -> None:
    """Many requests to a new host ask the name server one question."""
    server = serve(answering(OK))
    asked: SimpleQueue[str] = SimpleQueue()

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.put(host)
        return ["127.0.0.1"]

    async def send_many() -> list[Reply]:
        outbound = Outbound(LOOPBACK, resolve=resolve)
        request = request_to(f"http://busy.invalid:{server.port}/")
        replies = await asyncio.gather(*(outbound.send(request, timeout_s=10) for _ in range(20)))
        await outbound.close()
        return list(replies)

    assert asyncio.run(send_many()) == [ok()] * 20
    assert asked.qsize() == 1


def test_origins_are_bounded(make: Make, serve: Serve) -> None:
    """However many hosts are called, only so many doors are kept, the last used ones; idle ones go first."""
    server = serve(answering(OK))
    clock = Offset()
    sender = make(limits=OutboundLimits(origins_max=5), resolve=lambda host, port: ["127.0.0.1"], clock=clock)
    for index in range(12):
        assert sender.send(request_to(f"http://host{index}.invalid:{server.port}/")) == ok()
    assert sender.door_count() == 5
    clock.ahead_s += OutboundLimits().origin_idle_s + 1
    sender.send(request_to(f"http://late.invalid:{server.port}/"))
    assert sender.door_count() == 1


# Requests


def test_a_request_arrives_as_it_was_made(make: Make, serve: Serve) -> None:
    """Method, path, query, headers and body arrive byte for byte, and with little beside them."""
    server = serve(answering(OK))
    headers: Headers = ((b"x-signature", b"a=b; c"), (b"x-name", "Zoë".encode()))
    request = HttpRequest(
        method="POST",
        origin=f"http://127.0.0.1:{server.port}",
        path="/a%20b",
        query=b"x=%E9&y=1+2",
        headers=headers,
        body=b"\x00\xff",
    )
    assert make().send(request) == ok()
    head, _, body = server.requests.get().partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a%20b?x=%E9&y=1+2 HTTP/1.1"
    sent = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
    assert sent == {
        b"x-signature": b"a=b; c",
        b"x-name": "Zoë".encode(),
        b"host": f"127.0.0.1:{server.port}".encode(),
        b"content-length": b"2",
        b"accept": b"*/*",
        b"user-agent": b"chappe",
    }
    assert body == b"\x00\xff"


def test_an_empty_post_says_that_it_is_empty(make: Make, serve: Serve) -> None:
    """A POST without a body carries a length, without which some servers refuse it."""
    server = serve(answering(OK))
    make().send(request_to(f"http://127.0.0.1:{server.port}/", method="POST"))
    assert b"content-length: 0" in server.requests.get().lower()


TARGETS = [
    # path, query, what stands in the request line
    ("/a b", b"", b"/a%20b"),
    ("/é", "x=é".encode(), b"/%C3%A9?x=%C3%A9"),
    ("/%41/../~a;b", b"x=%&y='[1]'", b"/%41/../~a;b?x=%&y='[1]'"),
    ("/", b'x="<\\^`{|}>', b"/?x=%22%3C%5C%5E%60%7B%7C%7D%3E"),
    ("//a", b"", b"//a"),
]


@pytest.mark.parametrize("path, query, target", TARGETS)
def test_a_target_stays_one_word(make: Make, serve: Serve, path: str, query: bytes, target: bytes) -> None:
    """What a request line cannot hold is percent-encoded; all else leaves as it is."""
    server = serve(answering(OK))
    request = HttpRequest(method="GET", origin=f"http://127.0.0.1:{server.port}", path=path, query=query)
    assert make().send(request) == ok()
    assert server.requests.get().split(b"\r\n")[0] == b"GET " + target + b" HTTP/1.1"


def test_headers_of_a_request_replace_ours(make: Make, serve: Serve) -> None:
    """A request that names its own agent or accepted types carries those, once."""
    server = serve(answering(OK))
    headers: Headers = ((b"User-Agent", b"other"), (b"accept", b"text/plain"))
    make().send(request_to(f"http://127.0.0.1:{server.port}/", headers=headers))
    head = server.requests.get().lower()
    assert (head.count(b"user-agent: other"), head.count(b"user-agent")) == (1, 1)
    assert (head.count(b"accept: text/plain"), head.count(b"accept")) == (1, 1)


BAD_REQUESTS = [
    # what is wrong, fields of the request
    ("line break in a value", {"headers": ((b"x-a", b"1\r\nx-b: 2"),)}),
    ("line feed in a value", {"headers": ((b"x-a", b"1\nx-b: 2"),)}),
    ("carriage return in a value", {"headers": ((b"x-a", b"1\rx-b: 2"),)}),
    ("NUL in a value", {"headers": ((b"x-a", b"1\x00"),)}),
    ("not UTF-8 in a value", {"headers": ((b"x-a", b"\xff"),)}),
    ("line break in a name", {"headers": ((b"x-a\r\nx-b", b"1"),)}),
    ("colon in a name", {"headers": ((b"x-a:", b"1"),)}),
    ("blank in a name", {"headers": ((b"x a", b"1"),)}),
    ("no name", {"headers": ((b"", b"1"),)}),
    ("another host", {"headers": ((b"Host", b"elsewhere"),)}),
    ("another length", {"headers": ((b"Content-Length", b"5"),)}),
    ("another coding", {"headers": ((b"transfer-encoding", b"chunked"),)}),
    ("headers too large", {"headers": ((b"x-a", b"1" * 20_000),)}),
    ("line break in the path", {"path": "/a\r\nx-b: 2"}),
    ("NUL in the path", {"path": "/a\x00b"}),
    ("tab in the path", {"path": "/a\tb"}),
    ("fragment in the path", {"path": "/a#b"}),
    ("line break in the query", {"query": b"a=1\r\nx-b: 2"}),
    ("fragment in the query", {"query": b"a=1#b"}),
    ("not UTF-8 in the query", {"query": b"a=\xff"}),
    ("URL too long", {"query": b"a" * 70_000}),
    ("body too large", {"method": "POST", "body": b"a" * 8_388_609}),
    ("line break in the method", {"method": "GET / HTTP/1.1\r\nx-b: 2\r\n\r\nGET"}),
    ("blank in the method", {"method": "GET /"}),
    ("no method", {"method": ""}),
    ("not a text as path", {"path": "/\ud800"}),
    ("a tunnel", {"method": "CONNECT"}),
]


@pytest.mark.parametrize("fields", [fields for _, fields in BAD_REQUESTS], ids=[name for name, _ in BAD_REQUESTS])
def test_what_would_change_the_request_is_refused(make: Make, serve: Serve, fields: dict[str, object]) -> None:
    """A request that would arrive as something else, or is too large, does not leave at all (S11)."""
    server = serve(answering(OK))
    reply = make().send(request_to(f"http://127.0.0.1:{server.port}/", **fields))
    assert isinstance(reply, Failure)
    assert reply.is_certain
    assert server.connects() == 0


HEADER_TEXT = st.text("ab: \r\n\0\té", max_size=8).map(str.encode)


@given(HEADER_TEXT, HEADER_TEXT | st.binary(max_size=8))
def test_no_header_becomes_two(name: bytes, value: bytes) -> None:
    """Whatever bytes a header is made of, it passes as one line of a name and a value, or not at all."""
    with suppress(Unsent):
        ((passed_name, passed_value),) = header_pairs(((name, value),), 1_000)
        assert f"{passed_name}: {passed_value}".encode() == name + b": " + value
        assert not {"\r", "\n", "\0"} & set(passed_name + passed_value)


def test_no_proxy_of_the_environment_is_used(make: Make, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go straight to their host, whatever the environment says."""
    server, proxy = serve(answering(OK)), serve(answering(OK))
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert make().send(request_to(f"http://127.0.0.1:{server.port}/")) == ok()
    assert proxy.connects() == 0


# Answers


def test_redirects_are_answers(make: Make, serve: Serve) -> None:
    """A redirect is handed back and nobody goes where it points."""
    elsewhere = serve(answering(OK))
    for status in [301, 302, 303, 307, 308]:
        location = f"location: http://127.0.0.1:{elsewhere.port}/\r\n".encode()
        server = serve(answering(b"HTTP/1.1 %d Moved\r\n%bcontent-length: 0\r\n\r\n" % (status, location)))
        reply = make().send(request_to(f"http://127.0.0.1:{server.port}/"))
        assert isinstance(reply, HttpResponse)
        assert reply.status == status
    assert elsewhere.connects() == 0


def test_cookies_are_not_kept(make: Make, serve: Serve) -> None:
    """What one answer sets, the next request does not carry."""
    server = serve(answering(b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/\r\ncontent-length: 0\r\n\r\n"))
    sender = make()
    for _ in range(2):
        sender.send(request_to(f"http://127.0.0.1:{server.port}/"))
    assert b"cookie" not in (server.requests.get() + server.requests.get()).lower()


def test_a_large_answer_is_cut(make: Make, serve: Serve) -> None:
    """Of an answer of 10 MiB the status and the first 64 KiB are handed back."""
    body = bytes(range(256)) * 40_960
    server = serve(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)))
    reply = make().send(request_to(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(reply, HttpResponse)
    assert (reply.status, reply.body) == (200, body[:65_536])


def test_an_endless_answer_is_cut_and_hung_up(make: Make, serve: Serve) -> None:
    """A receiver that never stops talking costs 64 KiB, and loses the connection long before the time-out."""
    hung_up = Event()

    def endless(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65_536)
        finally:
            hung_up.set()

    server = serve(endless)
    reply = make().send(request_to(f"http://127.0.0.1:{server.port}/"), timeout_s=60)
    assert isinstance(reply, HttpResponse)
    assert reply.body == b"x" * 65_536
    assert hung_up.wait(10)


def test_a_packed_answer_stays_packed(make: Make, serve: Serve) -> None:
    """A small answer that would unpack to 10 MiB is handed back as the bytes that came."""
    bomb = gzip.compress(bytes(10_485_760))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    server = serve(answering(head + bomb))
    reply = make().send(request_to(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(reply, HttpResponse)
    assert reply.body == bomb
    assert b"accept-encoding" not in server.requests.get().lower()


def test_strange_headers_do_not_lose_an_answer(make: Make, serve: Serve) -> None:
    """A header that is not ASCII is left out; status, body and all other headers are handed back."""
    head = b"HTTP/1.1 202 OK\r\nX-A: \xe9\xff\r\nRetry-After: 7\r\nX-B: 1\r\nX-B: 2\r\ncontent-length: 2\r\n\r\nok"
    server = serve(answering(head))
    reply = make().send(request_to(f"http://127.0.0.1:{server.port}/"))
    assert isinstance(reply, HttpResponse)
    assert (reply.status, reply.body) == (202, b"ok")
    assert set(reply.headers) == {(b"retry-after", b"7"), (b"x-b", b"1"), (b"x-b", b"2"), (b"content-length", b"2")}


MALFORMED = [
    b"",
    b"\r\n\r\n",
    b"SSH-2.0-server\r\n",
    b"220 mail ESMTP\r\n",
    b"\x16\x03\x01\x02\x00",
    b"HTTP/1.1 banana\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 99999 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * 1_000_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: 1\r\n" % index for index in range(5_000)) + b"\r\n",
]


@pytest.mark.parametrize("answer", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_answer_is_no_answer(make: Make, serve: Serve, answer: bytes) -> None:
    """Rubbish instead of an answer leaves us uncertain: the request did arrive (S19)."""

    def behave(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)

    server = serve(behave)
    reply = make().send(request_to(f"http://127.0.0.1:{server.port}/", method="POST", body=b"x"))
    assert isinstance(reply, Failure)
    assert not reply.is_certain
    assert server.requests.qsize() == 1


# Failures


def test_a_refused_connection_is_certain(make: Make) -> None:
    """Where nobody listens nothing happened."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    reply = make().send(request_to(f"http://127.0.0.1:{port}/"))
    assert reply == Failure(is_certain=True, detail="connection refused")


def silent(server: Server, connection: socket.socket) -> None:
    server.read(connection)
    server.stopped.wait()


def trickling(server: Server, connection: socket.socket) -> None:
    server.read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while not server.stopped.wait(0.01):
        connection.sendall(b"x")


def trickling_head(server: Server, connection: socket.socket) -> None:
    server.read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nx-a: ")
    while not server.stopped.wait(0.01):
        connection.sendall(b"x")


def breaking(server: Server, connection: socket.socket) -> None:
    server.read(connection)
    reset(connection)


def deaf(server: Server, connection: socket.socket) -> None:
    server.stopped.wait()


UNCERTAIN = [
    # behaviour after the connection, what is said
    (silent, "timed out"),
    (trickling, "timed out"),
    (trickling_head, "timed out"),
    (deaf, "timed out"),
    (breaking, "connection reset"),
]


@pytest.mark.parametrize("behave, detail", UNCERTAIN, ids=[behave.__name__ for behave, _ in UNCERTAIN])
def test_after_the_connection_nothing_is_certain(
    make: Make, serve: Serve, behave: Callable[[Server, socket.socket], None], detail: str
) -> None:
    """Once a request may have arrived, silence, trickling and resets are uncertain and end within the time-out."""
    server = serve(behave)
    started_s = time.monotonic()
    # The words in the path must not decide what is said.
    request = request_to(f"http://127.0.0.1:{server.port}/certificate/refused", method="POST", body=b"x")
    reply = make().send(request, timeout_s=0.3)
    assert reply == Failure(is_certain=False, detail=detail)
    assert time.monotonic() - started_s < 3


def test_a_connection_that_does_not_come_about_is_certain(make: Make, serve: Serve) -> None:
    """A TLS handshake that never ends is given up after the connect time-out, and surely nothing was sent."""
    server = serve(deaf)
    reply = make(limits=OutboundLimits(connect_timeout_s=0.2)).send(request_to(f"https://127.0.0.1:{server.port}/"))
    assert reply == Failure(is_certain=True, detail="timed out")


def test_a_connection_closed_after_each_answer_costs_nothing(make: Make, serve: Serve) -> None:
    """A server that hangs up between requests, without saying so, gets every request exactly once."""

    def once(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)

    server = serve(once)
    sender = make()
    bodies = [b"request %d" % index for index in range(30)]
    replies = [sender.send(request_to(f"http://127.0.0.1:{server.port}/", method="POST", body=body)) for body in bodies]
    received = [server.requests.get().partition(b"\r\n\r\n")[2] for _ in range(server.requests.qsize())]
    assert len(received) == len(set(received))
    # A request that was on its way when the server hung up is uncertain; whatever was answered did arrive.
    assert all(reply == ok() or reply.is_certain is False for reply in replies)  # type: ignore[union-attr]
    assert {body for body, reply in zip(bodies, replies, strict=True) if reply == ok()} <= set(received)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_on_a_dying_connection_is_not_sent_twice(make: Make, serve: Serve, method: str) -> None:
    """A kept connection that dies under its second request leaves that request uncertain, and nobody repeats it."""

    def dying(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(OK)
        server.read(connection)
        reset(connection)

    server = serve(dying)
    sender = make()
    origin = f"http://127.0.0.1:{server.port}"
    replies = [sender.send(HttpRequest(method=method, origin=origin, path=f"/{index}")) for index in range(4)]
    assert [isinstance(reply, HttpResponse) for reply in replies] == [True, False, True, False]
    assert all(isinstance(reply, HttpResponse) or not reply.is_certain for reply in replies)
    paths = [server.requests.get().split(b" ")[1] for _ in range(server.requests.qsize())]
    assert paths == [b"/0", b"/1", b"/2", b"/3"]


def test_requests_in_flight_are_bounded(serve: Serve) -> None:
    """Beyond the limit a request is surely refused instead of waiting, and those under way are unharmed."""
    arrived, release = Event(), Event()

    def waiting(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        arrived.set()
        release.wait(10)
        connection.sendall(OK)

    server = serve(waiting)

    async def send_two() -> tuple[Reply, Reply]:
        outbound = Outbound(LOOPBACK, OutboundLimits(in_flight_max=1))
        request = request_to(f"http://127.0.0.1:{server.port}/")
        first = asyncio.create_task(outbound.send(request, timeout_s=10))
        await asyncio.to_thread(arrived.wait, 10)
        second = await outbound.send(request, timeout_s=10)
        release.set()
        replies = await first, second
        await outbound.close()
        return replies

    first, second = asyncio.run(send_two())
    assert first == ok()
    assert second == Failure(is_certain=True, detail="too many requests in flight")


def test_a_hanging_receiver_delays_nobody_else(serve: Serve) -> None:
    """While fifty receivers hang, a healthy one is answered at once (R9)."""
    hanging, healthy = serve(silent), serve(answering(OK))

    async def send_all() -> float:
        outbound = Outbound(LOOPBACK)
        request = request_to(f"http://127.0.0.1:{hanging.port}/")
        waiting = [asyncio.create_task(outbound.send(request, timeout_s=30)) for _ in range(50)]
        await asyncio.to_thread(lambda: [hanging.requests.get() for _ in waiting])
        started_s = time.monotonic()
        assert await outbound.send(request_to(f"http://127.0.0.1:{healthy.port}/"), timeout_s=30) == ok()
        took_s = time.monotonic() - started_s
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await outbound.close()
        return took_s

    assert asyncio.run(send_all()) < 2


def test_threads_may_share_a_sync_outbound(serve: Serve) -> None:
    """Eight threads send through one SyncOutbound, and every request is answered."""
    server = serve(answering(OK))
    outbound = SyncOutbound(resolve=lambda host, port: ["127.0.0.1"])
    requests = [request_to(f"http://shared{index % 4}.invalid:{server.port}/") for index in range(80)]
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda request: outbound.send(request, timeout_s=10), requests))
    outbound.close()
    assert replies == [ok()] * 80


def test_closing_a_sync_outbound_ends_what_is_under_way(serve: Serve) -> None:
    """A thread that waits for an answer is let go when another closes; afterwards nothing is sent, and that is sure."""
    server = serve(silent)
    outbound = SyncOutbound()
    request = request_to(f"http://127.0.0.1:{server.port}/")
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(outbound.send, request, timeout_s=30)
        server.requests.get(timeout=10)
        outbound.close()
        outbound.close()
        assert sending.result(10) == Failure(is_certain=False, detail="given up")
    assert outbound.send(request, timeout_s=30) == Failure(is_certain=True, detail="closed")


def test_an_outbound_sends_nothing_once_closed(serve: Serve) -> None:
    """After closing, every request is surely refused."""
    server = serve(answering(OK))

    async def close_and_send() -> Reply:
        outbound = Outbound(LOOPBACK)
        await outbound.close()
        return await outbound.send(request_to(f"http://127.0.0.1:{server.port}/"), timeout_s=10)

    assert asyncio.run(close_and_send()) == Failure(is_certain=True, detail="closed")
    assert server.connects() == 0


FAILING: list[tuple[str, Callable[[Server, socket.socket], None], dict[str, object]]] = [
    ("http://127.0.0.1:{port}/", silent, {}),
    ("http://127.0.0.1:{port}/", breaking, {}),
    ("http://127.0.0.1:{port}/", answering(b"SSH-2.0-" + SECRET.encode() + b"\r\n\r\n"), {}),
    ("http://127.0.0.1:{port}/", answering(OK), {"headers": ((b"x-a", SECRET.encode() + b"\r\n"),)}),
    ("http://127.0.0.1:{port}/", answering(OK), {"method": SECRET + " "}),
    ("https://127.0.0.1:{port}/", answering(OK), {}),
    ("http://" + SECRET + "@127.0.0.1:{port}/", answering(OK), {}),
    ("http://" + SECRET + ".invalid:{port}/", answering(OK), {}),
    ("http://127.0.0.1:1/", answering(OK), {}),
    ("http://127.0.0.9:{port}/", answering(OK), {}),
    ("http://10.0.0.1:{port}/", answering(OK), {}),
]


@pytest.mark.parametrize("url, behave, fields", FAILING, ids=range(len(FAILING)))
def test_a_failure_tells_no_secret(
    make: Make, serve: Serve, url: str, behave: Callable[[Server, socket.socket], None], fields: dict[str, object]
) -> None:
    """However a request fails, the text about it holds nothing of its URL, headers or body, nor of the answer."""
    server = serve(behave)
    carried: dict[str, object] = {
        "method": "POST",
        "path": f"/{SECRET}",
        "query": f"phone={SECRET}".encode(),
        "headers": ((b"authorization", SECRET.encode()),),
        "body": SECRET.encode(),
    }
    sender = make(resolve=names({}))
    reply = sender.send(request_to(url.format(port=server.port), **carried | fields), timeout_s=0.5)
    assert isinstance(reply, Failure)
    assert SECRET[:6] not in reply.detail
    assert "127.0.0" not in reply.detail
    assert 0 < len(reply.detail) < 60


# TLS


class Authority:
    """A certificate authority of our own, for one host name."""

    def __init__(self, host: str, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.root, self.pem = self.signed("authority", key, "authority", key, is_authority=True)
        host_key = ec.generate_private_key(ec.SECP256R1())
        _, host_pem = self.signed(host, host_key, "authority", key, is_authority=False)
        private = host_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = folder / "chain.pem"
        chain.write_bytes(private + host_pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain)

    @staticmethod
    def signed(
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        issuer_key: ec.EllipticCurvePrivateKey,
        is_authority: bool,
    ) -> tuple[x509.Certificate, bytes]:
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        return certificate, certificate.public_bytes(serialization.Encoding.PEM)

    def answering(self, server: Server, connection: socket.socket) -> None:
        with self.context.wrap_socket(connection, server_side=True) as secured:
            answering(OK)(server, secured)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority("secure.invalid", tmp_path)


def test_a_trusted_authority_is_accepted(make: Make, serve: Serve, authority: Authority) -> None:
    """A certificate of an authority from the CA file is good for the name it was made for, at the pinned address."""
    server = serve(authority.answering)
    sender = make(resolve=lambda host, port: ["127.0.0.1"], authorities_pem=b"# ours\n" + authority.pem)
    assert sender.send(request_to(f"https://secure.invalid:{server.port}/")) == ok()


def test_a_secure_connection_is_kept(make: Make, serve: Serve, authority: Authority) -> None:
    """Requests over TLS share a connection, and a name with a final dot has the certificate of the name without."""
    server = serve(authority.answering)
    sender = make(resolve=lambda host, port: ["127.0.0.1"], authorities_pem=authority.pem)
    request = request_to(f"https://secure.invalid.:{server.port}/", method="POST", body=b"x" * 100_000)
    assert [sender.send(request) for _ in range(3)] == [ok()] * 3
    assert server.connects() == 1


@pytest.mark.parametrize("is_clean", [True, False])
def test_only_a_proper_end_ends_a_secure_answer(make: Make, serve: Serve, authority: Authority, is_clean: bool) -> None:
    """Over TLS a body without a length ends with the farewell of the server; whoever cuts the line makes no answer."""

    def ending(server: Server, connection: socket.socket) -> None:
        with authority.context.wrap_socket(connection, server_side=True) as secured:
            server.read(secured)
            secured.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")
            if is_clean:
                secured.unwrap()
            else:
                secured.shutdown(socket.SHUT_WR)

    server = serve(ending)
    sender = make(resolve=lambda host, port: ["127.0.0.1"], authorities_pem=authority.pem)
    reply = sender.send(request_to(f"https://secure.invalid:{server.port}/"))
    if is_clean:
        assert reply == HttpResponse(body=b"ok")
    else:
        assert isinstance(reply, Failure)
        assert not reply.is_certain


def test_another_name_is_not_trusted(make: Make, serve: Serve, authority: Authority) -> None:
    """The same certificate is not good for another name, and nothing was sent."""
    server = serve(authority.answering)
    sender = make(resolve=lambda host, port: ["127.0.0.1"], authorities_pem=authority.pem)
    reply = sender.send(request_to(f"https://other.invalid:{server.port}/"))
    assert reply == Failure(is_certain=True, detail="certificate not trusted")
    assert server.requests.qsize() == 0


def test_an_unknown_authority_is_not_trusted(make: Make, serve: Serve, authority: Authority) -> None:
    """Without the CA file the certificate is refused, and nothing was sent."""
    server = serve(authority.answering)
    reply = make(resolve=lambda host, port: ["127.0.0.1"]).send(request_to(f"https://secure.invalid:{server.port}/"))
    assert reply == Failure(is_certain=True, detail="certificate not trusted")
    assert server.requests.qsize() == 0


def test_a_plain_server_is_no_tls_server(make: Make, serve: Serve) -> None:
    """A server that answers a TLS hello in plain text is a failed handshake, and nothing was sent."""

    def plain(server: Server, connection: socket.socket) -> None:
        received_from(connection)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    reply = make().send(request_to(f"https://127.0.0.1:{serve(plain).port}/"))
    assert reply == Failure(is_certain=True, detail="TLS handshake failed")


def test_a_ca_file_without_certificates_is_refused() -> None:
    """A wrong file as CA file is noticed at the start, and no file is fine."""
    with pytest.raises(ValueError, match="no certificate"):
        certificates(b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ValueError, match="broken certificate"):
        certificates(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    assert certificates(b"") == ()
