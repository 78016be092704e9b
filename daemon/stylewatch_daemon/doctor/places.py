"""Checks of folders and disks: inboxes, outboxes, the state folder, the user and the daemon."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.doctor.finding import Finding, Verdict, note, ok, problem
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.names import shortened
from stylewatch_daemon.intake import watch
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.ledger import ledger
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.style_library import check_default_style

_CANNOT_WRITE, _WRONG = 73, 78
_ALL = os.R_OK | os.W_OK | os.X_OK


def check_daemon(settings: Config) -> Iterator[Finding]:
    """Report whether a daemon uses the state folder; OutputError if that cannot be read."""
    state = settings.state.path
    if status_json.is_at_work(state):
        health = (status_json.read(state) or status_json.nothing())["health"]
        yield ok("daemon", f"running, process {health.get('pid') or 'unknown'}")
    else:
        yield note("daemon", "not running; `stylewatch run` starts it")


def check_user(settings: Config) -> Iterator[Finding]:
    """Report if the state folder belongs to another user, whose permissions may differ."""
    state = settings.state.path
    if state.exists() and (owner := state.stat().st_uid) != os.geteuid():
        yield note(
            "user",
            f"the state folder belongs to user {owner}, and this is user {os.geteuid()}: "
            "these findings are for this user; run the doctor again as the daemon's user",
        )


def check_inboxes(settings: Config) -> Iterator[Finding]:
    """Check that each inbox can be used; report how new files are noticed, and what is ignored."""
    for inbox in settings.inboxes:
        rights = os.R_OK | os.X_OK | (0 if inbox.after == "keep" else os.W_OK)
        finding = _folder(f"inbox {inbox.path}", inbox.path, rights, "on")
        yield finding
        if finding.verdict is Verdict.OK:
            yield _events(inbox.path, settings)
            skipped = scan(inbox.path, settings.watch.ignore, settings.apart(inbox)).skipped
            if skipped:
                path, reason = min(skipped.items())
                more = f"; so are {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
                words = f"{shortened(path)} is ignored: {reason}{more}"
                yield note(f"in {inbox.path}", words)


def _events(folder: Path, settings: Config) -> Finding:
    """Describe how new files in an inbox are noticed."""
    what, rescan_s = f"events of {folder}", settings.watch.rescan_s
    reason = f"{disks.kind_of(folder, disks.table())} does not report changes by other machines"
    if settings.watch.events == "no":
        reason = "not used (watch.events: no)"
    if not watch.wants_events(folder, settings.watch.events):
        return ok(what, f"{reason}; it is scanned every {min(rescan_s, watch.SCAN_S):g} s")
    if not disks.tells_events(folder, disks.table()):
        late = f"or new files may be found {rescan_s:g} s late"
        return note(what, f"{reason}: set watch.events: auto, {late}")
    return ok(what, f"they wake the daemon; it scans every {rescan_s:g} s without them, too")


def check_outputs(settings: Config) -> Iterator[Finding]:
    """Check that each outbox and each finals folder can be written."""
    for outbox in settings.outboxes:
        yield _folder(f"outbox {outbox}", outbox, _ALL, probe=Outbox(outbox).probe)
    for finals in settings.finals:
        yield _folder(f"finals folder {finals}", finals, os.W_OK | os.X_OK)


def check_style_library(settings: Config) -> Iterator[Finding]:
    """Raise SettingsError if the default style is not in the library."""
    check_default_style(settings.pairing)
    yield from ()


def check_state(settings: Config) -> Iterator[Finding]:
    """Check that the state folder is on a local disk and can be written."""
    folder, table = settings.state.path, disks.table()
    what = f"state folder {folder}"
    if disks.is_remote(folder, table):
        kind = disks.kind_of(folder, table)
        words = f"it is on {kind}, where a ledger is not safe: set state.path to a local disk"
        yield problem(what, words, _WRONG)
    else:
        yield _folder(what, folder, _ALL, probe=StateDir(folder).probe)


def check_ledger(settings: Config) -> Iterator[Finding]:
    """Check that the ledger, if there is one, can be read and is intact."""
    path = StateDir(settings.state.path).ledger
    if not lexists(path):
        return
    try:
        with closing(ledger.opened(path)) as opened:
            opened.check()
    except OutputError as error:
        yield problem("ledger", str(error), _WRONG)
    else:
        yield ok("ledger", f"{path} is intact")


def check_room(settings: Config) -> Iterator[Finding]:
    """Check that the disks have the free space needed to start jobs; FullError if not."""
    folders = (settings.state.path, *settings.outboxes)
    disks.check([(folder, 0) for folder in folders], settings.limits.free_bytes)
    yield ok("room on the disks", "enough for a job to begin")


def _folder(
    what: str,
    folder: Path,
    rights: int,
    usable: str = "writable, on",
    probe: Callable[[], None] = lambda: None,
) -> Finding:
    """Check that `folder` grants the `rights` or can be created; `usable` words success.

    `probe` writes into an existing folder, and raises OSError if that fails.
    """
    around = (folder, *folder.absolute().parents)
    nearest = next(path for path in around if os.access(path, os.F_OK))
    if not nearest.is_dir():
        return problem(what, f"{nearest} is not a folder: move it away", _CANNOT_WRITE)
    if nearest != folder:
        rights |= os.W_OK  # to create it
    if not os.access(nearest, rights):
        words = f"this user may not write in {nearest}: change its owner or its permissions"
        return problem(what, words, _CANNOT_WRITE)
    if nearest != folder:
        return note(what, "missing; it is created at the start")
    try:
        probe()
    except OSError as error:
        reason = f"it cannot be written: {error.strerror}" if error.strerror else str(error)
        return problem(what, reason, _CANNOT_WRITE)
    kind = disks.kind_of(folder, disks.table()) or "an unknown file system"
    return ok(what, f"{usable} {kind}")
