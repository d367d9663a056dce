"""Connections that stay, through the outbound door: judged, pinned and checked like those of HTTP."""

import asyncio
import socket
from collections.abc import Sequence
from threading import Event

import pytest

from chappe.networks import OPEN, Networks
from chappe.outbound import LINK_PORTS, Outbound, OutboundLimits, Resolver, Unsent, link_destination_of

LOOPBACK = Networks.parse("127.0.0.0/8")


class Hello(asyncio.Protocol):
    """Says one word, and keeps to whom."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer: str = transport.get_extra_info("peername")[0]
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport


def names(table: dict[str, list[str]]) -> Resolver:
    def resolve(host: str, port: int) -> Sequence[str]:
        if host not in table:
            raise socket.gaierror("no such name")
        return table[host]

    return resolve


def connected(
    host: str, table: dict[str, list[str]], networks: Networks = LOOPBACK, limits: OutboundLimits | None = None
) -> tuple[str, int]:
    """Where a connection to a name went or why there was none, and how many came to the server on 127.0.0.1."""

    async def story() -> tuple[str, int]:
        arrived = []
        server = await asyncio.start_server(lambda reader, writer: arrived.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        outbound = Outbound(networks, limits or OutboundLimits(), resolve=names(table))
        try:
            hello = await outbound.connect(f"smpp://{host}:{port}", Hello, timeout_s=5)
            hello.transport.abort()
            found = hello.peer
        except Unsent as unsent:
            found = str(unsent)
        finally:
            server.close()
            await outbound.close()
        for writer in arrived:
            writer.transport.abort()
        return found, len(arrived)

    return asyncio.run(story())


@pytest.mark.parametrize(
    "host, addresses, networks, found",
    [
        ("127.0.0.1", [], LOOPBACK, "127.0.0.1"),
        ("0x7f.1", [], LOOPBACK, "127.0.0.1"),
        ("carrier.invalid", ["127.0.0.1"], LOOPBACK, "127.0.0.1"),
        ("carrier.invalid", ["127.0.0.9", "127.0.0.1"], LOOPBACK, "127.0.0.1"),
        ("carrier.invalid", ["127.0.0.1"], Networks(), "forbidden network: loopback"),
        ("carrier.invalid", ["127.0.0.1", "10.0.0.1"], LOOPBACK, "forbidden network: private"),
        ("carrier.invalid", ["169.254.169.254"], OPEN, "forbidden network: cloud metadata"),
        ("carrier.invalid", ["fe80::1%lo"], OPEN, "not an address that can be pinned"),
        ("carrier.invalid", ["127.0.0.9"], LOOPBACK, "connection refused"),
        ("carrier.invalid", [], LOOPBACK, "the host name does not resolve"),
        ("other.invalid", ["127.0.0.1"], LOOPBACK, "the host name does not resolve"),
    ],
)
def test_every_address_is_judged(host: str, addresses: list[str], networks: Networks, found: str) -> None:
    """A name is resolved by us, one forbidden address refuses it, and the next address is tried where one is closed."""
    where, count = connected(host, {"carrier.invalid": addresses}, networks)
    assert where == found
    assert not count or where == "127.0.0.1"


@pytest.mark.parametrize(
    "url",
    [
        "http://a.invalid",
        "a.invalid:2775",
        "smpp://",
        "smpp://me@a.invalid",
        "smpp://a.invalid:0",
        "smpp://a.invalid:65536",
        "smpp://a.invalid/path",
        "smpp://a.invalid?x",
        "smpp://a b",
        "smpp://[::1",
        "smpp://fe80::1:2775",
    ],
)
def test_what_is_no_link_is_refused(url: str) -> None:
    """Only a scheme of ours, a host and a port are read; nothing else goes anywhere."""
    with pytest.raises(Unsent):
        link_destination_of(url)


@pytest.mark.parametrize("scheme, port, is_secure", [("smpp", 2775, False), ("smpps", 3550, True)])
def test_ports_are_those_of_the_registry(scheme: str, port: int, is_secure: bool) -> None:
    """Without a port the registered one is meant; port 2775 is forbidden to HTTP alone."""
    destination = link_destination_of(f"{scheme}://carrier.invalid")
    assert (destination.port, destination.is_secure, destination.host) == (port, is_secure, "carrier.invalid")
    assert LINK_PORTS[scheme] == port


def test_a_name_server_that_hangs_holds_nobody() -> None:
    """A name that is not resolved in time ends in time, and says so."""
    is_over = Event()

    def resolve(host: str, port: int) -> Sequence[str]:
        is_over.wait(60)
        return []

    async def story() -> str:
        outbound = Outbound(OPEN, resolve=resolve)
        try:
            await outbound.connect("smpp://carrier.invalid", Hello, timeout_s=0.05)
        except Unsent as unsent:
            return str(unsent)
        finally:
            is_over.set()
            await outbound.close()
        return ""

    assert asyncio.run(story()) == "timed out"


def test_a_closed_door_connects_nobody() -> None:
    """After the gateway has stopped nothing leaves any more."""

    async def story() -> None:
        outbound = Outbound(OPEN)
        await outbound.close()
        with pytest.raises(Unsent, match="closed"):
            await outbound.connect("smpp://127.0.0.1:2775", Hello, timeout_s=1)

    asyncio.run(story())
