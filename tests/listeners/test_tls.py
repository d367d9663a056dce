"""The certificate made for trying things out, and the context made from files."""

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from chappe.listeners.tls import make_self_signed, server_context

NOW_MS = 1_900_000_000_000


class FixedClock:
    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_s(self) -> float:
        return 0.0


def test_the_certificate_names_this_machine_only(tmp_path: Path) -> None:
    """It is good for localhost and the loopback addresses, is no authority, and covers the present."""
    certificate_path, _ = make_self_signed(tmp_path, FixedClock())
    certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    starts_s, ends_s = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    assert starts_s < NOW_MS / 1000 < ends_s


def test_only_the_owner_reads_the_key(tmp_path: Path) -> None:
    """The key file has mode 0600, also when it replaces one that everybody could read."""
    loose = tmp_path / "new" / "localhost.key"
    loose.parent.mkdir()
    loose.write_text("old")
    loose.chmod(0o644)
    _, key_path = make_self_signed(tmp_path / "new")
    assert key_path == loose
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    assert key_path.read_text() != "old"


def test_the_context_is_a_server_of_tls_1_2_or_newer(tmp_path: Path) -> None:
    """Old protocol versions are not offered."""
    context = server_context(*make_self_signed(tmp_path))
    assert context.protocol is ssl.PROTOCOL_TLS_SERVER
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    """A mix-up of files fails when the context is made, not at the first client."""
    certificate_path, _ = make_self_signed(tmp_path / "one")
    _, key_path = make_self_signed(tmp_path / "two")
    with pytest.raises(ssl.SSLError):
        server_context(certificate_path, key_path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """A wrong path is told as such."""
    with pytest.raises(FileNotFoundError):
        server_context(tmp_path / "no.crt", tmp_path / "no.key")


def test_an_encrypted_key_is_refused_without_asking(tmp_path: Path) -> None:
    """A key with a passphrase never makes the process wait at a terminal."""
    certificate_path, key_path = make_self_signed(tmp_path)
    key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"passphrase")
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    with pytest.raises(ssl.SSLError, match="encrypted"):
        server_context(certificate_path, key_path)
