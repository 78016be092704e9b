"""The daemon's log on stderr: sentences for people, or one JSON object per line."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from stylewatch_daemon.settings.sections import Log

LOGGER = "stylewatch_daemon"
"""The parent of all loggers of the daemon."""


class Sentences(logging.Formatter):
    """`stylewatch: JOB: message`; with the trace of a fault at level debug."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line, and the trace."""
        job = getattr(record, "job", None)
        text = f"{job}: {record.getMessage()}" if job else record.getMessage()
        trace = getattr(record, "trace", "")
        wanted = trace and logging.getLogger(LOGGER).isEnabledFor(logging.DEBUG)
        return f"stylewatch: {text}\n{trace}".rstrip() if wanted else f"stylewatch: {text}"


class Objects(logging.Formatter):
    """`{"time": ..., "level": ..., "event": ..., "job": ..., "trace": ...}`, time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line of JSON; `job` and `trace` only where there are any."""
        plain = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "job": getattr(record, "job", None),
            "trace": getattr(record, "trace", None),
        }
        return json.dumps({key: value for key, value in plain.items() if value}, ensure_ascii=False)


class _Stderr(logging.Handler):
    """Write to the current stderr: a progress line replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(BrokenPipeError):  # the daemon continues though nobody reads its log
            print(self.format(record), file=sys.stderr, flush=True)


@contextmanager
def logging_as(settings: Log, *, quiet: bool) -> Iterator[logging.Logger]:
    """Yield the daemon's logger, set up by `settings`; `quiet` logs only errors."""
    logger, level = logging.getLogger(LOGGER), "error" if quiet else settings.level
    handler = _Stderr()
    handler.setFormatter(Objects() if settings.format == "json" else Sentences())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
