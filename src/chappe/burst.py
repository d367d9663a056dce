"""Writes of one turn of the event loop, sent one right behind the other at its end.

A write to a socket wakes its reader, and waking a process that has just gone back to sleep costs more than the write.
Answers become ready by the dozen, with the commit they waited for, each behind some computing of its own; sent back to
back they find their readers still awake. Measured on the whole path: a seventh of the processor time of a message.
"""

from asyncio import WriteTransport, get_running_loop


class Burst:
    """Holds writes until the callbacks that are ready now have run. For one event loop."""

    def __init__(self) -> None:
        self._writes: list[tuple[WriteTransport, bytes]] = []

    def put(self, transport: WriteTransport, octets: bytes) -> None:
        if not self._writes:
            get_running_loop().call_soon(self.flush)
        self._writes.append((transport, octets))

    def flush(self) -> None:
        """Send everything now: whoever is about to close a transport must, so that nothing is left behind."""
        writes, self._writes = self._writes, []
        for transport, octets in writes:
            if not transport.is_closing():
                transport.write(octets)
