"""Secrets at rest: passwords verify in both of their forms, sealed ones open with their key only."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from cryptography.fernet import Fernet

from chappe.gateway.secrets import KEY_FILE, Sealer, SealError, hash_password, key_of, verify, verify_digest

PASSWORD = "correct horse"
PASSWORD_MD5 = "3cb4e732631f47e6eb961f34554b7cde"  # by md5sum
PASSWORD_SHA1 = "2f9e53523b62abc141a2b4d6019d23cba835dbd0"  # by sha1sum
SHA1_OF_NOTHING = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
HASH = hash_password(PASSWORD)


@pytest.mark.parametrize(
    "presented, is_password, is_digest",
    [
        (PASSWORD, True, True),
        (PASSWORD_MD5, False, True),
        (PASSWORD_MD5.upper(), False, True),
        (PASSWORD_SHA1, False, True),
        (PASSWORD_SHA1.upper(), False, True),
        (PASSWORD_MD5[:-1] + "0", False, False),
        (PASSWORD_SHA1[:-1] + "f", False, False),
        (SHA1_OF_NOTHING, False, False),
        ("correct horsf", False, False),
        ("", False, False),
        (HASH, False, False),
        ("\ud800", False, False),
    ],
)
def test_a_password_verifies_as_itself_and_as_its_digests(presented: str, is_password: bool, is_digest: bool) -> None:
    """The password is taken always, its MD5 and SHA-1 in hex only where a dialect has it so, anything else never."""
    assert verify(HASH, presented) == is_password
    assert verify_digest(HASH, PASSWORD, presented) == is_digest


def test_a_password_that_is_not_kept_has_no_sha1() -> None:
    """Where only the hash of a password is known, the SHA-1 of nothing opens nothing."""
    assert not verify_digest(HASH, "", SHA1_OF_NOTHING)
    assert verify_digest(HASH, "", PASSWORD_MD5)


def test_only_the_key_signs() -> None:
    """The same key signs a text the same each time; another key, or another text, gives something else."""
    one, other = Sealer(Fernet.generate_key().decode()), Sealer(Fernet.generate_key().decode())
    assert one.sign("text") == one.sign("text")
    assert len({one.sign("text"), other.sign("text"), one.sign("texts"), Sealer().sign("text")}) == 4


@pytest.mark.parametrize("password", ["pä£word", "密码", "x" * 1000, "\ud800"])
def test_any_text_can_be_a_password(password: str) -> None:
    """Passwords of any script and length verify, even those that are no valid text."""
    assert verify(hash_password(password), password)


def test_what_is_no_hash_verifies_nothing() -> None:
    """A stored hash that is damaged or empty refuses everybody instead of failing."""
    assert not verify("", "")
    assert not verify("$argon2id$v=19$", PASSWORD)


def test_hashing_is_as_costly_as_promised() -> None:
    """Hashes are Argon2id with at least 19 MiB and two passes (reliability S2), each with its own salt."""
    parameters = extract_parameters(HASH)
    assert parameters.type is Type.ID
    assert parameters.memory_cost >= 19 * 1024
    assert parameters.time_cost >= 2
    assert hash_password(PASSWORD) != HASH


@pytest.mark.parametrize("secret", ["", "token", "plain:token", "fernet:x", "密码"])
@pytest.mark.parametrize("key", ["", Fernet.generate_key().decode()])
def test_what_was_sealed_opens(key: str, secret: str) -> None:
    """A sealed secret opens to itself, with a key and without."""
    sealed = Sealer(key).seal(secret)
    assert Sealer(key).unseal(sealed) == secret
    assert Sealer(key).keeps(sealed, secret)
    assert not Sealer(key).keeps(sealed, secret + "x")


def test_a_sealed_secret_does_not_show() -> None:
    """With a key, the stored form does not hold the secret; without one, it says that it is plain."""
    assert "token" not in Sealer(Fernet.generate_key().decode()).seal("token")
    assert Sealer().seal("token") == "plain:token"
    assert not Sealer().has_key


@pytest.mark.parametrize("other_key, words", [(Fernet.generate_key().decode(), "another key"), ("", "no key is set")])
def test_a_wrong_key_says_what_to_do(other_key: str, words: str) -> None:
    """A secret sealed with another key is not opened; the error names the remedy and not the secret."""
    sealed = Sealer(Fernet.generate_key().decode()).seal("token")
    with pytest.raises(SealError, match=f"{words}.*{KEY_FILE}") as raised:
        Sealer(other_key).unseal(sealed)
    assert "token" not in str(raised.value)
    assert not Sealer(other_key).keeps(sealed, "token")


def test_a_plain_secret_is_sealed_once_there_is_a_key() -> None:
    """A secret stored without a key opens with any, but is not kept as well as it could be."""
    sealed = Sealer().seal("token")
    sealer = Sealer(Fernet.generate_key().decode())
    assert sealer.unseal(sealed) == "token"
    assert not sealer.keeps(sealed, "token")


def test_a_key_that_is_none_is_refused() -> None:
    """A key of the wrong form is refused with words that do not repeat it."""
    with pytest.raises(SealError, match="32 random bytes") as raised:
        Sealer("letmein")
    assert "letmein" not in str(raised.value)


def test_the_key_file_is_made_once_and_is_private(tmp_path: Path) -> None:
    """The first opening makes a key that only its owner can read; later ones read the same."""
    folder = tmp_path / "new"
    sealed = Sealer.open("", folder).seal("token")
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert Sealer.open("", folder).unseal(sealed) == "token"
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_a_key_that_was_set_goes_before_the_file(tmp_path: Path) -> None:
    """With a key of its own a gateway makes no key file; without key and folder it has no key."""
    key = Fernet.generate_key().decode()
    assert Sealer(key).unseal(Sealer.open(key, tmp_path).seal("token")) == "token"
    assert list(tmp_path.iterdir()) == []
    assert not Sealer.open("", None).has_key


def test_whoever_comes_first_makes_the_key(tmp_path: Path) -> None:
    """Of several that open an empty folder at once, all get the same key."""
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(key_of, [tmp_path] * 8))) == 1
