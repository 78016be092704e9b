"""The daemon starts its parts in order, processes its inboxes, and stops in order."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, killed_at
from tests.daemon.world import (
    FakeExecutor,
    changed_settings,
    make_inbox,
    make_settings,
)

from stylewatch_daemon.errors import SettingsError, UnavailableError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.processes.wakeup import Wakeup
from stylewatch_daemon.queue.states import Outcome, OutcomeKind
from stylewatch_daemon.service import daemon as service
from stylewatch_daemon.service.daemon import Summary, once, watch
from stylewatch_daemon.service.monitoring import SystemdNotifier
from stylewatch_daemon.settings import sections
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import Demand
from stylewatch_daemon.store.state_dir import State

pytestmark = pytest.mark.usefixtures("any_file_is_a_picture")


def settings(root: Path) -> ServiceSettings:
    inboxes = (make_inbox(root / "in", root / "out"),)
    return make_settings(inboxes, root / "state", quiet_s=0.0)


class Log(Reporter):
    """Records events, and calls `on_done` after each job."""

    def __init__(self, on_done: Callable[[str], object]) -> None:
        self.on_done, self.events = on_done, list[str]()

    def done(self, job: str, folder: Path) -> None:
        self.events.append(job)
        self.on_done(job)

    def reloaded(self) -> None:
        self.events.append("reloaded")

    def not_reloaded(self, reason: str) -> None:
        self.events.append(reason)
        self.on_done("")

    def needs_restart(self, key: str) -> None:
        self.events.append(key)


@pytest.mark.parametrize(
    ("kinds", "code"),
    [("", 0), ("done", 0), ("refused", 65), ("refused failed", 70), ("failed paused", 75),
     ("stopped", 75), ("waiting", 75)],
)  # fmt: skip
def test_the_exit_code_is_that_of_the_worst_kind(kinds: str, code: int) -> None:
    summary: Any = {kind: (Outcome(OutcomeKind.DONE, "a"),) for kind in kinds.split()}
    assert Summary(**summary).exit_code == code


# What keeps the daemon from starting


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.make()
    state.write_holder()
    process = rf"process {os.getpid()} on .* is at work"
    with lock.held(state.lock), pytest.raises(SettingsError, match=process):
        once(settings(tmp_path), executor=FakeExecutor())


def test_nothing_starts_while_the_worker_of_a_killed_daemon_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ORPHAN_WITHIN", 0.01)
    (tmp_path / "state").mkdir()
    with lock.held(tmp_path / "state/worker.lock"), pytest.raises(UnavailableError):
        once(settings(tmp_path), executor=FakeExecutor())
    assert once(settings(tmp_path), executor=FakeExecutor()).exit_code == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inboxes": (make_inbox(Path("/x/in"), Path("/x/in/out")),)}, "lies in the inbox"),
        ({"default_style": "night", "styles": Path("/x")}, r"'night'.*no such picture"),
        ({"cluster": Demand()}, r"Ray is not installed: `.*\[ray\]"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_made(
    changes: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(sections, "version", version)
    with pytest.raises(SettingsError, match=reason):
        once(changed_settings(settings(tmp_path), **changes), executor=FakeExecutor())
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_of_a_staging_folder_is_removed_at_the_start(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out")
    for job_id, last_change in (("1", 99), ("2", 2)):
        fill(outbox.staging(job_id), "final.png", "stages/1.png")
        with killed_at(last_change):
            outbox.clear(job_id)
    (left,) = (outbox.root / ".staging/trash").iterdir()
    assert {path.name for path in left.rglob("*.png")} == {"final.png", "1.png"}
    assert once(settings(tmp_path), executor=FakeExecutor()).exit_code == 0
    assert not left.exists()


def test_the_daemon_loads_no_large_library(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import stylewatch_daemon.cli.run, stylewatch_daemon.alerts.sender
from stylewatch_daemon.service.daemon import once
from stylewatch_daemon.settings import sections
from stylewatch_daemon.settings.config import ServiceSettings
root = Path({str(tmp_path)!r})
settings = ServiceSettings(
    inboxes=(sections.Inbox(path=root / "in", outbox=root / "out"),),
    state=sections.State(path=root / "state"),
    watch=sections.Watch(quiet_s=0),
)
assert once(settings).exit_code == 0
heavy = {{"torch", "numpy", "PIL", "onnxruntime", "ray", "starlette", "uvicorn", "apprise"}}
heavy |= {{"matplotlib"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_all_settings_of_an_executor_but_the_batch_stay_until_the_next_start(
    tmp_path: Path,
) -> None:
    before, log = settings(tmp_path), Log(print)
    changes = {"idle_s": 7.0, "batch": 3}
    new = before.model_copy(update={"executor": before.executor.model_copy(update=changes)})
    now = service._reload(lambda: new, before, log, SystemdNotifier({}))
    assert log.events == ["executor", "reloaded"]
    assert now is not None and now.executor.batch == 3
    assert now.executor.idle_s == before.executor.idle_s


@pytest.mark.parametrize("right", [True, False])
def test_new_settings_apply_from_the_next_job_if_they_are_valid(
    right: bool, tmp_path: Path
) -> None:
    wakeup = Wakeup()
    outbox = tmp_path / ("out2" if right else "in2/out")
    inboxes = (make_inbox(tmp_path / "in2", outbox),)
    new = changed_settings(settings(tmp_path), inboxes=inboxes, state=tmp_path / "elsewhere")
    fill(tmp_path, "in/a/content.jpg", "in/a/style.jpg", "in2/b/content.jpg", "in2/b/style.jpg")
    log = Log(lambda job: wakeup.reload() if job == "a" else wakeup.stop())
    summary = watch(settings(tmp_path), log, FakeExecutor(), wakeup, reread=lambda: new)
    if right:
        assert log.events == ["a", "state.path", "reloaded", "b"]
        assert (tmp_path / "out2/b/receipt.json").exists()
    else:
        assert "lies in the inbox" in log.events[1]
    assert [done.job for done in summary.done] == (["a", "b"] if right else ["a"])
    assert not (tmp_path / "elsewhere").exists()
