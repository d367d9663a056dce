"""Who is asking, and how they prove it: calls of the contract that only applications of the north make."""

from enum import StrEnum

from msgspec import Struct

from chappe.core.centre import Call
from chappe.core.model import Account, Secret


class Proof(StrEnum):
    """What kind of secret goes with a name."""

    PASSWORD = "password"
    DIGEST = "digest"  # the password, or its MD5 or SHA-1 in hexadecimal digits (smscentre 1.2)
    SMPP_PASSWORD = "smpp_password"  # the short one of binds (4.1), where the account has one; else the password
    API_KEY = "api_key"  # the account's key alone; the name may be empty
    SESSION = "session"  # a session key; the name is the user key it was given with
    ACCESS_TOKEN = "access_token"  # likewise, but without an end


class Authenticate(Call, frozen=True):
    """Who is asking? The network they ask from is added by the listener. -> Account

    A session lives as long as it is used; `renews=False` only looks whether it does. A user key that nobody has is
    refused as `not_found`, everything else that is wrong as `unauthorised`.
    """

    name: str
    secret: Secret
    proof: Proof = Proof.PASSWORD
    renews: bool = True


class Session(Struct, frozen=True, kw_only=True):
    """What later calls prove themselves with: ASCII letters and digits both."""

    user_key: str
    key: Secret


class OpenSession(Call, frozen=True):
    """-> Session, which ends after 5 minutes without a call (smsend 4.2)"""

    account: Account


class OpenAccess(Call, frozen=True):
    """-> Session, whose key is an access token: the same each time until the password changes (smsend 4.2)"""

    account: Account


class ChangePassword(Call, frozen=True):
    """-> Done"""

    account: Account
    password: Secret
