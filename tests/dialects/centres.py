"""What the dialect tests share: the dialects, an account, and message centres that answer from memory."""

import re
from collections.abc import Callable

from chappe.core.centre import (
    Call,
    FetchPrices,
    FetchTime,
    FindMessages,
    Instant,
    ListMessages,
    Outcome,
    Prices,
    Refusal,
    Refused,
    Reports,
    Submit,
)
from chappe.core.model import Account, Report, Secret, Service, Submission
from chappe.core.sessions import Authenticate, OpenAccess, Session
from chappe.dialects.base import Dialect, HttpRequest, HttpResponse, NorthFlow, Upstream, run
from chappe.dialects.native import NATIVE
from chappe.dialects.proovl import PROOVL
from chappe.dialects.smscentre import SMSCENTRE
from chappe.dialects.smsend import SMSEND
from chappe.dialects.smsfox import SMSFOX
from chappe.dialects.voipcom import VOIPCOM
from dialects.native_centre import answer_native

DIALECTS: tuple[Dialect, ...] = (SMSFOX, PROOVL, VOIPCOM, SMSEND, SMSCENTRE)
MIRRORED = (NATIVE, *DIALECTS)  # ours has no document but its own, and its north half is `listeners/native`

ACCOUNT = Account(id=1, name="alice", senders=("ACME",), numbers=("447700900001",))
PASSWORD = Secret("correct horse")
ACCESS = Session(user_key="1", key=Secret("0123456789abcdef"))
PRICE_MICROS = 50_000
NOW_MS = 1_795_278_000_000  # 2026-11-21T16:20:00Z


def upstream_of(dialect: Dialect, url: str = "", login: str = ACCOUNT.name, password: Secret = PASSWORD) -> Upstream:
    """Our account at a message centre that speaks this dialect."""
    session = {"user_key": Secret(ACCESS.user_key), "access_token": ACCESS.key} if dialect.south.log_in else {}
    return Upstream(url=url or dialect.south.default_url, login=login, password=password, session=session)


def flow_of(dialect: Dialect, request: HttpRequest) -> NorthFlow:
    """The flow that a listener starts for this request."""
    north, path = dialect.north, re.sub("//+", "/", request.path)
    begun = north.paths.get(request.path) or next(flow for root, flow in north.roots.items() if path.startswith(root))
    return begun(request)


def answer_north(dialect: Dialect, request: HttpRequest, centre: Callable[[Call], Outcome]) -> HttpResponse:
    """What the north half answers, with the size checked as every listener does before it starts a flow."""
    if dialect is NATIVE:
        return answer_native(request, centre)
    if len(request.body) > dialect.north.body_max:
        return dialect.north.refuse(Refused(Refusal.BAD_REQUEST))
    return run(flow_of(dialect, request), centre)


class ScriptedCentre:
    """Knows alice and her password; answers everything else as it was told, and remembers what it was asked."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.calls: list[Call] = []

    def __call__(self, call: Call) -> Outcome:
        self.calls.append(call)
        if isinstance(call, Authenticate):
            is_known = (call.name, call.secret) in ((ACCOUNT.name, PASSWORD), (ACCESS.user_key, ACCESS.key))
            return ACCOUNT if is_known else Refused(Refusal.UNAUTHORISED)
        if isinstance(call, OpenAccess):
            return ACCESS
        if isinstance(self.outcome, Report) and isinstance(call, FindMessages | ListMessages):
            return Reports(items=(self.outcome,), total=1)
        if isinstance(call, FetchPrices):
            return Prices(by_service=dict.fromkeys(Service, PRICE_MICROS))
        return Instant(NOW_MS) if isinstance(call, FetchTime) else self.outcome

    @property
    def submission(self) -> Submission | None:
        """The last submission that arrived."""
        return next((call.submission for call in reversed(self.calls) if isinstance(call, Submit)), None)
