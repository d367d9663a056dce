"""voip-communications.net API v2: form posts behind HTTP Basic, answered by a JSON log with an entry for each number.

Start reading at `north.py`. `facts.py` holds every word and code once; both halves read it, each in its direction.
"""

from chappe.dialects.base import Dialect, North, South
from chappe.dialects.voipcom.facts import BODY_MAX, RECIPIENTS_MAX, ROOT, SEND
from chappe.dialects.voipcom.north import refuse, serve, write_inbound
from chappe.dialects.voipcom.south import cancel, query, read_inbound, submit
from chappe.sms.segments import STANDARD

VOIPCOM = Dialect(
    name="voipcom",
    north=North(
        paths={ROOT + SEND: serve},
        roots={ROOT: serve},
        refuse=refuse,
        body_max=BODY_MAX,
        recipients_max=RECIPIENTS_MAX,
        counting=STANDARD,
        reported_states=frozenset(),
        inbound=write_inbound,
    ),
    south=South(
        default_url="https://voip-communications.net",
        submit=submit,
        query=query,
        cancel=cancel,
        inbound=read_inbound,
    ),
)
