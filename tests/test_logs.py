"""The log: readable in two forms, and empty of secrets, texts and whole numbers, whoever wrote them into it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from chappe.logs import plain, redacted

# Every canary is something that must never be printed: a password, a message text, a phone number.
CANARIES = ("CANARY", "447700900123")


def logged(source: str, log_format: str = "json", level: str = "debug") -> str:
    """What a process that sets up its log and runs this source prints, on both outputs."""
    set_up = f"import chappe.logs, structlog, logging\nchappe.logs.set_up({log_format!r}, {level!r})\n"
    finished = subprocess.run(
        [sys.executable, "-c", set_up + source],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return finished.stdout + finished.stderr


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


TELLTALES = [
    # each of these tries to print a canary
    "structlog.get_logger().info('x', password='CANARY', api_token='CANARY', text='CANARY', Authorization='CANARY')",
    "structlog.get_logger().info('x', nested={'pwd': 'CANARY', 'list': [{'msg': 'CANARY'}]})",
    "structlog.get_logger().info('sent to 447700900123', recipient='+447700900123', many=['447700900123'])",
    "structlog.get_logger().info('x', address='http://h/?login=a&pwd=CANARY&msg=CANARY&to=447700900123')",
    "structlog.get_logger().info('x', header='Authorization: Bearer CANARY')",
    "structlog.get_logger().info('x', thing=type('T', (), {'__repr__': lambda s: 'CANARY'})())",
    "structlog.get_logger().info('x', error=ValueError('CANARY'))",
    "structlog.get_logger().info('x', **{'447700900123': 1})",
    "try:\n    canary = 'CANARY'\n    raise ValueError(canary)\nexcept ValueError:\n"
    "    structlog.get_logger().exception('x')",
    "try:\n    try:\n        raise KeyError('CANARY')\n    except KeyError as e:\n"
    "        raise ValueError('CANARY') from e\n"
    "except ValueError:\n    logging.getLogger('lib').exception('x')",
    "logging.getLogger('lib').warning('token=%s for %s', 'CANARY', '447700900123')",
    "import warnings; warnings.warn('call to 447700900123')",
    "raise ValueError('CANARY')",
    "import threading\nt = threading.Thread(target=lambda: int('CANARY')); t.start(); t.join()",
    "raise ExceptionGroup('CANARY', [ValueError('CANARY')])",
    *(
        f"import asyncio, uvloop\nasync def main():\n    asyncio.get_running_loop().call_soon(int, 'CANARY')\n"
        f"    await asyncio.sleep(0)\nasyncio.Runner(loop_factory={loop}).run(main())"
        for loop in ("asyncio.new_event_loop", "uvloop.new_event_loop")
    ),
    "import asyncio, gc\nasync def fail(): raise ValueError('CANARY')\nasync def main():\n"
    "    asyncio.create_task(fail())\n    for _ in range(3): await asyncio.sleep(0)\n    gc.collect()\n"
    "asyncio.run(main())",
]


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("source", TELLTALES)
def test_nothing_telling_is_printed(source: str, log_format: str) -> None:
    """Whatever is logged, raised or warned about: no secret, no text and no whole number reaches either output."""
    output = logged(source, log_format)
    assert output.strip()
    assert [canary for canary in CANARIES if canary in output] == []


def test_an_exception_is_placed() -> None:
    """An exception is logged as its chain of types with files and lines, the last one raised first."""
    source = (
        "def f():\n    {}['k']\ntry:\n    try:\n        f()\n    except KeyError as e:\n        raise OSError from e\n"
    )
    source += "except OSError:\n    structlog.get_logger().exception('it_broke', callback_id=7)"
    (event,) = events(logged(source))
    assert (event["event"], event["level"], event["callback_id"]) == ("it_broke", "error", 7)
    raised, cause = event["exception"].split(" <- ")
    assert raised.startswith("OSError ")
    assert cause.startswith("KeyError ")
    assert cause.endswith("<string>:4")


def test_libraries_log_in_the_same_form() -> None:
    """A record of the standard library's logging becomes an event like ours, with its logger's name."""
    (event,) = events(logged("logging.getLogger('uvicorn.error').warning('slow %d', 7)"))
    assert (event["event"], event["level"], event["logger"]) == ("slow 7", "warning", "uvicorn.error")
    assert event["timestamp"].endswith("Z")


def test_the_level_is_kept() -> None:
    """What is below the level is not printed, ours and the libraries' alike."""
    source = "structlog.get_logger().info('low'); logging.getLogger('lib').info('low')\n"
    assert logged(source, level="warning") == ""
    assert len(events(logged(source, level="info"))) == 2


def test_console_is_plain_where_no_terminal_is() -> None:
    """Without a terminal the console form has no colour codes."""
    output = logged("structlog.get_logger().warning('started', port=8080)", "console")
    assert "\x1b" not in output
    assert "started" in output
    assert "port=8080" in output


@pytest.mark.parametrize(
    "name, value, shown",
    [
        ("message_id", 7_300_000_000_000_123, 7_300_000_000_000_123),
        ("count", 12_345_678, 12_345_678),
        ("carrier", "acme", "acme"),
        ("password", "", ""),
        ("callback_key", "k3y", "***"),
        ("recipient", "447700900123", "4477******23"),
        ("state", None, None),
        ("pieces", (1, "two"), [1, "two"]),
    ],
)
def test_what_a_log_is_for_stays(name: str, value: object, shown: object) -> None:
    """Ids, counts and names are printed as they are; only what tells too much is not."""
    assert redacted(name, value) == shown


def test_everything_has_a_limit() -> None:
    """Long texts, long lists and deep nesting are cut, so that no event is larger than a page."""
    deep: list[object] = []
    deep.append(deep)
    assert len(plain("x" * 100_000)) == 1_000
    assert len(redacted("many", list(range(1_000)))) == 50
    assert redacted("deep", deep) == [[[["<list>"]]]]


def test_one_event_is_one_line() -> None:
    """Line breaks and control characters inside a value cannot forge a second event."""
    assert plain("a\nb\x1b[31mc\u2028d") == "a b [31mc d"
