"""All checks of `stylewatch doctor`, in the order in which their findings are shown.

They concern folders and disks, the daemon and its user, styles and recipes, backends, packages, the
cluster, alerts and the page.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.app.alert_sender import unusable
from stylewatch_daemon.app.settings_file import FOLDERS, PAGE, mistakes
from stylewatch_daemon.base.errors import (
    DaemonError,
    Exit,
    OldLedgerError,
    OutputError,
    SettingsError,
    UnavailableError,
)
from stylewatch_daemon.client import operations, status_json
from stylewatch_daemon.client.condition import condition
from stylewatch_daemon.doctor import addresses, backends, probes
from stylewatch_daemon.doctor.finding import Finding, Verdict, note, ok, problem
from stylewatch_daemon.files import disks, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.names import shortened
from stylewatch_daemon.intake import watch
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.intake.scanner import apart
from stylewatch_daemon.ledger import ledger
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox.publish import STAGING
from stylewatch_daemon.settings import config, executors
from stylewatch_daemon.settings.config import Config, Start, check_recipes
from stylewatch_daemon.settings.executors import Extra
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.settings.style_library import check_default_style
from stylewatch_painter import installed
from stylewatch_painter.installation import install_command
from stylewatch_painter.recipes import book

_ALL = os.R_OK | os.W_OK | os.X_OK

_EXTRAS = (
    Extra("clips", "av", "films (.mp4, .mov, .mkv, .webm) can be read and written"),
    Extra("heic", "pillow_heif", "photographs of phones (.heic) can be read"),
    Extra("raw", "rawpy", "camera raw can be developed (.dng, .cr3, .nef, .arw and others)"),
    Extra("jxl", "pillow_jxl", "JPEG XL can be read (.jxl)"),
    Extra("notify", "apprise", "alerts can be sent"),
    Extra("web", "starlette", "the page can be served"),
)


def diagnose(start: Start) -> Iterator[Finding]:
    """Yield the findings on a daemon with the options `start`: first those on its settings.

    If the settings have mistakes, nothing else is checked. Raises SettingsError as `config.find`
    does.
    """
    try:
        path = start.config_file or config.find()
        settings = start.read(path)
        found = mistakes(settings, (*FOLDERS, _wrong_executor, *PAGE))
        refusal = settings.origin.refusal
    except DaemonError as error:
        found = str(error).splitlines()
        refusal = error
    if found:
        code = Exit.SETTINGS if refusal is None else refusal.exit_code
        yield from (problem("settings", line, code) for line in found)
        return
    yield ok("settings", f"{path} has no mistakes")
    yield from look(settings)


def look(settings: Config) -> Iterator[Finding]:
    """Run all checks for a daemon with `settings`; yield their findings in the order of CHECKS.

    A DaemonError or an OSError of a check becomes a finding. Missing folders are not created. Each
    backend is checked in a child process.
    """
    for what, check in CHECKS.items():
        try:
            yield from check(settings) or ()
        except DaemonError as error:
            yield problem(what, str(error), error.exit_code)
        except OSError as error:  # an error of a disk; `_folder` reports what this user may not do
            yield problem(what, f"{error.filename}: {error.strerror}", Exit.CANNOT_WRITE)


# Folders and disks


def check_daemon(settings: Config) -> Iterator[Finding]:
    """Yield a finding on what the daemon is doing: a success, or a note unless all is well.

    Raises OutputError if the state folder cannot be read.
    """
    status = status_json.current(settings.state.path)
    now = condition(status)
    health = status["health"]
    if health["at_work"]:
        words = f"{now.sentence} Process {health['pid'] or 'unknown'}"
    else:
        words = f"{now.sentence} `stylewatch run` starts it"
    yield Finding(Verdict.OK if now.color == "green" else Verdict.NOTE, "daemon", words)


def check_user(settings: Config) -> Iterator[Finding]:
    """Yield a note if the state folder belongs to another user, whose permissions may differ."""
    try:
        owner = settings.state.path.stat().st_uid
    except OSError:  # it is missing, or in a folder of another user, as other checks report
        return
    if owner != os.geteuid():
        yield note(
            "user",
            f"the state folder belongs to user {owner}, and this is user {os.geteuid()}: "
            "these findings are for this user; run the doctor again as the daemon's user",
        )


def _ledger_id(settings: Config) -> str:
    """Return the id of the daemon's ledger; empty if there is none, or it cannot be read."""
    try:
        with closing(ledger.opened(StateDir(settings.state.path).ledger)) as opened:
            return opened.own_id
    except OSError:
        return ""


