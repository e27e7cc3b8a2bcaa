"""What the server tells of itself: log lines (structlog) and metrics (Prometheus).

A log line names rooms, clients, sites and stable ids. It never holds what people are called, say or where they are:
`withhold` blanks such fields by name, in the one chain that every line goes through. What the net sends in bulk is
logged at most once a second per source and class (`HostileLog`).
"""

import logging
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

WITHHELD = "[withheld]"
PERSONAL = frozenset({
    "address_of", "authorization", "body", "code", "comment", "cookie", "email", "full_name", "key", "label", "name",
    "name_en", "name_zh", "new_password", "old_password", "password", "person", "phone", "position", "reason_text",
    "sdp", "secret", "text", "token", "x_m", "y_m", "z_m",
})  # fmt: skip
"""Fields whose value never reaches the log, whoever passes it."""

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


MAX_TROUBLES = 200
LONGEST_FIELD = 500


@dataclass(frozen=True, slots=True)
class Trouble:
    """A line of the log that is a warning or worse."""

    at: str
    level: str
    event: str
    fields: dict[str, str]


TROUBLES: deque[Trouble] = deque(maxlen=MAX_TROUBLES)
"""The newest of this process, for people who cannot read its log; what the log withholds is withheld here too."""


# --- log ------------------------------------------------------------------------------------------------------------


def withhold(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: blank personal and secret fields, at any depth of dicts."""
    for field, value in event.items():
        if field in PERSONAL:
            event[field] = WITHHELD
        elif isinstance(value, dict):
            event[field] = withhold(_logger, _method, dict(value))
    return event


def one_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: control characters are escaped, so that nobody writes a line of their own."""
    for field, value in event.items():
        if isinstance(value, str) and field != "exception" and not value.isprintable():
            event[field] = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return event


def remember(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: keep warnings and errors for the page on the system."""
    if event.get("level") in ("warning", "error", "critical"):
        fields = {key: str(value)[:LONGEST_FIELD] for key, value in event.items() if key not in TOLD_APART}
        TROUBLES.append(Trouble(str(event.get("timestamp", "")), event["level"], str(event.get("event", "")), fields))
    return event


TOLD_APART = frozenset({"timestamp", "level", "event", "_record", "_from_structlog"})


def configure_log(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Set up structlog and send the library loggers through it. Context variables (room, client) go into each line."""
    stream = stream or sys.stderr
    console = format == "console" or (format == "auto" and stream.isatty())
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        withhold,
        one_line,
        remember,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    web_log = logging.getLogger("aiohttp.server")
    web_log.filters[:] = [BadRequestFilter()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Never more than warnings from libraries, whatever our own level: at `debug` a database driver writes every value
    # of every statement, and the access log writes the codes of one-time links.
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("aiohttp.access").setLevel(logging.CRITICAL)


class OncePerSecond:
    """Says whether a line may be written, and how many were held back before it. Pure; bounded to `max_keys`."""

    def __init__(self, interval_s: float = 1.0, max_keys: int = 4096) -> None:
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._last: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def admit(self, source: str, kind: str, now: float) -> int | None:
        """None: not now. Otherwise the number of lines of this source and class that were held back."""
        key = (source, kind)
        said_at, held = self._last.get(key, (-self._interval_s, 0))
        if now - said_at < self._interval_s:
            self._last[key] = (said_at, held + 1)
            return None
        self._last[key] = (now, 0)
        self._last.move_to_end(key)
        while len(self._last) > self._max_keys:
            self._last.popitem(last=False)
        return held


class BadRequestFilter(logging.Filter):
    """aiohttp logs every request it cannot parse as an error of ours, with a traceback. It is theirs: one short line a
    second, whoever sends them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._limiter = OncePerSecond()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        if self._limiter.admit("any", "http_malformed", self._clock()) is None:
            return False
        record.exc_info, record.exc_text = None, None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "A request that is not HTTP was refused: %s.", (type(error).__name__,)
        return True


class HostileLog:
    """For input from the net that is refused: one line a second per source and class, every one counted."""

    def __init__(self, metrics: "Metrics", clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._limiter = OncePerSecond()
        self._log = structlog.get_logger()

    def refused(self, source: str, kind: str, reason: str, **fields: object) -> None:
        """Count, and say why in a full sentence if nobody said so within the second."""
        self._metrics.refused.labels(kind).inc()
        held = self._limiter.admit(source, kind, self._clock())
        if held is not None:
            self._log.info("refused", source=source, kind=kind, reason=reason, held_back=held, **fields)


# --- metrics --------------------------------------------------------------------------------------------------------


class Metrics:
    """One registry per server (tests run many). Other parts register their own metrics on `registry`."""

    def __init__(self, *, process: bool = True) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "lamproom_http_requests_total", "HTTP requests answered", ("method", "route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "lamproom_http_request_seconds", "Time to answer an HTTP request, without WebSockets", ("method", "route"),
            buckets=REQUEST_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.refused = Counter(
            "lamproom_refused_total", "Input from the net that was refused, by class", ("kind",), registry=self.registry
        )
        self.logins = Counter(
            "lamproom_logins_total", "Attempts to log in, by outcome", ("outcome",), registry=self.registry
        )
        self.tokens = Counter(
            "lamproom_room_tokens_total", "Room tokens issued, by role", ("role",), registry=self.registry
        )
        self.ready = Gauge(
            "lamproom_ready", "1 if the named check of /-/ready passed when last asked", ("check",),
            registry=self.registry,
        )  # fmt: skip
        if process:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)

    def text(self) -> bytes:
        """Everything, in the Prometheus text format."""
        return generate_latest(self.registry)
