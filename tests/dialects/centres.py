"""What the dialect tests share: the dialects, an account, and message centres that answer from memory."""

from collections.abc import Callable

from chappe.core.centre import Authenticate, Call, Outcome, Refusal, Refused, Submit
from chappe.core.model import Account, Secret, Submission
from chappe.dialects.base import Dialect, HttpRequest, HttpResponse, Upstream, run
from chappe.dialects.proovl import PROOVL
from chappe.dialects.smsfox import SMSFOX

DIALECTS: tuple[Dialect, ...] = (SMSFOX, PROOVL)

ACCOUNT = Account(id=1, name="alice", senders=("ACME",), numbers=("447700900001",))
PASSWORD = Secret("correct horse")


def upstream_of(dialect: Dialect, url: str = "", login: str = ACCOUNT.name, password: Secret = PASSWORD) -> Upstream:
    """Our account at a message centre that speaks this dialect."""
    return Upstream(url=url or dialect.south.default_url, login=login, password=password)


def answer_north(dialect: Dialect, request: HttpRequest, centre: Callable[[Call], Outcome]) -> HttpResponse:
    """What the north half answers, with the size checked as every listener does before it starts a flow."""
    if len(request.body) > dialect.north.body_max:
        return dialect.north.refuse(Refused(Refusal.BAD_REQUEST))
    return run(dialect.north.paths[request.path](request), centre)


class ScriptedCentre:
    """Knows alice and her password; answers everything else as it was told, and remembers what it was asked."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.calls: list[Call] = []

    def __call__(self, call: Call) -> Outcome:
        self.calls.append(call)
        if isinstance(call, Authenticate):
            is_known = (call.name, call.secret) == (ACCOUNT.name, PASSWORD)
            return ACCOUNT if is_known else Refused(Refusal.UNAUTHORISED)
        return self.outcome

    @property
    def submission(self) -> Submission | None:
        """The last submission that arrived."""
        return next((call.submission for call in reversed(self.calls) if isinstance(call, Submit)), None)
