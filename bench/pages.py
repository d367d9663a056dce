"""The first byte of every page and every list, with millions of messages in PostgreSQL; and the memory of an export.

The tables are filled by SQL, without the gateway: ninety days of messages over fifty accounts, with their entries,
tallies, callbacks and what phones wrote. Then chappe is started as a user starts it, an owner joins by the link that
it prints, and every GET page of the panel and of the native API is asked for again and again.
"""

import http.client
import re
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlencode

import psycopg

from alone import postgres_database
from chappe.core.ids import EPOCH_MS, RANDOM_BITS
from chappe.listeners.native.table import ENDPOINTS
from chappe.listeners.panel import ROUTES
from chappe.listeners.panel.frame import ROOT as PANEL
from measuring import Options, Row, Rows
from rig import PASSWORD, Gateway, Rig

API = "/v1"
REPETITIONS = 20
FIRST_BYTE_MAX_MS = 300.0
EXPORT_ROWS = 1_000_000
EXPORT_GROWTH_MAX_MB = 150.0
DAYS = 90
ACCOUNTS = 50
CARRIERS = 4
DAY_MS = 86_400_000
OWNER, OWNER_PASSWORD = "owner", "a long enough one"
PIECE = 1 << 16

# What fills the tables. `i` counts the messages, the oldest first; an account's share is the larger the smaller its
# number. The times are in milliseconds.
MESSAGES = f"""
INSERT INTO message (id, submission_id, account_id, dialect, reference, originator, recipient, text, segments,
    price_micros, service, priority, carrier_id, state, attempt, due_ms, expires_ms, final_ms, sent_ms, given, detail)
SELECT id, id, account_id, 'smsfox', CASE WHEN i % 10 = 0 THEN 'order ' || i ELSE '' END, 'ACME',
    '4477' || lpad((i * 7919 % 100000000)::text, 8, '0'), 'Your parcel ' || i || ' comes today between ten and twelve.',
    1 + i % 3 / 2, 10000 * (1 + i % 3 / 2), 'standard', 1, carrier_id, state, 1,
    CASE WHEN state = 'scheduled' THEN at_ms + 2592000000 ELSE at_ms END, at_ms + 5184000000,
    CASE WHEN state IN ('sent', 'queued', 'scheduled') THEN 0 ELSE at_ms + 4000 END,
    CASE WHEN state IN ('queued', 'scheduled', 'rejected') THEN 0 ELSE at_ms + 900 END, 'ref' || i, ''
FROM (SELECT i, at_ms, ((at_ms - {EPOCH_MS}) << {RANDOM_BITS}) + i * 7919 % {1 << RANDOM_BITS} AS id,
        1 + floor(power((i * 48271 % 99991) / 99991.0, 3) * {ACCOUNTS})::bigint AS account_id,
        1 + i % {CARRIERS} AS carrier_id,
        CASE WHEN %(count)s - i < 200 THEN 'scheduled' WHEN %(count)s - i < 30000 THEN 'sent'
            WHEN i % 40 < 2 THEN 'undeliverable' WHEN i % 40 = 2 THEN 'rejected' WHEN i % 400 = 3 THEN 'expired'
            WHEN i % 40000 = 4 THEN 'unknown' ELSE 'delivered' END AS state
    FROM (SELECT i, %(begin_ms)s::bigint + (i * {DAYS * DAY_MS}::numeric / %(count)s)::bigint AS at_ms
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i) AS times) AS drawn
"""
ENTRIES = """
INSERT INTO entry (source_id, phase, account_id, debit, credit, amount_micros, made_ms)
SELECT id, phase, account_id, debit, credit, price_micros, due_ms
FROM message,
    (VALUES ('reserve', 'available', 'reserved'), ('settle', 'reserved', 'revenue')) AS moved (phase, debit, credit)
WHERE state <> 'scheduled' AND (account_id = 1 OR due_ms > %(now_ms)s - 2592000000)
"""
CREDITS = "UPDATE entry SET amount_micros = 1000000000000 WHERE phase = 'credit'"
BALANCES = """
UPDATE balance SET available_micros = (SELECT coalesce(sum(CASE WHEN credit = 'available' THEN amount_micros ELSE 0 END
    - CASE WHEN debit = 'available' THEN amount_micros ELSE 0 END), 0) FROM entry
    WHERE entry.account_id = balance.account_id),
    reserved_micros = 0
"""
CALLBACKS = """
INSERT INTO callback (id, account_id, message_id, kind, dialect, payload, state, attempt, due_ms, status, made_ms,
    ended_ms, took_ms)
SELECT id + 9, account_id, id, 'receipt', 'smsfox', '{}', CASE WHEN id % 97 = 0 THEN 'failed' ELSE 'done' END, 1,
    final_ms, 200, final_ms, final_ms + 20, 20
FROM message WHERE final_ms > %(now_ms)s - 864000000
"""
INBOUND = """
INSERT INTO inbound (id, account_id, recipient, originator, text, carrier_id, received_ms)
SELECT id + 5, account_id, '447700900' || lpad(account_id::text, 3, '0'), recipient, 'Yes please', carrier_id, due_ms
FROM message WHERE id % 50 = 0
"""
TALLIES = """
INSERT INTO tally (span_s, start_ms, account_id, carrier_id, what, count, segments, amount_micros, lag_ms)
SELECT %(span_s)s, due_ms / (%(span_s)s * 1000) * %(span_s)s * 1000, account_id, carrier_id, what, count(*),
    sum(segments), sum(price_micros), count(*) * 900
FROM message, (VALUES ('accepted'), ('sent'), (NULL)) AS kinds (kind),
    LATERAL (SELECT coalesce(kind, state) AS what) AS named
WHERE due_ms > %(from_ms)s AND (kind IS NOT NULL OR final_ms > 0)
GROUP BY 1, 2, 3, 4, 5
ON CONFLICT DO NOTHING
"""
HAPPENINGS = """
INSERT INTO happening (message_id, id, made_ms, kind, carrier_id, attempt, words)
SELECT id, id + 1, due_ms, 'put_off', carrier_id, 1, 'try later' FROM message WHERE id % 200 = 0
"""
PORTION = 500_000  # messages in one statement


