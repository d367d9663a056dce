"""Sets up the log of the whole process, ours and the libraries': one line per event, as text or as JSON, on stderr.

Strategy: everything, structlog's events and the standard library's records alike, passes through one redaction step
just before it is printed. That step trusts nobody: values under telling names are replaced, long digit runs (phone
numbers) are masked inside any text, objects show only their type, and exceptions only their types and places, because
an exception's message may quote what it stumbled over. Integers stay: ids and counts are what a log is for.
"""

import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog

from chappe.sms.numbers import mask

Event = MutableMapping[str, Any]

# A name is telling where one of its parts (split by everything but letters and digits) is among these.
TELLING = frozenset(
    {"authorization", "body", "cookie", "credentials", "form", "key", "message", "msg", "pass", "passwd", "password"}
    | {"psw", "pwd", "query", "secret", "session", "text", "token"}
)
HIDDEN = "***"
WHOLE_NUMBER = re.compile(r"[0-9]{7,}")
# `pwd=...`, `"token": "..."`, `Authorization: ...` inside a library's sentence; up to the end of the value or the line.
ASSIGNMENT = re.compile(
    rf"(?i)((?:[a-z0-9]+[_-])*(?:{'|'.join(sorted(TELLING))})(?:[_-][a-z0-9]+)*)([\"']?\s*[=:]\s*)[^&\n]+"
)
# asyncio ends its sentences with the objects concerned, and those print their arguments.
OBJECTS = re.compile(r"\s*[<(\n].*", re.S)

TALKATIVE = ("alembic", "asyncio")  # libraries that report what they do; heard from warnings on

TEXT_MAX = 1_000  # characters
ITEMS_MAX = 50
DEPTH_MAX = 4
CHAIN_MAX = 4  # exceptions behind one another
FRAMES_MAX = 12  # the innermost ones


def set_up(log_format: str, log_level: str, stream: TextIO | None = None) -> None:
    """Log in `console` or `json` form from this level on, to stderr unless told; uncaught exceptions too."""
    stream = stream or sys.stderr
    moment = structlog.processors.TimeStamper(fmt="iso", utc=True)
    level = structlog.processors.add_log_level
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[level, moment, shorten_foreign],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            place_exception,
            redact,
            renderer(log_format, stream),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log_level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.raiseExceptions = False  # where stderr is gone, logging would print the whole record to it
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            level,
            moment,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=True,
    )
    sys.excepthook = log_uncaught
    threading.excepthook = lambda thread: log_uncaught(thread.exc_type, thread.exc_value, thread.exc_traceback)


def renderer(log_format: str, stream: TextIO) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(serializer=lambda event, **_: msgspec.json.encode(event).decode())
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())


def log_uncaught(kind: type[BaseException], error: BaseException | None, _traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical("uncaught_exception", exc_info=error)


# Steps on the way to a line


def shorten_foreign(_logger: Any, _method: str, event: Event) -> Event:
    """A library's sentence without the objects that asyncio puts behind it."""
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    if record.name == "asyncio":
        event["event"] = OBJECTS.sub("", str(event["event"]))
    return event


def place_exception(_logger: Any, _method: str, event: Event) -> Event:
    """An exception becomes its types and places; the interpreter's own traceback would quote messages and source."""
    found = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if found is True:
        found = sys.exc_info()
    if isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        event["exception"] = " <- ".join(placed(found))
    return event


def placed(error: BaseException) -> list[str]:
    """Each exception of a chain, the last one raised first: its type, and where it came through, innermost last."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None and len(chain) < CHAIN_MAX:
        chain.append(" ".join([type(current).__qualname__, *places(current.__traceback__)]))
        following = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if following is None and isinstance(current, BaseExceptionGroup):
            following = current.exceptions[0]
        current = following
    return chain


def places(traceback: TracebackType | None) -> list[str]:
    found = []
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        found.append(f"{path.parent.name}/{path.name}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return found[-FRAMES_MAX:]


def redact(_logger: Any, _method: str, event: Event) -> Event:
    """The one place that decides what may be printed."""
    return {
        plain(str(name)): value if name in ("timestamp", "level") else redacted(str(name), value)
        for name, value in list(event.items())[:ITEMS_MAX]
    }


def redacted(name: str, value: Any, depth: int = 0) -> Any:
    """A value fit to be printed under this name."""
    if is_telling(name) and value not in (None, "", 0, False):
        return HIDDEN
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return plain(value)
        case Path():
            return plain(str(value))
        case BaseException() | type():
            return type(value).__qualname__ if isinstance(value, BaseException) else value.__qualname__
        case Mapping() if depth < DEPTH_MAX:
            pairs = list(value.items())[:ITEMS_MAX]
            return {plain(str(key)): redacted(str(key), inner, depth + 1) for key, inner in pairs}
        case list() | tuple() | set() | frozenset() if depth < DEPTH_MAX:
            return [redacted("", inner, depth + 1) for inner in list(value)[:ITEMS_MAX]]
    return f"<{type(value).__qualname__}>"


def is_telling(name: str) -> bool:
    parts = re.split(r"[^a-z0-9]+", name.lower())
    return not TELLING.isdisjoint(parts) and parts[-1] not in ("id", "ids", "count", "size", "max", "s", "ms")


def plain(text: str) -> str:
    """A text without what may not be printed, and on one line."""
    shown = ASSIGNMENT.sub(lambda found: found[1] + found[2] + HIDDEN, text[:TEXT_MAX])
    shown = WHOLE_NUMBER.sub(lambda found: mask(found[0]), shown)
    return "".join(character if character.isprintable() else " " for character in shown)
