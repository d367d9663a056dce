"""The desks that the panel and the native API ask, in one record: what `app.py` makes, their pages are handed."""

from collections.abc import Callable

from msgspec import Struct

from chappe.clock import Clock
from chappe.gateway.campaigns import CampaignDesk
from chappe.gateway.directory import Directory
from chappe.gateway.front import Front
from chappe.gateway.idempotency import AnswerDesk
from chappe.gateway.keys import KeyDesk
from chappe.gateway.overview import OverviewDesk
from chappe.gateway.people import PeopleDesk
from chappe.gateway.replay import ReplayDesk
from chappe.gateway.requests import RequestBook
from chappe.gateway.search import SearchDesk
from chappe.gateway.senders import SenderDesk
from chappe.gateway.simulator import SimulatorDesk
from chappe.gateway.statement import StatementDesk
from chappe.gateway.story import StoryDesk
from chappe.gateway.treasury import TreasuryDesk
from chappe.gateway.versions import VersionDesk
from chappe.gateway.waiting import WaitingDesk
from chappe.store.database import StoreError

Unavailable = StoreError  # what any desk raises where the database is away or full


class Desks(Struct, frozen=True, kw_only=True):
    """`front` answers contract calls as for every dialect; the others answer what only our own pages ask."""

    front: Front
    directory: Callable[[], Directory]
    clock: Clock
    people: PeopleDesk
    keys: KeyDesk
    answers: AnswerDesk
    overview: OverviewDesk
    search: SearchDesk
    replay: ReplayDesk
    statement: StatementDesk
    story: StoryDesk
    waiting: WaitingDesk
    versions: VersionDesk
    treasury: TreasuryDesk
    senders: SenderDesk
    is_blocked: Callable[[int, str, str], bool]  # whether an account must not write to a number under an originator
    is_up: Callable[[int], bool]  # whether a carrier can be reached from here now
    requests: RequestBook
    simulator: SimulatorDesk
    campaigns: CampaignDesk
    is_demo: bool = False
    api_rate: float = 500.0  # requests a second of the native API that each account may make; 0 = any number
