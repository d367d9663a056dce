"""TLS on a socket that began in the clear: one port speaks both, to whoever begins with which."""

from asyncio import AbstractEventLoop, Protocol, Transport
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from ssl import SSLContext
from typing import Final

HANDSHAKE_RECORD: Final = 0x16  # the first octet of a TLS hello (RFC 8446 5.1)


class TlsLayer(SSLProtocol):
    """asyncio's TLS protocol between a socket and the protocol that would have had it in the clear.

    The one of the standard library, since it takes the bytes already read in a plain call, on any event loop.
    """

    max_size = 32 * 1024  # one TLS record and its framing; the default reserves 256 KiB per connection

    def __init__(
        self,
        front: Protocol,
        context: SSLContext,
        loop: AbstractEventLoop,
        *,
        handshake_s: float,
        linger_s: float,
        forget: Callable[[], None],
    ) -> None:
        super().__init__(
            loop,
            front,
            context,
            None,  # type: ignore[arg-type]  # nobody waits for the handshake
            server_side=True,
            ssl_handshake_timeout=handshake_s,  # type: ignore[arg-type]  # typeshed: int
            ssl_shutdown_timeout=linger_s,
        )
        self._forget = forget

    def take_over(self, transport: Transport, received: bytes) -> None:
        """Put this layer between `transport` and the front, beginning with the bytes that were read already.

        The front's `connection_made` is called again when TLS has been agreed. `forget` is called when the socket is
        gone, also after a handshake that failed, of which the front hears nothing else.
        """
        transport.pause_reading()
        transport.set_protocol(self)
        self.connection_made(transport)
        for start in range(0, len(received), self.max_size):
            piece = received[start : start + self.max_size]
            self.get_buffer(len(piece))[: len(piece)] = piece
            self.buffer_updated(len(piece))
        if not transport.is_closing():
            transport.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the front also about a handshake that failed, which the base class keeps to itself."""
        super().connection_lost(exc)
        self._forget()
