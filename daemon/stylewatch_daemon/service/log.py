"""The daemon's log on stderr: sentences for people, or an object a line for programs."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from stylewatch_daemon.settings.sections import Log

OURS = "stylewatch_daemon"
"""The logger that all of the daemon's stand below."""


class Sentences(logging.Formatter):
    """`stylewatch: JOB: what happened`; a trace only where every detail is wanted."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the trace of a fault at level debug."""
        job = getattr(record, "job", None)
        text = f"{job}: {record.getMessage()}" if job else record.getMessage()
        trace = getattr(record, "trace", "")
        wanted = trace and logging.getLogger(OURS).isEnabledFor(logging.DEBUG)
        return f"stylewatch: {text}\n{trace}".rstrip() if wanted else f"stylewatch: {text}"


class Objects(logging.Formatter):
    """`{"time": ..., "level": ..., "event": ..., "job": ..., "trace": ...}`, time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON; `job` and `trace` where there are any."""
        plain = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "job": getattr(record, "job", None),
            "trace": getattr(record, "trace", None),
        }
        return json.dumps({key: value for key, value in plain.items() if value}, ensure_ascii=False)


class _Stderr(logging.Handler):
    """Writes to what is stderr at the time: a moving line takes that over while it stands."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(BrokenPipeError):  # a daemon goes on though nobody reads its log
            print(self.format(record), file=sys.stderr, flush=True)


@contextmanager
def logging_as(settings: Log, *, quiet: bool) -> Iterator[logging.Logger]:
    """The daemon's logger, set up as `settings` say; `quiet` leaves nothing but errors."""
    logger, level = logging.getLogger(OURS), "error" if quiet else settings.level
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
