"""What an intake process does in tests, in place of decoding; the name of a file says what."""

import os
import resource
import signal
import time
from collections.abc import Iterator

from stylewatch_daemon.ingest.inspection.contract import Begun, Fine, NotNow, Question, Verdict
from stylewatch_daemon.ingest.inspection.inspect import examine

LOOK = "tests.daemon.ingest.inspection.looks:look"


def look(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """Look, and do as the names say; some do so the first time only, and leave a sign."""
    for path in question.files:
        yield Begun(question.job, path.name)
        sign = path.with_suffix(".sign")
        if path.stem == "deadly" or (path.stem == "deadly once" and not sign.exists()):
            sign.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        elif path.stem == "endless" or (path.stem == "endless once" and not sign.exists()):
            sign.touch()
            time.sleep(1000)
        elif path.stem == "wasteful":
            bytearray(4 << 30)
        elif path.stem == "large":
            path.with_suffix(".filled").write_bytes(bytes(64 << 20))
        elif path.stem == "real":
            yield from examine(question)
            return
    yield Fine(question.job, ())


def first_without_descriptors(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """Look for real; the first process has no file descriptor to spare."""
    sign = question.files[0].with_suffix(".sign")
    if not sign.exists():
        sign.touch()
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
    yield from examine(question)
