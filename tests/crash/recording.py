"""What a process did to its database files and said to the world, in order, as `strace` saw it; and what a power cut at
any moment would have left of the files.

A write is safe once a later sync of its file has ended; until then each of its sectors may or may not have reached the
disk, whatever came before or after it. A file that was made is safe once its folder was synced. (Removing a file takes
effect at once here; the shared-memory file is never kept, for nothing ever syncs it.)
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SECTOR = 512  # bytes: what a disk writes whole or not at all
CALLS = "openat,pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync,ftruncate,unlink"
STRACE = ("strace", "-D", "-f", "-qq", "-y", "-xx", "-s", "1000000", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o")


class Write(NamedTuple):
    file: str
    offset: int
    octets: bytes


class Resize(NamedTuple):
    file: str
    size: int


class Make(NamedTuple):
    file: str


class Remove(NamedTuple):
    file: str


class Sync(NamedTuple):
    file: str


class SyncFolder(NamedTuple):
    pass


class Say(NamedTuple):
    """Bytes handed to a socket."""

    octets: bytes


Event = Write | Resize | Make | Remove | Sync | SyncFolder | Say

LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
UNFINISHED = " <unfinished ...>"
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
OPENED = re.compile(r"<((?:\\x[0-9a-f]{2})*)>")  # what a descriptor stands for
LAST_NUMBER = re.compile(r", (\d+)\) += \d+$")
FAILED = re.compile(r"\) += -1 ")


def read_events(trace: Path, folder: Path) -> Iterator[Event]:
    """What was said, and what concerns the files in a folder. Words count when a call begins, the rest when it ends."""
    begun: dict[str, str] = {}  # by thread
    with trace.open() as lines:
        for line in lines:
            found = LINE.match(line)
            if not found:
                continue
            thread, resumed, call, rest = found.groups()
            if resumed:
                yield from deeds_of(resumed, begun.pop(thread, "") + rest, folder)
                continue
            yield from words_of(call, rest)
            if rest.endswith(UNFINISHED):
                begun[thread] = rest.removesuffix(UNFINISHED)
            else:
                yield from deeds_of(call, rest, folder)


def words_of(call: str, arguments: str) -> Iterator[Say]:
    if call in ("write", "writev", "sendto", "sendmsg") and opened_of(arguments).startswith("socket:"):
        yield Say(b"".join(texts_of(arguments)))


def deeds_of(call: str, arguments: str, folder: Path) -> Iterator[Event]:
    if FAILED.search(arguments):
        return
    if call in ("openat", "unlink"):
        path = Path(texts_of(arguments)[0].decode())
        if path.parent == folder and (call == "unlink" or "O_CREAT" in arguments):
            yield Remove(path.name) if call == "unlink" else Make(path.name)
        return
    opened = Path(opened_of(arguments))
    if opened == folder:
        yield SyncFolder()
    elif opened.parent == folder:
        if call in ("fsync", "fdatasync"):
            yield Sync(opened.name)
        elif call == "pwrite64":
            yield Write(opened.name, last_number(arguments), texts_of(arguments)[0])
        elif call == "ftruncate":
            yield Resize(opened.name, last_number(arguments))


def opened_of(arguments: str) -> str:
    """What the first descriptor stands for: a path, or `socket:[...]`."""
    found = OPENED.search(arguments)
    return decoded(found[1]).decode() if found else ""


def texts_of(arguments: str) -> list[bytes]:
    return [decoded(text) for text in TEXT.findall(arguments)]


def last_number(arguments: str) -> int:
    found = LAST_NUMBER.search(arguments)
    assert found, arguments[-100:]
    return int(found[1])


def decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


class Disk:
    """The files of one folder as the events so far leave them; `cut` is what a power cut now would keep of them."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._safe = {name: bytearray(octets) for name, octets in files.items()}
        self._unsafe: dict[str, list[Write | Resize]] = {name: [] for name in files}
        self._made: set[str] = set()  # since the folder was synced

    def apply(self, event: Event) -> None:
        match event:
            case Make(file) if file not in self._safe:
                self._safe[file] = bytearray()
                self._unsafe[file] = []
                self._made.add(file)
            case Write(file) | Resize(file):
                self._unsafe[file].append(event)
            case Sync(file):
                for each in self._unsafe[file]:
                    change(self._safe[file], each)
                self._unsafe[file] = []
            case SyncFolder():
                self._made.clear()
            case Remove(file):
                self._safe.pop(file, None)
                self._unsafe.pop(file, None)
                self._made.discard(file)

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        files = {}
        kept_share = chance.choice((0.0, 0.5, 0.9, 1.0))
        for name, safe in self._safe.items():
            if name.endswith("-shm") or (name in self._made and chance.random() >= kept_share):
                continue
            octets = bytearray(safe)
            for each in self._unsafe[name]:
                for piece in pieces(each):
                    if chance.random() < kept_share:
                        change(octets, piece)
            files[name] = bytes(octets)
        return files


def pieces(one: Write | Resize) -> Iterator[Write | Resize]:
    """The parts of a write that reach the disk apart from each other."""
    if isinstance(one, Resize):
        yield one
        return
    start, end = one.offset, one.offset + len(one.octets)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield Write(one.file, start, one.octets[start - one.offset : stop - one.offset])
        start = stop


def change(octets: bytearray, one: Write | Resize) -> None:
    if isinstance(one, Resize):
        del octets[one.size :]
        octets.extend(bytes(one.size - len(octets)))
        return
    octets.extend(bytes(max(0, one.offset - len(octets))))
    octets[one.offset : one.offset + len(one.octets)] = one.octets
