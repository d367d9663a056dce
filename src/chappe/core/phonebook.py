"""What an account keeps besides messages: contacts and groups, the numbers it must not write to, its sender names, and
one-time codes under way. Records, and the calls of the contract about them."""

from enum import IntEnum, StrEnum

from msgspec import Struct

from chappe.core.centre import Call
from chappe.core.model import Account, Service


class Contact(Struct, frozen=True, kw_only=True):
    """A person. `details` is whatever else a dialect keeps about them, under its own names. What is left empty when a
    known one is changed stays as it was."""

    id: int = 0
    number: str = ""  # digits; may be empty where there is an e-mail address
    email: str = ""
    name: str = ""
    surname: str = ""
    details: dict[str, str] = {}
    group_ids: tuple[int, ...] = ()


class Group(Struct, frozen=True, kw_only=True):
    id: int = 0
    name: str
    description: str = ""
    contacts_count: int = 0


class Contacts(Struct, frozen=True, kw_only=True):
    items: tuple[Contact, ...]
    total: int


class Groups(Struct, frozen=True, kw_only=True):
    items: tuple[Group, ...]
    total: int


class PutContacts(Call, frozen=True, kw_only=True):
    """Add contacts, all or none. One whose number or e-mail address is known already is left alone, or with `updates`
    changed; with `keeps_groups` it stays in its groups too. A group that is not there is `not_found`, a number that is
    none `bad_recipient`, more than the account may have `forbidden`. -> Created, the ids of those that are new"""

    account: Account
    contacts: tuple[Contact, ...]
    updates: bool = False
    keeps_groups: bool = False


class FetchContact(Call, frozen=True):
    """-> Contact"""

    account: Account
    contact_id: int


class ListContacts(Call, frozen=True, kw_only=True):
    """By id. -> Contacts"""

    account: Account
    group_id: int = 0  # 0 = all
    offset: int = 0
    count_max: int = 10


class PutGroup(Call, frozen=True):
    """Make a group, or rename the one of this id. -> Created"""

    account: Account
    group: Group


class DeleteGroup(Call, frozen=True):
    """-> Done"""

    account: Account
    group_id: int
    deletes_contacts: bool = False


class ListGroups(Call, frozen=True, kw_only=True):
    """By id. -> Groups"""

    account: Account
    offset: int = 0
    count_max: int = 5


class SetMembership(Call, frozen=True):
    """-> Done"""

    account: Account
    group_id: int
    contact_id: int
    is_member: bool


class FetchMembers(Call, frozen=True):
    """The contacts of groups, named by name or id; each once. A group that is not there is `not_found`; more contacts
    than a submission may have are `too_many_recipients`. -> Contacts"""

    account: Account
    groups: tuple[str, ...]


class BlockOrigin(StrEnum):
    """Who put a number on the list."""

    API = "API"
    WEB = "WEB"
    STOP = "STOPSMS"


class Block(Struct, frozen=True, kw_only=True):
    """A number that an account must not write to, under one originator or (empty) any."""

    number: str  # digits
    originator: str = ""
    origin: BlockOrigin = BlockOrigin.API
    made_ms: int = 0


class Blocks(Struct, frozen=True, kw_only=True):
    items: tuple[Block, ...]
    total: int


class BlockNumbers(Call, frozen=True, kw_only=True):
    """All or none; a number that is none is `bad_recipient`. -> Done, how many are new on the list"""

    account: Account
    numbers: tuple[str, ...]  # as they were written
    origin: BlockOrigin = BlockOrigin.API


class BlockContacts(Call, frozen=True):
    """The numbers of contacts, all or none; an id that is not there is `not_found`. -> Done"""

    account: Account
    contact_ids: tuple[int, ...]


class UnblockNumbers(Call, frozen=True):
    """-> Done, how many were on the list"""

    account: Account
    numbers: tuple[str, ...]


class ListBlocks(Call, frozen=True, kw_only=True):
    """Newest first. -> Blocks"""

    account: Account
    number: str = ""
    origins: tuple[BlockOrigin, ...] = ()
    from_ms: int = 0
    to_ms: int = 1 << 62
    offset: int = 0
    count_max: int = 10


class AliasState(IntEnum):
    """How far a sender name is approved (smsend 4.10)."""

    UNCONFIRMED = 0
    CONFIRMED = 1
    CONFIRMED_BY_REGULATOR = 2
    BLOCKED = 3
    BLOCKED_BY_REGULATOR = 4
    PRECONFIRMED = 9


APPROVED = frozenset({AliasState.CONFIRMED, AliasState.CONFIRMED_BY_REGULATOR, AliasState.PRECONFIRMED})


class Alias(Struct, frozen=True, kw_only=True):
    """A sender name that an account asks for; the operator approves it. `details` is who vouches for it."""

    id: int = 0
    sender: str
    details: dict[str, str] = {}
    state: AliasState = AliasState.UNCONFIRMED


class Aliases(Struct, frozen=True, kw_only=True):
    items: tuple[Alias, ...]
    total: int


class PutAlias(Call, frozen=True):
    """-> Created, the id of the one that is there already where the account has this sender; one that fits on no phone
    is `bad_originator`"""

    account: Account
    alias: Alias


class FetchAlias(Call, frozen=True):
    """-> Alias"""

    account: Account
    alias_id: int


class ListAliases(Call, frozen=True, kw_only=True):
    """By id. -> Aliases"""

    account: Account
    hides_unapproved: bool = False
    offset: int = 0
    count_max: int = 10


class DeleteAlias(Call, frozen=True):
    """-> Done"""

    account: Account
    alias_id: int


class RequestPin(Call, frozen=True, kw_only=True):
    """Send a one-time code. `text` holds `mark` where the code goes; without it the code is put behind the text. A new
    code for the same recipient replaces the old one; too many in a short time are `throttled`. It lives for 1 minute to
    a day, else `bad_request`. What the submission is refused for, this is too. -> Accepted"""

    account: Account
    recipient: str  # as it was written
    originator: str = ""
    text: str
    mark: str
    lifetime_s: int
    service: Service = Service.STANDARD


class VerifyPin(Call, frozen=True, kw_only=True):
    """-> PinVerdict; `not_found` where no code is under way"""

    account: Account
    recipient: str
    pin: str


class PinVerdict(Struct, frozen=True, kw_only=True):
    """A right code is used up; after too many wrong ones (`tries_left` 0) it is too."""

    is_right: bool
    tries_left: int
