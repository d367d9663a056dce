"""A connection to PostgreSQL that can be cut in the one moment that matters: after a commit, before its answer."""

import socket
import threading
from contextlib import suppress
from pathlib import Path

CHUNK_BYTES = 65_536
TIMEOUT_S = 30.0


class Proxy:
    """Listens on loopback and passes bytes on to a server's Unix socket, one thread per direction."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts_left = 0
        self.cuts_count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                for end in (client, server):
                    end.settimeout(TIMEOUT_S)
                self._is_committing = threading.Event()
                for pump in (self._pump_questions, self._pump_answers):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _pump_questions(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while question := client.recv(CHUNK_BYTES):
                if b"COMMIT" in question and self.cuts_left:
                    self._is_committing.set()
                server.sendall(question)
        close(client, server)

    def _pump_answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while answer := server.recv(CHUNK_BYTES):
                if self._is_committing.is_set():
                    self.cuts_left -= 1
                    self.cuts_count += 1
                    break
                client.sendall(answer)
        close(client, server)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def close(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
