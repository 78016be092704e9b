"""Checks of the optional packages, the cluster and the alerts, and the list of all checks."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from stylewatch_daemon.app.alert_sender import unusable
from stylewatch_daemon.base.child import Child
from stylewatch_daemon.base.errors import DaemonError, SettingsError, UnavailableError
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
from stylewatch_daemon.settings.config import Config
from stylewatch_painter.installation import install_command

CLUSTER_TIMEOUT_S = 90.0

_EXTRAS = {
    "clips": ("av", "films (.mp4, .mov, .mkv, .webm) can be read and written"),
    "heic": ("pillow_heif", "photographs of phones (.heic) can be read"),
    "notify": ("apprise", "alerts can be sent"),
    "web": ("starlette", "the page can be served"),
    "plots": ("matplotlib", "losses can be plotted (artifact losses)"),
    "ray": ("ray", "jobs can run on a cluster (executor.kind: ray)"),
}


def diagnose(settings: Config) -> Iterator[Finding]:
    """Yield the findings on a daemon with `settings`, in the order in which to solve them.

    Missing folders are not created. Each backend is checked by a child process.
    """
    for what, check in CHECKS.items():
        try:
            yield from check(settings)
        except DaemonError as error:
            yield problem(what, str(error).removeprefix(f"{what}: "), error.exit_code)


def check_extras(settings: Config) -> Iterator[Finding]:
    """List the installed optional packages, and the purpose of each missing one."""
    missing = {name: use for name, (module, use) in _EXTRAS.items() if find_spec(module) is None}
    for name, use in missing.items():
        yield note(f"extra {name}", f"with {install_command(name)} {use}")
    installed = [name for name in _EXTRAS if name not in missing]
    yield ok("extras", f"installed: {', '.join(installed) or 'none'}")


def check_cluster(settings: Config) -> Iterator[Finding]:
    """Check the cluster that runs the jobs, if any."""
    if settings.executor.kind == "local":
        return
    demand = Demand.of(settings.executor)
    demand.check()
    answer = _cluster_answer(demand)
    if isinstance(answer, ClusterLost):
        raise UnavailableError(answer.reason)
    if not answer.places:
        raise UnavailableError(
            f"{demand.address} answers, and no machine there has {demand}: correct executor"
        )
    words = f"{demand.address} answers, with places for {answer.places} jobs at once"
    yield ok("cluster", words)


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


def check_alerts(settings: Config) -> Iterator[Finding]:
    """Check that apprise knows the URLs, and that others cannot read them; send nothing."""
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
    yield from (problem("alerts", reason, SettingsError.exit_code) for reason in reasons)
    if not reasons:
        kinds = ", ".join(alerts.events)
        yield ok("alerts", f"{kinds} to {len(urls)} URLs; `stylewatch alerts test` tries them")


CHECKS: dict[str, Callable[[Config], Iterator[Finding]]] = {
    "daemon": places.check_daemon,
    "user": places.check_user,
    "inboxes": places.check_inboxes,
    "outputs": places.check_outputs,
    "style library": places.check_style_library,
    "state folder": places.check_state,
    "ledger": places.check_ledger,
    "room on the disks": places.check_room,
    "backends": backends.look,
    "cluster": check_cluster,
    "extras": check_extras,
    "alerts": check_alerts,
}
"""The checks, in order, by what is checked."""
