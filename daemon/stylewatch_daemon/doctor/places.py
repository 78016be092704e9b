"""Checks of folders and disks: inboxes, outboxes, the state folder, the user and the daemon."""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.errors import OutputError, SettingsError
from stylewatch_daemon.doctor.finding import Finding, Verdict, note, ok, problem
from stylewatch_daemon.files import atomic, disks
from stylewatch_daemon.files.names import shortened
from stylewatch_daemon.intake import watch
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.ledger import ledger
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.sections import Inbox, Pairing
from stylewatch_daemon.settings.style_library import check_default_style

_CANNOT_WRITE, _WRONG = 73, 78
_LOCKS = Path("/proc/locks")


def check(settings: Config) -> Iterator[Finding]:
    """Yield the findings on the folders of `settings`; a missing folder is not created."""
    table = disks.table()
    state = StateDir(settings.state.path)
    daemon = _daemon(state.lock)
    yield daemon
    if daemon.verdict is Verdict.OK:
        yield from _file_events(state.root)
    yield from _user(state.root)
    for inbox in settings.inboxes:
        yield from _inbox(inbox, settings, table)
    for outbox in settings.outboxes:
        yield _outbox(outbox, settings, table)
    for folder in settings.finals:
        yield _finals(folder, table)
    yield from _style_library(settings.pairing)
    yield _state(state.root, table)
    yield from _ledger(state.ledger)
    yield _room(settings)


def _daemon(lock: Path) -> Finding:
    """Look for a daemon that holds `lock` in the kernel's table, without taking the lock."""
    try:
        inode = lock.stat().st_ino
        locks = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        locks, inode = [], 0
    pids = [parts[4] for parts in locks if "FLOCK" in parts and parts[5].endswith(f":{inode}")]
    if pids:
        return ok("daemon", f"running, process {pids[0]}")
    return note("daemon", "not running; `stylewatch run` starts it")


def _file_events(state: Path) -> Iterator[Finding]:
    """Report what the daemon last published of its file events."""
    health = (status_json.read(state) or status_json.nothing())["health"]
    if not health["events"]:
        yield note(
            "file events",
            f"the daemon gets none in an inbox, scans it every {watch.SCAN_S:g} s, and tries "
            "events again every minute; its log says where and why",
        )


def _user(state: Path) -> Iterator[Finding]:
    """Report where this user is not the daemon's, whose permissions differ."""
    try:
        owner = state.stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        yield note(
            "user",
            f"the state folder belongs to user {owner}, and this is user {os.geteuid()}: "
            "these findings are for this user; run the doctor again as the daemon's user",
        )


def _inbox(inbox: Inbox, settings: Config, table: str) -> Iterator[Finding]:
    what = f"inbox {inbox.path}"
    rights = os.R_OK | os.X_OK | (0 if inbox.after == "keep" else os.W_OK)
    if finding := _folder_problem(what, inbox.path, rights):
        yield finding
        return
    kind = disks.kind_of(inbox.path, table)
    yield ok(what, f"on {kind or 'an unknown file system'}")
    yield _events(inbox.path, settings, kind)
    skipped = scan(inbox.path, settings.watch.ignore, settings.apart(inbox)).skipped
    if skipped:
        path, reason = min(skipped.items())
        more = f"; so are {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
        yield note(f"in {inbox.path}", f"{shortened(path)} is ignored: {reason}{more}")


def _events(folder: Path, settings: Config, kind: str) -> Finding:
    """Say how new files in an inbox are noticed."""
    what, rescan_s = f"events of {folder}", settings.watch.rescan_s
    often = f"it is scanned every {min(rescan_s, watch.SCAN_S):g} s"
    if settings.watch.events == "no":
        return ok(what, f"not used (watch.events: no); {often}")
    reason = f"{kind} does not report changes by other machines"
    if not watch.wants_events(folder, settings.watch.events):
        return ok(what, f"{reason}; {often}")
    if not disks.tells_events(folder, disks.table()):
        late = f"or new files may be found {rescan_s:g} s late"
        return note(what, f"{reason}: set watch.events: auto, {late}")
    return ok(what, f"they wake the daemon; it scans every {rescan_s:g} s without them, too")


def _outbox(folder: Path, settings: Config, table: str) -> Finding:
    what = f"outbox {folder}"
    if finding := _folder_problem(what, folder, os.R_OK | os.W_OK | os.X_OK):
        return finding
    try:
        Outbox(folder).probe()
    except OutputError as error:
        return problem(what, str(error), _CANNOT_WRITE)
    return ok(what, f"writable, on {disks.kind_of(folder, table) or 'an unknown file system'}")


def _finals(folder: Path, table: str) -> Finding:
    """Check that links to final images can be made in `folder`."""
    what = f"finals folder {folder}"
    if finding := _folder_problem(what, folder, os.W_OK | os.X_OK):
        return finding
    return ok(what, f"writable, on {disks.kind_of(folder, table) or 'an unknown file system'}")


def _style_library(pairing: Pairing) -> Iterator[Finding]:
    """Report a default style that is not in the library."""
    try:
        check_default_style(pairing)
    except SettingsError as error:
        yield problem("style library", str(error), error.exit_code)
    except OSError as error:
        words = f"{pairing.styles} cannot be read: {error.strerror}"
        yield problem("style library", words, SettingsError.exit_code)


def _state(folder: Path, table: str) -> Finding:
    what = f"state folder {folder}"
    kind = disks.kind_of(folder, table)
    if disks.is_remote(folder, table):
        words = f"it is on {kind}, where a ledger is not safe: set state.path to a local disk"
        return problem(what, words, _WRONG)
    if finding := _folder_problem(what, folder, os.R_OK | os.W_OK | os.X_OK):
        return finding
    probe = folder / f".doctor-{secrets.token_hex(8)}"
    try:
        atomic.write(probe, b"can this be written?")
        probe.unlink()
    except OSError as error:
        return problem(what, f"it cannot be written: {error.strerror}", _CANNOT_WRITE)
    return ok(what, f"writable, on {kind or 'an unknown file system'}")


def _ledger(path: Path) -> Iterator[Finding]:
    """Check that the ledger, where there is one, can be read and is intact."""
    if not lexists(path):
        return
    try:
        with closing(ledger.opened(path)) as opened:
            opened.check()
    except OutputError as error:
        yield problem("ledger", str(error), _WRONG)
    else:
        yield ok("ledger", f"{path} is intact")


def _room(settings: Config) -> Finding:
    """Check that the disks have the free space without which no job begins."""
    what, folders = "room on the disks", (settings.state.path, *settings.outboxes)
    try:
        disks.check([(folder, 0) for folder in folders], settings.limits.free_bytes)
    except OutputError as error:
        return problem(what, str(error), _CANNOT_WRITE)
    return ok(what, "enough for a job to begin")


def _folder_problem(what: str, folder: Path, rights: int) -> Finding | None:
    """Return the problem with `folder`, which must grant `rights`; None if there is none."""
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
    return None
