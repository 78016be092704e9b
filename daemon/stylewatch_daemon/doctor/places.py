"""Checks of folders and disks: inboxes, outboxes, the state folder, the user and the daemon."""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.doctor.finding import Finding, Verdict, note, ok, problem
from stylewatch_daemon.errors import OutputError, SettingsError
from stylewatch_daemon.files import atomic, disk_space, mounts
from stylewatch_daemon.files.names import shortened, shown
from stylewatch_daemon.ingest import watcher
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.disk_need import need
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import Inbox, Pairing
from stylewatch_daemon.settings.style_library import check_default_style
from stylewatch_daemon.store import ledger
from stylewatch_daemon.store.state_dir import REASON, State

NAMED = 20
"""Damaged jobs that are named; the others are counted."""

_CANNOT_WRITE, _WRONG = 73, 78
_LOCKS = Path("/proc/locks")


def check(settings: ServiceSettings) -> Iterator[Finding]:
    """Yield the findings on the folders of `settings`; a missing folder is not created."""
    table = mounts.table()
    state = State(settings.state.path)
    daemon = _daemon(state.lock)
    yield daemon
    if daemon.verdict is Verdict.OK:
        yield from _file_events(state.root)
    yield from _user(state.root)
    for inbox in settings.inboxes:
        yield from _inbox(inbox, settings, table)
    for outbox in settings.outboxes:
        yield _outbox(outbox, settings, table)
    yield from _style_library(settings.pairing)
    yield _state(state.root, table)
    yield from _ledger(state.root / ledger.FILE_NAME)
    yield from _damaged_jobs(state)
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
    if health["observer"] is False:
        yield note(
            "file events",
            f"the daemon gets none in an inbox, scans it every {watcher.POLL_S:g} s, and tries "
            "events again every few minutes; `stylewatch status` says where and why",
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


def _inbox(inbox: Inbox, settings: ServiceSettings, table: str) -> Iterator[Finding]:
    what = f"inbox {inbox.path}"
    rights = os.R_OK | os.X_OK | (0 if inbox.after == "keep" else os.W_OK)
    if finding := _folder_problem(what, inbox.path, rights):
        yield finding
        return
    kind = mounts.kind_of(inbox.path, table)
    yield ok(what, f"on {kind or 'an unknown file system'}")
    yield _events(inbox.path, settings, kind)
    skipped = scan(inbox.path, settings.watch.ignore, settings.apart(inbox)).skipped
    if skipped:
        path, reason = min(skipped.items())
        more = f"; so are {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
        yield note(f"in {inbox.path}", f"{shortened(path)} is ignored: {reason}{more}")


def _events(folder: Path, settings: ServiceSettings, kind: str) -> Finding:
    """Check how new files in an inbox are noticed, with a file that is created there."""
    what, watch = f"events of {folder}", settings.watch
    scanned = f"it is scanned every {min(watch.rescan_s, watcher.POLL_S):g} s"
    if watch.polling == "yes":
        return ok(what, f"not used (watch.polling: yes); {scanned}")
    if not mounts.tells_events(folder, mounts.table()):
        reason = f"{kind} does not report changes by other machines"
        if watch.polling == "no":
            return note(what, f"{reason}: set watch.polling: auto, or new files are found late")
        return ok(what, f"{reason}; {scanned}")
    try:
        received = watcher.brings_events(folder)
    except OSError as error:
        return note(
            what,
            f"not available ({error.strerror}); {scanned}. Raise the limits with "
            "`sysctl fs.inotify.max_user_instances` and `...max_user_watches`",
        )
    if received:
        return ok(what, "working; a new file was noticed")
    missing = f"none came for a new file; {scanned}"
    return note(what, "not tried: no file can be created there" if received is None else missing)


def _outbox(folder: Path, settings: ServiceSettings, table: str) -> Finding:
    what = f"outbox {folder}"
    if finding := _folder_problem(what, folder, os.R_OK | os.W_OK | os.X_OK):
        return finding
    try:
        Outbox(folder, settings.outbox.sharing).probe()
    except OutputError as error:
        return problem(what, str(error), _CANNOT_WRITE)
    return ok(what, f"writable, on {mounts.kind_of(folder, table) or 'an unknown file system'}")


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
    kind = mounts.kind_of(folder, table)
    if mounts.is_remote(folder, table):
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


def _damaged_jobs(state: State) -> Iterator[Finding]:
    """Report the jobs that were set aside for a fault in their records, or one of the daemon."""
    damaged = state.set_aside()
    for job in damaged[:NAMED]:
        yield note(
            f"job {shown(job.job)}",
            f"it was set aside: {job.reason}. Drop its images again if you want the job; they are "
            f"in {shown(job.folder)} with a {REASON}; then remove that folder",
        )
    if len(damaged) > NAMED:
        yield note("jobs", f"{len(damaged) - NAMED} more were set aside, in {state.damaged}")


def _room(settings: ServiceSettings) -> Finding:
    """Check that the disks have room for a job with the default settings."""
    what = "room on the disks"
    needed = need(settings.job.resolve(*settings.recipes), settings.limits.max_pixels)
    outboxes = ((outbox, needed.outbox) for outbox in settings.outboxes)
    try:
        disk_space.check(
            [(settings.state.path, needed.state), *outboxes], settings.limits.free_bytes
        )
    except OutputError as error:
        return problem(what, str(error), _CANNOT_WRITE)
    return ok(what, "enough for a job")


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
