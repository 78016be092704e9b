"""Checks of an installation: of the machine, the cluster and the alerts, and all together."""

import importlib.util
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from stylewatch_daemon.app.alert_sender import unusable
from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child
from stylewatch_daemon.base.errors import SettingsError, UnavailableError
from stylewatch_daemon.doctor import backends, places
from stylewatch_daemon.doctor.finding import Finding, note, ok, problem
from stylewatch_daemon.executors.local import WORK
from stylewatch_daemon.executors.ray.demand import Demand
from stylewatch_daemon.executors.ray.driver_client import DRIVER, NAME
from stylewatch_daemon.executors.ray.messages import (
    ActorOptions,
    Capacity,
    ClusterLost,
    Message,
    unpack,
)
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.sections import Alerts
from stylewatch_painter.installation import install_command

CLUSTER_TIMEOUT_S = 90.0
_CLUSTER = "cluster"

_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
_FEW = 1024
"""File descriptors below which some uses of the daemon run short."""

_EXTRAS = {
    "clips": ("av", "films (.mp4, .mov, .mkv, .webm) can be read and written"),
    "heic": ("pillow_heif", "photographs of phones (.heic) can be read"),
    "notify": ("apprise", "alerts can be sent"),
    "web": ("starlette", "the page can be served"),
    "plots": ("matplotlib", "losses can be plotted (artifact losses)"),
    "ray": ("ray", "jobs can run on a cluster (executor.kind: ray)"),
}
_NEEDED_OF_PROC = ("/proc/cpuinfo", "/proc/meminfo", "/proc/sys/fs/inotify/max_user_watches")


def diagnose(settings: Config) -> Iterator[Finding]:
    """Yield the findings on a daemon with `settings`, in the order in which to solve them.

    Nothing is created; a child process looks at each backend.
    """
    yield from places.check(settings)
    yield watches([inbox.path for inbox in settings.inboxes])
    yield descriptors()
    yield from backends.look(settings)
    if settings.executor.kind == "ray":
        yield from check_cluster(Demand.of(settings.executor))
    yield clock(settings.state.path)
    yield from extras()
    yield from sandbox(Path("/"))


def watches(inboxes: list[Path]) -> Finding:
    """Check that the kernel's limit of watched folders is enough for the inboxes."""
    folders = sum(1 + len(scan(inbox).folders) for inbox in inboxes if os.access(inbox, os.F_OK))
    try:
        limit = int(_WATCHES.read_text())
    except (OSError, ValueError):
        return note("inotify", "the limit of watched folders is unknown here")
    if folders >= limit:
        return note(
            "inotify",
            f"the inboxes have {folders} folders, and the limit is {limit}: they are scanned at "
            "intervals instead. Raise the limit with `sysctl fs.inotify.max_user_watches`",
        )
    return ok("inotify", f"{folders} folders to watch; the limit is {limit}")


def descriptors() -> Finding:
    """Check the limit of file descriptors."""
    limit, what = shortages.highest(), "file descriptors"
    advice = "raise the limit with LimitNOFILE= in the unit or with ulimit -Hn"
    if limit < shortages.MINIMUM:
        words = f"the limit is {limit} and the daemon needs {shortages.MINIMUM}: {advice}"
        return problem(what, words, 78)
    if limit < _FEW:
        words = f"the limit is {limit}, which is low for a page or for several devices: {advice}"
        return note(what, words)
    return ok(what, f"the limit is {limit}")


def clock(state: Path) -> Finding:
    """Check that the clock is not behind the files of the program and of the folder `state`."""
    now = time.time()
    written = [path.stat().st_mtime for path in (Path(__file__), state) if path.exists()]
    if now + 1 < max(written):
        return problem(
            "clock",
            "it is behind the time at which files here were written: set it (`timedatectl`), or "
            "receipts have wrong times and `retention` counts wrong days",
            78,
        )
    return ok("clock", f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now))} UTC")


def extras() -> Iterator[Finding]:
    """Yield the optional packages, installed or not."""
    for name, (module, use) in _EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield ok(f"extra {name}", use)
        else:
            yield note(f"extra {name}", f"with {install_command(name)} {use}")


def sandbox(root: Path) -> Iterator[Finding]:
    """Yield what a sandbox hides or forbids; `root` is the folder of /proc."""
    hidden = [path for path in _NEEDED_OF_PROC if not (root / path[1:]).exists()]
    if hidden:
        yield note(
            "sandbox",
            f"{', '.join(hidden)} cannot be read, so libraries do not know the processor "
            "and run many times slower: set ProcSubset=all in the unit",
        )
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        yield note(
            "sandbox",
            "memory cannot be both written and executed, which torch needs on the processor: "
            "set MemoryDenyWriteExecute=no in the unit",
        )
    else:
        if not hidden:
            yield ok("sandbox", "nothing that jobs need is hidden")


def check_cluster(demand: Demand) -> Iterator[Finding]:
    """Check the cluster that `demand` names."""
    try:
        demand.check()
    except SettingsError as error:
        yield problem(_CLUSTER, str(error), error.exit_code)
        return
    answer = _cluster_answer(demand)
    if isinstance(answer, Capacity) and answer.places:
        yield ok(
            _CLUSTER, f"{demand.address} answers, with places for {answer.places} jobs at once"
        )
    elif isinstance(answer, Capacity):
        wanted = str(demand)
        words = f"{demand.address} answers, and no machine there has {wanted}: correct executor"
        yield problem(_CLUSTER, words, UnavailableError.exit_code)
    else:
        yield problem(_CLUSTER, answer.reason, UnavailableError.exit_code)


def _cluster_answer(demand: Demand) -> Capacity | ClusterLost:
    word: Message | None = None
    with TemporaryDirectory() as folder:
        driver = Child(DRIVER, Path(folder) / "lock", demand, ActorOptions(WORK), name=NAME)
        try:
            with suppress(EOFError, OSError, ValueError):
                if driver.line.poll(CLUSTER_TIMEOUT_S):
                    _, word = unpack(driver.receive_bytes())
        finally:
            driver.kill()
    if isinstance(word, Capacity | ClusterLost):
        return word
    return ClusterLost(f"the Ray cluster at {demand.address} did not answer")


def check_alerts(alerts: Alerts) -> Iterator[Finding]:
    """Check that apprise knows the URLs, and that others cannot read them; nothing is sent."""
    if not alerts.wanted:
        return
    try:
        urls = alerts.targets().urls
    except SettingsError as error:
        yield problem("alerts", str(error).removeprefix("alerts: "), error.exit_code)
        return
    if alerts.urls_file is not None and alerts.urls_file.stat().st_mode & 0o004:
        yield note(
            "alerts",
            f"every user can read {alerts.urls_file}, and the URLs in it are secrets: "
            "run `chmod o= FILE`",
        )
    reasons = unusable(urls)
    yield from (problem("alerts", reason, SettingsError.exit_code) for reason in reasons)
    if not reasons:
        kinds = ", ".join(alerts.events)
        yield ok("alerts", f"{kinds} to {len(urls)} URLs; `stylewatch alerts test` tries them")
