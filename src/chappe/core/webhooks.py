"""Callbacks that whoever gets them can verify, by Standard Webhooks 1.0: a secret shared with each account, an id that
stays the same over all attempts, the instant, and a signature over the three and the body. Pure."""

import hmac
from base64 import b64decode, b64encode

from chappe.core.model import Secret

PREFIX = "whsec_"
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
SCHEME = "v1"
DERIVED_FROM = b"chappe webhook secret"
NAMES = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")


def octets_of(secret: str) -> bytes:
    """The key behind `whsec_` and base64. Raises ValueError for what is no secret of 24 to 64 bytes."""
    octets = b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    if not SECRET_BYTES_MIN <= len(octets) <= SECRET_BYTES_MAX:
        raise ValueError(f"is not {PREFIX} and {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes in base64")
    return octets


def written(octets: bytes) -> Secret:
    return Secret(PREFIX + b64encode(octets).decode())


def secret_of(own: Secret, token: Secret) -> Secret:
    """An account's secret: its own, else one that is made from its token, which nobody can make who has not that; empty
    where it has neither."""
    if own:
        return own
    if not token:
        return Secret("")
    return written(hmac.digest(token.value.encode("utf-8", "surrogatepass"), DERIVED_FROM, "sha256"))


def signature(secret: Secret, webhook_id: str, signed_s: int, body: bytes) -> str:
    """What stands in `webhook-signature`. Raises ValueError for a secret that is none."""
    content = f"{webhook_id}.{signed_s}.".encode() + body
    return f"{SCHEME},{b64encode(hmac.digest(octets_of(secret.value), content, 'sha256')).decode()}"


def is_signed(secret: Secret, webhook_id: str, signed: str, signatures: str, body: bytes) -> bool:
    """Whether one of several signatures, separated by blanks, is ours. How old it may be is for the caller to say."""
    if not signed.isascii() or not signed.isdigit() or len(signed) > 15:
        return False
    right = signature(secret, webhook_id, int(signed), body)
    return any(hmac.compare_digest(right.encode(), each.encode("utf-8", "replace")) for each in signatures.split())