def pages(rig: Rig, options: Options) -> Rows:
    """The first byte of each page and list, with millions of messages in PostgreSQL, and the memory of an export"""
    with postgres_database() as database:
        if database:
            with rig.gateway(configuration(), database=database) as gateway:
                fill(database, options.pages)
                yield from visit_all(gateway, database)


def visit_all(gateway: Gateway, database: str) -> Rows:
    """Start a gateway on a filled database, and look at everything: as an owner, as a customer, and with an account's
    password over the native API."""
    yield Row("from start to first accepted message", gateway.start(), "s")
    known = newest_ids(database)
    owner = Visit(gateway, "owner", as_owner(gateway))
    customer = Visit(gateway, "customer", as_customer(gateway))
    key = Visit(gateway, "API", basic())
    for visit, paths in ((owner, panel_paths(known)), (customer, panel_paths(known)), (key, api_paths(known))):
        for path in paths:
            yield from visit.measure(path)
    yield from export(gateway, owner)


def configuration() -> str:
    carriers = "".join(f'[[carrier]]\nname = "sim{each}"\nkind = "simulated"\n\n' for each in range(CARRIERS))
    route = '[[route]]\nprefix = ""\ncarriers = ["sim0"]\nprice = "0.0100"\n\n'
    names = ["bench", *(f"account{each}" for each in range(2, ACCOUNTS + 1))]
    return (
        carriers
        + route
        + "".join(
            f'[[account]]\nname = "{name}"\npassword = "{PASSWORD}"\nbalance = "1000.00"\n'
            f'numbers = ["447700900{number:03}"]\n\n'
            for number, name in enumerate(names, 1)
        )
    )


def fill(database: str, count: int) -> None:
    """Write what ninety days would have left: the indexes are made afterwards, which is faster."""
    now_ms = int(time.time() * 1000)
    times = {"now_ms": now_ms, "begin_ms": now_ms - DAYS * DAY_MS, "count": count}
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("SET work_mem = '128MB'")
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef NOT LIKE '%UNIQUE%' "
            "AND tablename IN ('message', 'entry', 'callback', 'inbound')"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f'DROP INDEX "{name}"'.encode())
        for first in range(0, count, PORTION):
            last = min(first + PORTION, count) - 1
            connection.execute(sql(MESSAGES), times | {"first": first, "last": last})
            say(f"{last + 1:,} messages")
        connection.execute("ANALYZE message")
        for statement in (ENTRIES, CREDITS, BALANCES, CALLBACKS, INBOUND, HAPPENINGS):
            connection.execute(sql(statement), times)
        for span_s, from_ms in ((3600, 0), (60, now_ms - 2 * DAY_MS)):
            connection.execute(sql(TALLIES), {"span_s": span_s, "from_ms": from_ms})
        say("their entries, tallies, callbacks and answers")
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE")
        say("the indexes")


def sql(statement: str) -> bytes:
    """As the driver wants it: a percent sign that stands alone is written twice."""
    return statement.replace(" % ", " %% ").encode()


def say(what: str) -> None:
    print(f"   ... {what}", file=sys.stderr, flush=True)


def newest_ids(database: str) -> dict[str, str]:
    """What stands for the parameters of paths."""
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT id FROM message WHERE account_id = 1 ORDER BY id DESC LIMIT 1 OFFSET 500")
        row = found.fetchone()
        assert row is not None
    return {
        "message_id": str(row[0]),
        "id": str(row[0]),
        "account_id": "1",
        "account": "bench",
        "carrier": "sim0",
        "name": "bench",
        "number": "447700900001",
        "revision": "1",
    }


def filled(path: str, known: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: known.get(match.group(1), "1"), path)


