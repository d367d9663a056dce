"""How secrets are kept: passwords only as a hash, what we must be able to say again (tokens, carrier passwords) sealed.

A password is hashed as Argon2id over its MD5 in lower-case hex, because clients of one provider may send that MD5
instead of the password (smscentre 1.2): the stored hash verifies both forms. MD5 adds no strength and takes none; the
work is Argon2id's. Their SHA-1 is compared with that of the sealed password, which callbacks need anyway.

Sealing is Fernet with one key for the whole gateway. Without a key (a database on another machine, and none set),
secrets are stored readable under a mark that says so, and `chappe check` tells.
"""

import hashlib
import hmac
import os
import re
import secrets
from functools import lru_cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet, InvalidToken

# At least OWASP's 19 MiB, two passes, one lane (reliability S2).
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
MD5_HEX = re.compile(r"[0-9A-Fa-f]{32}")

KEY_FILE = "secret.key"
SEALED = "fernet:"
PLAIN = "plain:"
OPENED_MAX = 20_000


def hash_password(password: str) -> str:
    """The form a password is stored in. Costs about 30 ms and 19 MiB."""
    return HASHER.hash(md5_hex(password))


def verify(password_hash: str, presented: str) -> bool:
    """Whether this is the password. Costs about 30 ms."""
    return is_hash_of(password_hash, md5_hex(presented))


def verify_digest(password_hash: str, password: str, presented: str) -> bool:
    """Whether this is the password, or its MD5 or SHA-1 in hexadecimal digits, of either case (smscentre 1.2).

    `password` is the unsealed one; empty = there is none, and no SHA-1 is right. Costs about 30 ms right or wrong;
    twice that only for what looks like an MD5.
    """
    is_sha1 = bool(password) and is_same(presented.lower(), sha1_hex(password))
    is_md5 = bool(MD5_HEX.fullmatch(presented)) and is_hash_of(password_hash, presented.lower())
    return is_md5 or verify(password_hash, presented) or is_sha1


def is_hash_of(password_hash: str, text: str) -> bool:
    try:
        return HASHER.verify(password_hash, text)
    except (VerificationError, InvalidHashError):
        return False


def md5_hex(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def sha1_hex(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def is_same(presented: str, right: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))


def key_digest(key: str) -> str:
    """What is kept of a key that nobody can guess, and found again by: SHA-256 in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class SealError(Exception):
    """A secret cannot be read, or the key is none; the message says what to do."""


class Sealer:
    """Makes secrets unreadable to whoever has only the database. `key` is a Fernet key; empty = none."""

    def __init__(self, key: str = "") -> None:
        self._key = key.encode("utf-8", "surrogatepass")
        try:
            self._fernet = Fernet(key) if key else None
        except ValueError:
            raise SealError(
                "the secret key is not one: it has 32 random bytes in URL-safe base64, such as Fernet.generate_key() "
                f"of the Python package cryptography makes, or a {KEY_FILE} of chappe"
            ) from None
        if self._fernet is not None:  # a directory is built anew with every change, from secrets that hardly change
            self._decrypt = lru_cache(OPENED_MAX)(self._fernet.decrypt)

    @classmethod
    def open(cls, key: str, folder: Path | None) -> "Sealer":
        """With the key that was set, else the one in the data folder (made where there is none), else without."""
        if key or folder is None:
            return cls(key)
        return cls(key_of(folder))

    @property
    def has_key(self) -> bool:
        return self._fernet is not None

    def seal(self, secret: str) -> str:
        """The form a secret is stored in. An empty one stays empty."""
        if not secret:
            return ""
        if self._fernet is None:
            return PLAIN + secret
        return SEALED + self._fernet.encrypt(secret.encode("utf-8", "surrogatepass")).decode()

    def unseal(self, sealed: str) -> str:
        """The secret. Raises SealError where it was sealed with a key that is not this one."""
        if not sealed:
            return ""
        if sealed.startswith(PLAIN):
            return sealed.removeprefix(PLAIN)
        if self._fernet is None:
            raise SealError(f"secrets in the database are sealed, but no key is set: set the one of their {KEY_FILE}")
        try:
            return self._decrypt(sealed.removeprefix(SEALED)).decode("utf-8", "surrogatepass")
        except InvalidToken:
            raise SealError(
                f"secrets in the database were sealed with another key: put back the {KEY_FILE} they were made with, "
                "or apply the gateway file again"
            ) from None

    def sign(self, text: str) -> str:
        """Hexadecimal digits that only whoever has the key can make of a text. Without a key they are worth no more
        than the text is secret."""
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def keeps(self, sealed: str, secret: str) -> bool:
        """Whether this secret is stored already, as well as this key can keep it."""
        if sealed.startswith(PLAIN) and self.has_key:
            return False
        try:
            stored = self.unseal(sealed)
        except SealError:
            return False
        return is_same(secret, stored)


def key_of(folder: Path) -> str:
    """The key in a folder; one is made, readable by its owner only, where there is none. Of two that make one at the
    same moment, the first wins, and nobody reads half a key."""
    path = folder / KEY_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = folder / f".{KEY_FILE}.{secrets.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