def _is_read_only(folder: Path) -> bool:
    """Return whether the disk of a folder is read-only; False if this is unknown."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:  # `_folder` reports it
        return False


def check_inboxes(settings: Config) -> Iterator[Finding]:
    """Yield whether each inbox can be used, how new files are noticed, and what is ignored."""
    own_id = _ledger_id(settings)
    guard = _disks(settings)
    for inbox in settings.inboxes:
        is_kept = inbox.after == "keep"
        is_read_only = _is_read_only(inbox.path)
        rights = os.R_OK | os.X_OK | (0 if is_kept or is_read_only else os.W_OK)
        writes = not (is_kept or is_read_only)
        probe = partial(probes.claim, inbox.path, settings.state.path) if writes else None
        finding = _folder(f"inbox {inbox.path}", inbox.path, guard, rights, "on", probe)
        yield finding
        if finding.verdict is not Verdict.PROBLEM and entries.is_folder(inbox.path):
            yield _events(inbox.path, settings)
            if is_read_only and not is_kept:
                words = "read-only: nothing is taken out of it; set `after: keep`"
                yield problem(f"disk of {inbox.path}", words, Exit.CANNOT_WRITE)
            for _, path in settings.apart(inbox):
                with suppress(OSError):  # its own check reports it
                    guard.check(path)
            others = apart(settings, inbox, guard)
            ignored = settings.watch.ignore
            skipped = scan(inbox.path, ignored, others, ledger_id=own_id).skipped
            if skipped:
                path, reason = min(skipped.items())
                more = f"; so are {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
                words = f"{shortened(path)} is ignored: {reason}{more}"
                yield note(f"in {inbox.path}", words)


def _events(folder: Path, settings: Config) -> Finding:
    """Return a finding on how new files in an inbox are noticed."""
    what = f"events of {folder}"
    rescan_s = settings.watch.rescan_s
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
    """Yield whether each outbox and each finals folder can be written."""
    # a probe of another user must not create the folder, which the daemon could not use
    used = [outbox for outbox in settings.outboxes if lexists(outbox / STAGING)]
    guard = _disks(settings)
    for outbox in settings.outboxes:
        probe = partial(probes.publish, outbox) if outbox in used else None
        yield _folder(f"outbox {outbox}", outbox, guard, _ALL, probe=probe)
    for finals in settings.finals:
        outboxes = (inbox.outbox for inbox in settings.inboxes if inbox.finals == finals)
        linked = [partial(probes.link, outbox, finals) for outbox in outboxes if outbox in used]
        probe = linked[0] if linked else None
        yield _folder(f"finals folder {finals}", finals, guard, os.W_OK | os.X_OK, probe=probe)


def check_state(settings: Config) -> Iterator[Finding]:
    """Yield whether the state folder is on a local disk and can be written."""
    folder = settings.state.path
    table = disks.table()
    what = f"state folder {folder}"
    if disks.is_remote(folder, table):
        kind = disks.kind_of(folder, table)
        words = f"it is on {kind}, where a ledger is not safe: set state.path to a local disk"
        yield problem(what, words, Exit.SETTINGS)
    else:
        yield _folder(what, folder, MountGuard(), _ALL, probe=StateDir(folder).probe)


def check_ledger(settings: Config) -> Iterator[Finding]:
    """Yield whether the ledger can be read and is intact; nothing if there is no ledger."""
    path = StateDir(settings.state.path).ledger
    if not lexists(path):
        return
    try:
        with closing(ledger.opened(path)) as opened:
            opened.check()
    except OldLedgerError as error:
        yield note("ledger", str(error))
    except OutputError as error:
        yield problem("ledger", str(error), Exit.SETTINGS)
    else:
        yield ok("ledger", f"{path} is intact")


def check_room(settings: Config) -> Iterator[Finding]:
    """Yield a success if the disks have the space for a job to start; else raise FullError."""
    folders = (settings.state.path, *settings.outboxes)
    disks.check([(folder, 0) for folder in folders], settings.limits.free_bytes)
    yield ok("room on the disks", "enough for a job to begin")


def _disks(settings: Config) -> MountGuard:
    """Return a guard that knows on which disks the daemon used folders.

    If the ledger of the daemon cannot be read, the guard knows no disk.
    """
    inboxes = (inbox.path for inbox in settings.inboxes)
    try:
        folders = (*inboxes, *settings.outboxes, *settings.finals)
        return operations.disks_of(settings.state.path, *folders)
    except OSError:
        return MountGuard()


def _folder(
    what: str,
    folder: Path,
    guard: MountGuard,
    rights: int,
    usable: str = "writable, on",
    probe: Callable[[], str | None] | None = None,
) -> Finding:
    """Return a finding on `what`: whether `folder` grants the `rights`, or can be created.

    The `rights` are those of `os.access`. `probe` writes into an existing folder, raises OSError if
    that fails, and may return a remark. The words of a success begin with `usable`, and end with
    the kind of file system.
    """
    try:
        guard.check(folder)
    except OSError as error:
        if isinstance(error, OutputError):  # a probe would write below the missing mount
            return problem(what, str(error), error.exit_code)
    around = (folder, *folder.absolute().parents)
    nearest = next(path for path in around if os.path.lexists(path))
    if not entries.is_folder(nearest):
        return problem(what, f"{nearest} is not a folder: move it away", Exit.CANNOT_WRITE)
    if nearest != folder:
        rights |= os.W_OK  # to create it
    if not os.access(nearest, rights):
        words = f"this user may not write in {nearest}: change its owner or its permissions"
        return problem(what, words, Exit.CANNOT_WRITE)
    if nearest != folder:
        return note(what, "missing; it is created at the start")
    try:
        remark = probe() if probe is not None else None
    except OSError as error:
        reason = f"it cannot be written: {error.strerror}" if error.strerror else str(error)
        return problem(what, reason, Exit.CANNOT_WRITE)
    kind = disks.kind_of(folder, disks.table()) or "an unknown file system"
    return note(what, f"{usable} {kind}; {remark}") if remark else ok(what, f"{usable} {kind}")


# Packages, cluster and alerts


def check_extras(settings: Config) -> Iterator[Finding]:
    """Yield a note for each missing extra, which says what it is for, then the installed extras."""
    there = {extra: extra.is_installed() for extra in _EXTRAS}
    for kind, executor in executors.kinds().items():
        if executor.extra is None:
            continue
        try:
            with executors.asking(kind):
                there[executor.extra] = executor.extra.is_installed()
        except UnavailableError as error:  # jobs may run by another kind
            yield note(f"extra {executor.extra.name}", str(error))
    for extra in (extra for extra in there if not there[extra]):
        command = extra.command or install_command(extra.name)
        yield note(f"extra {extra.name}", f"with {command} {extra.use}")
    found = [extra.name for extra in there if there[extra]]
    yield ok("extras", f"installed: {', '.join(found) or 'none'}")


def check_packages(settings: Config) -> Iterator[Finding]:
    """Yield a note for each entry of a package, such as a loss or a recipe, that cannot be used."""
    book.packaged()  # loads them all
    for sentence in installed.left_out():
        yield note("packages", sentence)


def _wrong_executor(settings: Config) -> list[str]:
    """Return the mistakes in the settings of the executor; none if its package cannot be used."""
    with suppress(UnavailableError):  # `check_cluster` says so
        return settings.executor.own.mistakes()
    return []


def check_cluster(settings: Config) -> Iterator[Finding]:
    """Yield a success if the executor's cluster answers, nothing if there is none.

    Raises SettingsError for mistakes in its settings, UnavailableError if no job could run there.
    """
    executor = settings.executor.own
    found = executor.mistakes()
    if found:
        raise SettingsError("\n".join(found))
    words = executor.probe()
    if words:
        yield ok("cluster", words)


def check_alerts(settings: Config) -> Iterator[Finding]:
    """Yield whether apprise knows the URLs, and a note if others can read them; send nothing."""
    alerts = settings.alerts
    if not alerts.wanted:
        return
    urls = alerts.targets().urls
    if alerts.urls_file is not None and alerts.urls_file.stat().st_mode & 0o004:
        yield note(
            "alerts",
            f"every user can read {alerts.urls_file}, and the URLs in it are secrets: "
            "run `chmod o= FILE`",
        )
    reasons = unusable(urls)
    yield from (problem("alerts", reason, Exit.SETTINGS) for reason in reasons)
    if not reasons:
        kinds = ", ".join(alerts.events)
        yield ok("alerts", f"{kinds} to {len(urls)} URLs; `stylewatch alerts test` tries them")


def check_page(settings: Config) -> Iterator[Finding]:
    """Yield the address at which phones reach the page, or a note if none is known.

    Yield nothing if there is no page, or only for this machine. Raises UnavailableError if this
    machine no longer has the address of the page.
    """
    web = settings.web
    if web.listen is None or (parse_address(web.listen).is_near and web.url is None):
        return
    try:
        url = addresses.url_for_phones(web)
    except SettingsError as error:
        yield note("page", str(error))
    else:
        yield ok("page", f"phones reach it at {url}/; `stylewatch phone` lets one in")


CHECKS: dict[str, Callable[[Config], Iterator[Finding] | None]] = {
    "daemon": check_daemon,
    "user": check_user,
    "inboxes": check_inboxes,
    "outputs": check_outputs,
    "style library": lambda settings: check_default_style(settings.pairing),
    "recipes": check_recipes,
    "state folder": check_state,
    "ledger": check_ledger,
    "room on the disks": check_room,
    "backends": backends.look,
    "libraries": backends.look_at_libraries,
    "cluster": check_cluster,
    "extras": check_extras,
    "packages": check_packages,
    "alerts": check_alerts,
    "page": check_page,
}
"""The checks in their order, by the name of what they check; some of them only raise errors."""
