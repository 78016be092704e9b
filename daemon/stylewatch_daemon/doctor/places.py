"""The doctor's look at folders and disks: inboxes, outboxes, the state folder, and who is there."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.doctor.finding import Finding, mend, note, ok
from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import atomic, disk_space, mounts
from stylewatch_daemon.files.names import shortened, shown
from stylewatch_daemon.ingest import watcher
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.disk_need import need
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.store import ledger
from stylewatch_daemon.store.state import REASON, State

NAMED = 20
"""How many of the jobs that were set aside the doctor names."""

_CANNOT_WRITE, _WRONG = 73, 78
_LOCKS = Path("/proc/locks")


def look(settings: ServiceSettings) -> Iterator[Finding]:
    """All that can be said of the folders of `settings`; nothing is made that is not there yet."""
    table = mounts.table()
    here = daemon(State(settings.state.path).lock)
    yield here
    if here.verdict == "ok":
        yield from _said(settings.state.path)
    yield from _whose(settings.state.path)
    for inbox in settings.inboxes:
        yield from _inbox(inbox, settings, table)
    for outbox in settings.outboxes:
        yield _outbox(outbox, settings, table)
    yield _state(settings.state.path, table)
    yield from _ledger(settings.state.path / ledger.FILE_NAME)
    yield from _set_aside(State(settings.state.path))
    yield _room(settings)


def daemon(lock: Path) -> Finding:
    """Whether a daemon holds `lock`; the kernel tells, so that nobody is kept out by asking."""
    try:
        inode = lock.stat().st_ino
        held = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        held, inode = [], 0
    pids = [parts[4] for parts in held if "FLOCK" in parts and parts[5].endswith(f":{inode}")]
    if pids:
        return ok("daemon", f"one is at work here, process {pids[0]}")
    return note("daemon", "none is at work here; `stylewatch run` starts one")


def _said(state: Path) -> Iterator[Finding]:
    """What the daemon last said of the file events that it gets."""
    health = (status_json.read(state) or status_json.nothing())["health"]
    if health["observer"] is False:
        yield note(
            "file events",
            f"the daemon gets none in an inbox, scans it every {watcher.POLL_S:g} s, and tries "
            "events again every few minutes; `stylewatch status` says where and why",
        )


def _inbox(inbox: InboxSettings, settings: ServiceSettings, table: str) -> Iterator[Finding]:
    what = f"inbox {inbox.path}"
    rights = os.R_OK | os.X_OK | (0 if inbox.after == "keep" else os.W_OK)
    trouble = _trouble(inbox.path, rights)
    if trouble is not None:
        yield trouble(what)
        return
    kind = mounts.kind_of(inbox.path, table)
    yield ok(what, f"on {kind or 'a file system that is not told'}")
    yield _events(inbox.path, settings, kind)
    yield from _left(inbox, settings)


def _left(inbox: InboxSettings, settings: ServiceSettings) -> Iterator[Finding]:
    """What in the inbox is left alone, the first of it by name."""
    left = scan(inbox.path, settings.watch.ignore, settings.apart(inbox)).left
    if left:
        path, why = min(left.items())
        more = f"; so are {len(left) - 1:,} more" if len(left) > 1 else ""
        yield note(f"in {inbox.path}", f"{shortened(path)} is left alone: {why}{more}")


def _events(folder: Path, settings: ServiceSettings, kind: str) -> Finding:
    """How we would hear of what is dropped."""
    what = f"events of {folder}"
    looked = f"it is looked through every {min(settings.watch.rescan_s, watcher.POLL_S):g} s"
    if settings.watch.polling == "yes":
        return ok(what, f"none are asked for (watch.polling: yes); {looked}")
    if mounts.tells_events(folder, mounts.table()):
        return _heard(folder, what, looked)
    told = f"{kind} does not tell of what other machines do"
    if settings.watch.polling == "no":
        return note(what, f"{told}: set watch.polling: auto, or drops are found late")
    return ok(what, f"{told}; {looked}")


def _heard(folder: Path, what: str, looked: str) -> Finding:
    """Whether events come where they should."""
    try:
        heard = watcher.hears(folder)
    except OSError as error:
        return note(
            what,
            f"none can be had ({error.strerror}); {looked}. "
            "`sysctl fs.inotify.max_user_instances` and `...max_user_watches` raise the limits",
        )
    if heard:
        return ok(what, "a file that was made there was heard of")
    if heard is None:
        return note(what, "not tried: no file can be made there")
    return note(what, f"none came of a file that was made there; {looked}")


def _outbox(folder: Path, settings: ServiceSettings, table: str) -> Finding:
    what = f"outbox {folder}"
    trouble = _trouble(folder, os.R_OK | os.W_OK | os.X_OK)
    if trouble is not None:
        return trouble(what)
    try:
        Outbox(folder, settings.outbox.sharing).probe()
    except OutputError as error:
        return mend(what, str(error), _CANNOT_WRITE)
    return ok(what, f"can be written, on {mounts.kind_of(folder, table) or 'some file system'}")


def _state(folder: Path, table: str) -> Finding:
    what = f"state folder {folder}"
    kind = mounts.kind_of(folder, table)
    if mounts.is_remote(folder, table):
        words = f"it lies on {kind}, where a ledger is not safe: set state.path to a local disk"
        return mend(what, words, _WRONG)
    trouble = _trouble(folder, os.R_OK | os.W_OK | os.X_OK)
    if trouble is not None:
        return trouble(what)
    mark = folder / f".doctor-{secrets.token_hex(8)}"
    try:
        atomic.write(mark, b"can this be written?")
        mark.unlink()
    except OSError as error:
        return mend(what, f"it cannot be written: {error.strerror}", _CANNOT_WRITE)
    return ok(what, f"can be written, on {kind or 'some file system'}")


def _ledger(path: Path) -> Iterator[Finding]:
    """Whether the ledger, once there is one, can be read and holds together."""
    if not lexists(path):
        return
    try:
        with closing(ledger.opened(path)) as opened:
            opened.check()
    except OutputError as error:
        yield mend("ledger", str(error), _WRONG)
    else:
        yield ok("ledger", f"{path} holds together")


def _set_aside(state: State) -> Iterator[Finding]:
    """The jobs that a fault in their records, or one of ours, keeps from being painted."""
    aside = state.set_aside()
    for one in aside[:NAMED]:
        yield note(
            f"job {shown(one.job)}",
            f"it was set aside: {one.reason}. Drop its pictures again, which lie in "
            f"{shown(one.folder)} with a {REASON}, or are not wanted; then remove that folder",
        )
    if len(aside) > NAMED:
        yield note("jobs", f"{len(aside) - NAMED} more were set aside, in {state.damaged}")


def _whose(state: Path) -> Iterator[Finding]:
    """Whether we are who the daemon is: what we may do, it may not, and the other way round."""
    try:
        owner = state.stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        yield note(
            "user",
            f"the state folder belongs to user {owner}, and this is user {os.geteuid()}: "
            "what follows holds for this one; ask again as the user that the daemon runs as",
        )


def _room(settings: ServiceSettings) -> Finding:
    """Whether a job with the settings of all would be begun."""
    needed = need(settings.job.resolve(*settings.recipes), settings.limits.max_pixels)
    needs = [
        (settings.state.path, needed.state),
        *((one, needed.outbox) for one in settings.outboxes),
    ]
    try:
        disk_space.check(needs, settings.limits.free_bytes)
    except OutputError as error:
        return mend("room on the disks", str(error), _CANNOT_WRITE)
    return ok("room on the disks", "a job would be begun")


def _trouble(folder: Path, rights: int) -> Callable[[str], Finding] | None:
    """What is wrong with `folder`, which must give `rights`; None if nothing is."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        return partial(
            mend, words=f"{there} is not a folder: move it away", exit_code=_CANNOT_WRITE
        )
    if not os.access(there, rights):
        words = f"this user may not write in {there}: change its owner or its permissions"
        return partial(mend, words=words, exit_code=_CANNOT_WRITE)
    if there != folder:
        return partial(note, words="it is not there yet, and is made at the start")
    return None