def panel_paths(known: dict[str, str]) -> list[str]:
    """Every page, and the searches that have no index or the least luck."""
    plain = [filled(route.path, known) for route in ROUTES if route.method == "GET" and not route.is_open]
    searches: list[dict[str, str]] = [
        {"recipient": "447700007919"},
        {"recipient": "*7919"},
        {"id": known["message_id"]},
        {"id": "order 5000000"},
        {"state": "unknown"},
        {"account": "50", "state": "rejected"},
        {"carrier": "2", "test": "no"},
        {"before": str(int(known["message_id"]) // 2)},
    ]
    more = [f"/messages?{urlencode(each)}" for each in searches]
    more += [
        "/?period=hour",
        "/?period=month",
        "/callbacks?state=failed",
        f"/callbacks?message={known['message_id']}",
        "/inbound?sender=*79",
        "/ledger?account=1",
        "/scheduled?account=1",
    ]
    return [PANEL + path for path in (*plain, *more)]


def api_paths(known: dict[str, str]) -> list[str]:
    return [API + filled(each.path, known) for each in ENDPOINTS if each.method == "GET"]


# Who asks


def as_owner(gateway: Gateway) -> dict[str, str]:
    """The headers of an owner who joined by the link that `chappe serve` printed."""
    printed = re.search(r"https?://\S+(/panel/\S+)", gateway.log)
    if printed is None:
        raise RuntimeError("chappe serve printed no link for the first owner")
    fields = {"name": OWNER, "password": OWNER_PASSWORD, "again": OWNER_PASSWORD}
    return with_session(gateway.port, printed.group(1), fields)


def as_customer(gateway: Gateway) -> dict[str, str]:
    return with_session(gateway.port, f"{PANEL}/login", {"name": "bench", "password": PASSWORD})


def with_session(port: int, path: str, fields: dict[str, str]) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    answer = connection.getresponse()
    token = re.search(r'name="csrf" value="(\w+)"', answer.read().decode())
    cookies = cookies_of(answer)
    assert token is not None
    headers = {"cookie": cookies, "content-type": "application/x-www-form-urlencoded"}
    connection.request("POST", path, urlencode({"csrf": token.group(1), **fields}), headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 303:
        raise RuntimeError(f"{path}: no session, {answer.status}")
    return {"cookie": cookies_of(answer)}


def cookies_of(answer: http.client.HTTPResponse) -> str:
    given = answer.headers.get_all("set-cookie", [])
    return "; ".join(each.partition(";")[0] for each in given)


def basic() -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"bench:{PASSWORD}".encode()).decode()}


class Visit:
    """Somebody who asks for pages."""

    def __init__(self, gateway: Gateway, name: str, headers: dict[str, str]) -> None:
        self.gateway = gateway
        self._name = name
        self._headers = headers

    def measure(self, path: str) -> Iterator[Row]:
        """The median and the worst of some first bytes; nothing of pages that are not theirs."""
        status, _ = self.first_byte_ms(path)
        if status in (401, 403, 404):
            return
        times_ms = sorted(self.first_byte_ms(path)[1] for _ in range(REPETITIONS))
        name = f"{self._name} {path}" + (f" ({status})" if status != 200 else "")
        yield Row(name, statistics.median(times_ms), "ms", aim_max=FIRST_BYTE_MAX_MS)
        yield Row("   worst", times_ms[-1], "ms", aim_max=FIRST_BYTE_MAX_MS)

    def first_byte_ms(self, path: str) -> tuple[int, float]:
        """The status, and how long the first byte of the body took; the rest is not waited for."""
        answer, connection, began_s = self.ask(path)
        answer.read(1)
        took_ms = (time.monotonic() - began_s) * 1000
        connection.close()
        return answer.status, took_ms

    def ask(self, path: str) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection, float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=600)
        connection.connect()
        began_s = time.monotonic()
        connection.request("GET", path, headers=self._headers)
        return connection.getresponse(), connection, began_s


def export(gateway: Gateway, owner: Visit) -> Rows:
    """A million messages as CSV."""
    before_mb = gateway.processes.resident_mb
    answer, connection, began_s = owner.ask(f"{PANEL}/messages/export")
    size = rows_count = 0
    peak_mb = before_mb
    while rows_count < EXPORT_ROWS and (piece := answer.read(PIECE)):
        size += len(piece)
        rows_count += piece.count(b"\r\n")
        if rows_count // 50_000 != (rows_count - piece.count(b"\r\n")) // 50_000:
            peak_mb = max(peak_mb, gateway.processes.resident_mb)
    took_s = time.monotonic() - began_s
    connection.close()
    yield Row("rows exported", rows_count, "")
    yield Row("size of the file", size / 1e6, "MB")
    yield Row("rows exported a second", rows_count / took_s, "/s")
    yield Row("memory that the export added", peak_mb - before_mb, "MB", aim_max=EXPORT_GROWTH_MAX_MB)
