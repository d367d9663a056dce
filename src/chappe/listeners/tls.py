"""TLS for the listeners: a context from the operator's files, or a self-signed certificate for trying things out."""

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chappe.clock import Clock, SystemClock

CERTIFICATE_NAME = "localhost.crt"
KEY_NAME = "localhost.key"
VALID_DAYS = 365
CLOCK_SKEW = datetime.timedelta(days=1)


def server_context(certificate_path: Path, key_path: Path) -> ssl.SSLContext:
    """A server's TLS context (1.2 and newer) from PEM files: the certificate with its chain, and its key.

    Raises OSError when a file cannot be read, ssl.SSLError (an OSError too) when it is not PEM or the key does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate_path, key_path, password=refuse_password)
    return context


def refuse_password() -> str:
    """Encrypted keys are not supported: without this, OpenSSL would ask on the terminal and block."""
    raise ssl.SSLError("the key file is encrypted; chappe needs it without a passphrase")


def make_self_signed(folder: Path, clock: Clock | None = None) -> tuple[Path, Path]:
    """Write a certificate and key for localhost, 127.0.0.1 and ::1 into `folder`; returns (certificate path, key path).

    The folder is made if absent. The key file is readable by its owner only. Existing files are replaced.
    """
    now = datetime.datetime.fromtimestamp((clock or SystemClock()).now_ms() / 1000, datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed_certificate(key, now)
    folder.mkdir(parents=True, exist_ok=True)
    certificate_path, key_path = folder / CERTIFICATE_NAME, folder / KEY_NAME
    write_private(
        key_path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_path, key_path


def self_signed_certificate(key: ec.EllipticCurvePrivateKey, now: datetime.datetime) -> x509.Certificate:
    """A certificate for this machine only, signed with its own key, valid for a year from `now` (aware, any zone)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    here = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one that only its owner may read, at no moment readable by others."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
