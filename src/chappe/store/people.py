"""People of the panel: users, the one-time links by which they become users, and their sessions.

Of links and session keys only digests are kept, of passwords only hashes: the tables are of no use to whoever reads
them. All of it is rare, so each item runs its own statements.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import TypeVar

from msgspec import Struct
from sqlalchemy import BigInteger, Integer, Text, bindparam, cast, delete, func, or_, select, update

from chappe.core.people import Role, User
from chappe.store.database import Database, Prepared, Row, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.schema import invitation, panel_session, panel_user

Item = TypeVar("Item")
Result = TypeVar("Result")

SESSIONS_MAX = 50  # of one person; beyond, the one that was used least recently goes
INVITATIONS_MAX = 200  # open at once
USERS_SHOWN_MAX = 1_000
FIRST_AUTHOR = ""  # who invites where nobody is there yet: its links are good only until somebody is


class Invitation(Struct, frozen=True, kw_only=True):
    """A link by which somebody becomes a user with this role."""

    digest: str
    role: Role
    account_id: int
    name: str  # what they will be called; empty = they choose
    author: str
    made_ms: int
    expires_ms: int


class Joining(Struct, frozen=True, kw_only=True):
    """A wish to use an invitation up and become a user."""

    digest: str
    name: str
    password_hash: str
    language: str
    now_ms: int


class Refusal(StrEnum):
    """Why nothing was done."""

    GONE = "gone"  # there is no such link (any more)
    NAME_TAKEN = "name taken"
    UNKNOWN = "unknown"
    LAST_OWNER = "last owner"
    TOO_MANY = "too many"


class UserChange(Struct, frozen=True, kw_only=True):
    """What a user is from now on. None = as before."""

    user_id: int
    role: Role | None = None
    account_id: int | None = None
    language: str | None = None
    password_hash: str | None = None
    is_active: bool | None = None


class PanelSession(Struct, frozen=True, kw_only=True):
    """Somebody who is logged in: a user, or (`user_id` 0) an account."""

    digest: str
    user_id: int
    account_id: int
    mark: str
    network: str
    made_ms: int
    used_ms: int


class SessionUse(Struct, frozen=True):
    digest: str
    used_ms: int


class SessionEnd(Struct, frozen=True, kw_only=True):
    """Ends one session of a person, or (`digest` empty) all but `kept_digest`. Where the mark of the kept one changes
    with the password, `mark` is the new one."""

    user_id: int
    account_id: int
    digest: str = ""
    kept_digest: str = ""
    mark: str = ""


class PeopleSweep(Struct, frozen=True, kw_only=True):
    """Forget sessions last used or made before these instants, and links that have run out."""

    used_before_ms: int
    made_before_ms: int
    now_ms: int


class Known(Struct, frozen=True):
    """A user with what their password is verified against."""

    user: User
    password_hash: str


USER_COLUMNS = (
    panel_user.c.id,
    panel_user.c.name,
    panel_user.c.role,
    panel_user.c.account_id,
    panel_user.c.language,
    panel_user.c.made_ms,
    panel_user.c.is_active,
    panel_user.c.password_hash,
)
SESSION_COLUMNS = tuple(panel_session.c[name] for name in PanelSession.__struct_fields__)
INVITATION_COLUMNS = tuple(invitation.c[name] for name in Invitation.__struct_fields__)


class People:
    """Verbs and questions. `join` tells the new user's id, `change` and `invite` why nothing was done, or None."""

    def __init__(self, database: Database) -> None:
        self.invite = Verb[Invitation, Refusal | None](4, each_alone(self._invite_one))
        self.withdraw = Verb[str, None](4, each_alone(self._withdraw_one))
        self.join = Verb[Joining, int | Refusal](4, each_alone(self._join_one))
        self.change = Verb[UserChange, Refusal | None](4, each_alone(self._change_one))
        self.open = Verb[PanelSession, None](4, each_alone(self._open_one))
        self.use = Verb[SessionUse, None](4, each_alone(self._use_one))
        self.end = Verb[SessionEnd, int](4, each_alone(self._end_one))
        self.sweep = Verb[PeopleSweep, None](4, each_alone(self._sweep_one))
        prepare = partial(Prepared, database)
        users = select(*USER_COLUMNS)
        self._users = prepare(users.order_by(panel_user.c.name).limit(constant(USERS_SHOWN_MAX)))
        self._user_by_id = prepare(users.where(panel_user.c.id == bindparam("wanted", type_=Integer)))
        self._user_by_name = prepare(users.where(panel_user.c.name == bindparam("wanted")))
        self._count_users = prepare(select(func.count()).select_from(panel_user))
        self._active_owners = prepare(
            select(panel_user.c.id)
            .where(panel_user.c.role == constant(Role.OWNER), panel_user.c.is_active == 1)
            .order_by(panel_user.c.id)
            .with_for_update()
        )
        self._insert_user = prepare(
            database.insert(panel_user)
            .values({column.name: bindparam(f"new_{column.name}") for column in USER_COLUMNS[1:]})
            .on_conflict_do_nothing()
            .returning(panel_user.c.id)
        )
        changed = {
            panel_user.c[name]: func.coalesce(cast(bindparam(f"new_{name}"), kind), panel_user.c[name])
            for name, kind in (
                ("role", Text()),
                ("account_id", BigInteger()),
                ("language", Text()),
                ("password_hash", Text()),
                ("is_active", BigInteger()),
            )
        }
        self._update_user = prepare(update(panel_user).where(panel_user.c.id == bindparam("wanted")).values(changed))
        invited = select(*INVITATION_COLUMNS)
        self._invitations = prepare(
            invited.where(invitation.c.expires_ms > bindparam("now")).order_by(invitation.c.made_ms.desc())
        )
        good = (invitation.c.digest == bindparam("wanted"), invitation.c.expires_ms > bindparam("now"))
        self._invitation = prepare(invited.where(*good))
        self._lock_invitation = prepare(invited.where(*good).with_for_update())
        self._insert_invitation = prepare(
            database.insert(invitation)
            .values({column.name: bindparam(f"new_{column.name}") for column in INVITATION_COLUMNS})
            .on_conflict_do_nothing()
        )
        self._delete_invitation = prepare(delete(invitation).where(invitation.c.digest == bindparam("wanted")))
        self._delete_first = prepare(delete(invitation).where(invitation.c.author == constant(FIRST_AUTHOR)))
        self._sweep_invitations = prepare(delete(invitation).where(invitation.c.expires_ms <= bindparam("now")))
        self._session = prepare(select(*SESSION_COLUMNS).where(panel_session.c.digest == bindparam("wanted")))
        own = (
            panel_session.c.user_id == bindparam("user", type_=BigInteger),
            panel_session.c.account_id == bindparam("account", type_=BigInteger),
        )
        self._sessions = prepare(select(*SESSION_COLUMNS).where(*own).order_by(panel_session.c.used_ms.desc()))
        self._insert_session = prepare(
            database.insert(panel_session)
            .values({column.name: bindparam(f"new_{column.name}") for column in SESSION_COLUMNS})
            .on_conflict_do_nothing()
        )
        kept = (
            select(panel_session.c.digest)
            .where(*own)
            .order_by(panel_session.c.used_ms.desc(), panel_session.c.digest)
            .limit(constant(SESSIONS_MAX))
        )
        self._trim_sessions = prepare(delete(panel_session).where(*own, panel_session.c.digest.not_in(kept)))
        self._use_session = prepare(
            update(panel_session)
            .where(panel_session.c.digest == bindparam("wanted"), panel_session.c.used_ms < bindparam("used"))
            .values(used_ms=bindparam("used"))
        )
        self._mark_session = prepare(
            update(panel_session)
            .where(*own, panel_session.c.digest == bindparam("wanted"))
            .values(mark=bindparam("as"))
        )
        self._end_session = prepare(delete(panel_session).where(*own, panel_session.c.digest == bindparam("wanted")))
        self._end_others = prepare(delete(panel_session).where(*own, panel_session.c.digest != bindparam("wanted")))
        self._sweep_sessions = prepare(
            delete(panel_session).where(
                or_(panel_session.c.used_ms < bindparam("used"), panel_session.c.made_ms < bindparam("made"))
            )
        )

    # Questions

    def users(self, transaction: Transaction) -> list[User]:
        return [known_of(row).user for row in transaction.rows(self._users)]

    def has_users(self, transaction: Transaction) -> bool:
        return bool(transaction.rows(self._count_users)[0][0])

    def user(self, transaction: Transaction, user_id: int) -> Known | None:
        return first(known_of, transaction.rows(self._user_by_id, wanted=user_id))

    def user_named(self, transaction: Transaction, name: str) -> Known | None:
        return first(known_of, transaction.rows(self._user_by_name, wanted=name))

    def invitation(self, transaction: Transaction, digest: str, now_ms: int) -> Invitation | None:
        """The link with this digest, while it is good."""
        found = first(invitation_of, transaction.rows(self._invitation, wanted=digest, now=now_ms))
        return None if found is not None and self._is_overtaken(transaction, found) else found

    def invitations(self, transaction: Transaction, now_ms: int) -> list[Invitation]:
        return [invitation_of(row) for row in transaction.rows(self._invitations, now=now_ms)]

    def session(self, transaction: Transaction, digest: str) -> tuple[PanelSession, Known | None] | None:
        """A session, with its user where it is one's."""
        found = first(session_of, transaction.rows(self._session, wanted=digest))
        if found is None:
            return None
        return found, self.user(transaction, found.user_id) if found.user_id else None

    def sessions(self, transaction: Transaction, user_id: int, account_id: int) -> list[PanelSession]:
        return [session_of(row) for row in transaction.rows(self._sessions, user=user_id, account=account_id)]

    def _is_overtaken(self, transaction: Transaction, one: Invitation) -> bool:
        """Whether it was for the first owner, and there is one."""
        return one.author == FIRST_AUTHOR and self.has_users(transaction)

    # Verbs

    def _invite_one(self, transaction: Transaction, one: Invitation, _is_repeat: bool) -> Refusal | None:
        transaction.run(self._sweep_invitations, now=one.made_ms)
        if len(self.invitations(transaction, one.made_ms)) >= INVITATIONS_MAX:
            return Refusal.TOO_MANY
        values = {f"new_{name}": getattr(one, name) for name in Invitation.__struct_fields__}
        transaction.run(self._insert_invitation, **values)
        return None

    def _withdraw_one(self, transaction: Transaction, digest: str, _is_repeat: bool) -> None:
        transaction.run(self._delete_invitation, wanted=digest)

    def _join_one(self, transaction: Transaction, one: Joining, is_repeat: bool) -> int | Refusal:
        """The hash has a salt of its own: a user with this very hash came of this very wish."""
        there = self.user_named(transaction, one.name)
        if is_repeat and there is not None and there.password_hash == one.password_hash:
            return there.user.id
        rows = transaction.rows(self._lock_invitation, wanted=one.digest, now=one.now_ms)
        invited = first(invitation_of, rows)
        if invited is None or self._is_overtaken(transaction, invited):
            return Refusal.GONE
        new = transaction.rows(
            self._insert_user,
            new_name=one.name,
            new_role=invited.role.value,
            new_account_id=invited.account_id,
            new_language=one.language,
            new_made_ms=one.now_ms,
            new_is_active=1,
            new_password_hash=one.password_hash,
        )
        if not new:
            return Refusal.NAME_TAKEN
        transaction.run(self._delete_invitation, wanted=one.digest)
        transaction.run(self._delete_first)
        return int(new[0][0])

    def _change_one(self, transaction: Transaction, one: UserChange, _is_repeat: bool) -> Refusal | None:
        owners = [row[0] for row in transaction.rows(self._active_owners)]
        leaves = (one.role is not None and one.role is not Role.OWNER) or one.is_active is False
        if leaves and owners == [one.user_id]:
            return Refusal.LAST_OWNER
        count = transaction.run(
            self._update_user,
            wanted=one.user_id,
            new_role=None if one.role is None else one.role.value,
            new_account_id=one.account_id,
            new_language=one.language,
            new_password_hash=one.password_hash,
            new_is_active=None if one.is_active is None else int(one.is_active),
        )
        return None if count else Refusal.UNKNOWN

    def _open_one(self, transaction: Transaction, one: PanelSession, _is_repeat: bool) -> None:
        values = {f"new_{name}": getattr(one, name) for name in PanelSession.__struct_fields__}
        transaction.run(self._insert_session, **values)
        transaction.run(self._trim_sessions, user=one.user_id, account=one.account_id)

    def _use_one(self, transaction: Transaction, one: SessionUse, _is_repeat: bool) -> None:
        transaction.run(self._use_session, wanted=one.digest, used=one.used_ms)

    def _end_one(self, transaction: Transaction, one: SessionEnd, _is_repeat: bool) -> int:
        whose = {"user": one.user_id, "account": one.account_id}
        if one.digest:
            return transaction.run(self._end_session, wanted=one.digest, **whose)
        if one.mark:
            transaction.run(self._mark_session, wanted=one.kept_digest, **whose, **{"as": one.mark})
        return transaction.run(self._end_others, wanted=one.kept_digest, **whose)

    def _sweep_one(self, transaction: Transaction, one: PeopleSweep, _is_repeat: bool) -> None:
        transaction.run(self._sweep_sessions, used=one.used_before_ms, made=one.made_before_ms)
        transaction.run(self._sweep_invitations, now=one.now_ms)


def each_alone(
    run_one: Callable[[Transaction, Item, bool], Result],
) -> Callable[[Transaction, Sequence[Item], bool], list[Result]]:
    """The batch form of a verb that is rare."""

    def run_many(transaction: Transaction, items: Sequence[Item], is_repeat: bool) -> list[Result]:
        return [run_one(transaction, one, is_repeat) for one in items]

    return run_many


def first(make: Callable[[Row], Result], rows: Sequence[Row]) -> Result | None:
    return make(rows[0]) if rows else None


def known_of(row: Row) -> Known:
    user_id, name, role, account_id, language, made_ms, is_active, password_hash = row
    user = User(
        id=user_id,
        name=name,
        role=Role(role),
        account_id=account_id,
        language=language,
        made_ms=made_ms,
        is_active=bool(is_active),
    )
    return Known(user, password_hash)


def session_of(row: Row) -> PanelSession:
    return PanelSession(**dict(zip(PanelSession.__struct_fields__, row, strict=True)))


def invitation_of(row: Row) -> Invitation:
    values = dict(zip(Invitation.__struct_fields__, row, strict=True))
    return Invitation(**{**values, "role": Role(values["role"])})
