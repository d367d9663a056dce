"""What this process asks of its machine: a folder for itself alone, bits nobody can guess, a patient interpreter."""

import fcntl
import gc
import os
from pathlib import Path

GARBAGE_THRESHOLD = 100_000  # allocations between young collections; the default of 700 cost seven percent here


class FolderUnusable(Exception):
    """The data folder cannot be this process's own; the message says why and what to do."""


def lock(file: Path) -> int:
    """Hold a data folder, through a file in it, for this process alone; the file's descriptor.

    The system lets go when the process ends, however it ends. Raises FolderUnusable.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FolderUnusable(f"cannot use the data folder {file.parent}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise FolderUnusable(
            f"another chappe serves {file.parent}; stop it, or choose another folder with --data"
        ) from None
    return descriptor


def tune_interpreter() -> None:
    """Collect less often: hardly anything here is ever part of a cycle."""
    gc.freeze()  # what the imports made stays; collections need not look at it
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)


class RandomBits:
    """Unpredictable bits, fetched by the page: asking the system for each id lets go of the interpreter each time."""

    PAGE = 4096  # bytes
    WORD = 4

    def __init__(self) -> None:
        self._words: list[int] = []

    def __call__(self, bits: int) -> int:
        """An integer of up to 32 random bits."""
        while True:
            try:
                return self._words.pop() >> (8 * self.WORD - bits)
            except IndexError:  # two threads make ids: whoever finds the page used up fetches another
                self._words = list(memoryview(os.urandom(self.PAGE)).cast("I"))
